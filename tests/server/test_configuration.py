"""Where settings come from, which source wins, and what a wrong one is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from callboard import environment as variables
from callboard import toml_file
from callboard.configuration import flag_fields, load
from callboard.errors import ConfigurationError
from callboard.fields import Field, fields_of
from callboard.reference import reference
from callboard_server.settings import AppSettings, Settings, development_app

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
SECRET = "s3cr3t-of-nobody"
APP: dict[str, Any] = {"id": "shop", "key": "shop-key", "secret": SECRET}
FILE = f"""
[[apps]]
id = "shop"
key = "shop-key"
secret = "{SECRET}"
"""
SERVER_FIELDS = [field for field in fields_of(Settings).values() if field.scalar]
APP_FIELDS = [field for field in fields_of(AppSettings).values() if field.scalar]

WriteFile = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "callboard.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def named(field: Field) -> str:
    return field.name


#: Values of fields in which not every text will do.
PATTERNED = {
    "path_prefix": ("/pusher", "/some/path"),
    "fallback_path_prefix": ("/fallback", "/some/path"),
    "unix_socket_mode": ("600", "666"),
}
#: Settings that are given together or not at all.
TLS = {"tls_port": 6443, "tls_certificate": "certificate.pem", "tls_key": "key.pem"}


def samples(field: Field) -> tuple[Any, Any]:
    """Return two values for the field; the first one is not its default."""
    if field.name in PATTERNED:
        return PATTERNED[field.name]
    match field.default if field.default is not None else field.info:
        case bool(default):
            return not default, default
        case int(default) | float(default):
            return default + 1, default + 2
        case str() | msgspec.NODEFAULT | msgspec.inspect.StrType():
            return f"some-{field.name}", f"other-{field.name}"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return 7, 8
    raise AssertionError(f"say here what a value of {field.name} looks like")


def companions(field: Field) -> dict[str, Any]:
    """Return what must be given with the field."""
    return {name: value for name, value in TLS.items() if name != field.name and field.name in TLS}


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def problems(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> str:
    """Return what is said about a configuration that does not load."""
    with pytest.raises(ConfigurationError) as caught:
        load(file, environment or {}, flags or {})
    assert SECRET not in str(caught.value)
    assert all(SECRET not in repr(error) for error in (caught.value, caught.value.__cause__))
    return str(caught.value)


def test_without_any_source_there_is_the_development_app() -> None:
    settings = load(None, {}, {})

    assert settings == Settings()
    assert settings.apps == (development_app(),)


def test_the_repr_of_settings_has_no_secret(write: WriteFile) -> None:
    assert SECRET not in repr(load(write(FILE), {}, {}))


@pytest.mark.parametrize("field", SERVER_FIELDS, ids=named)
def test_each_field_of_the_server_can_be_set_everywhere_and_the_nearer_source_wins(
    field: Field, write: WriteFile
) -> None:
    wanted, other = samples(field)

    def given(value: Any) -> dict[str, Any]:
        return {**companions(field), field.name: value}

    def variables_for(value: Any) -> dict[str, str]:
        return {f"CALLBOARD_{name.upper()}": text(value) for name, value in given(value).items()}

    lines = [f"{name} = {json.dumps(value)}\n" for name, value in given(wanted).items()]
    file = write("".join(lines))

    assert getattr(load(file, {}, {}), field.name) == wanted
    assert getattr(load(None, variables_for(wanted), {}), field.name) == wanted
    assert getattr(load(None, {}, given(wanted)), field.name) == wanted

    assert getattr(load(file, variables_for(other), {}), field.name) == other
    assert getattr(load(file, variables_for(other), given(wanted)), field.name) == wanted


@pytest.mark.parametrize("field", APP_FIELDS, ids=named)
def test_each_field_of_an_app_can_be_set_in_the_file_and_in_the_environment(
    field: Field, write: WriteFile
) -> None:
    app = {**APP, field.name: samples(field)[0]}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in app.items())
    environment = {f"CALLBOARD_APP_{name.upper()}": text(value) for name, value in app.items()}

    expected = (AppSettings(**app),)
    assert load(write(f"[[apps]]\n{lines}"), {}, {}).apps == expected
    assert load(None, environment, {}).apps == expected


def test_every_field_but_lists_and_tables_has_a_flag_or_a_variable() -> None:
    in_the_file = {"apps", "trusted_proxies", "webhooks"}
    assert {field.name for field in SERVER_FIELDS} == {*Settings.__struct_fields__} - in_the_file
    in_the_file = {"allowed_origins", "webhooks"}
    assert {field.name for field in APP_FIELDS} == {*AppSettings.__struct_fields__} - in_the_file


def test_no_two_settings_share_a_flag_or_a_variable() -> None:
    flags = [field.flag for field in flag_fields()] + ["--config", "--ports-file", "--fd", "--help"]
    names = [*variables.server_fields(), *variables.app_fields(), variables.CONFIG_FILE]

    assert len(flags) == len(set(flags)) == len(SERVER_FIELDS) + 4
    assert len(names) == len(set(names)) == len(SERVER_FIELDS) + len(APP_FIELDS) + 1


def test_a_flag_leaves_the_unit_to_its_help() -> None:
    flags = {field.name: field.flag for field in flag_fields()}

    assert flags["drain_seconds"] == "--drain"
    assert flags["max_message_bytes"] == "--max-message"
    assert flags["port"] == "--port"


def test_a_switch_is_put_off_by_a_flag_of_its_own() -> None:
    flags = {field.name: field.flags for field in flag_fields()}

    assert flags["scheduler"] == ("--scheduler", "--no-scheduler")
    assert flags["data"] == ("--data",)


def test_a_flag_that_was_not_given_changes_nothing(write: WriteFile) -> None:
    assert load(write("port = 7000"), {}, {"port": None, "host": None}).port == 7000


def test_the_environment_may_name_the_file_and_the_flag_wins(
    write: WriteFile, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("port = 7001")
    environment = {"CALLBOARD_CONFIG": str(write("port = 7000"))}

    assert load(None, environment, {}).port == 7000
    assert load(other, environment, {}).port == 7001


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *[(word, True) for word in ("true", "1", "yes", "on", "TRUE", "Yes")],
        *[(word, False) for word in ("false", "0", "no", "off", "FALSE", "Off")],
    ],
)
def test_words_for_true_and_false_in_the_environment(word: str, value: bool) -> None:
    environment = {f"CALLBOARD_APP_{name.upper()}": value for name, value in APP.items()}

    [app] = load(None, {**environment, "CALLBOARD_APP_CLIENT_EVENTS": word}, {}).apps

    assert app.client_events is value


class TestTheEnvironmentsApp:
    def test_may_be_named_as_pushers_own_tools_do(self) -> None:
        environment = {f"PUSHER_APP_{name.upper()}": value for name, value in APP.items()}

        assert load(None, environment, {}).apps == (AppSettings(**APP),)

    def test_our_variables_win_over_pushers(self) -> None:
        environment = {f"PUSHER_APP_{name.upper()}": value for name, value in APP.items()}

        [app] = load(None, {**environment, "CALLBOARD_APP_KEY": "ours"}, {}).apps

        assert (app.id, app.key, app.secret) == ("shop", "ours", SECRET)

    def test_goes_over_the_files_app_with_the_same_id(self, write: WriteFile) -> None:
        file = write(FILE + "client_events = true\n[[apps]]\nid='b'\nkey='b'\nsecret='b'")
        environment = {
            "CALLBOARD_APP_ID": "shop",
            "CALLBOARD_APP_KEY": "new",
            "CALLBOARD_APP_SECRET": "new",
        }

        apps = {app.id: app for app in load(file, environment, {}).apps}

        assert {*apps} == {"shop", "b"}
        assert apps["shop"] == AppSettings(
            id="shop", key="new", secret="new", client_events=True
        ), "what the environment does not say stays as in the file"

    def test_stands_beside_the_files_other_apps(self, write: WriteFile) -> None:
        environment = {"PUSHER_APP_ID": "b", "PUSHER_APP_KEY": "b", "PUSHER_APP_SECRET": "b"}

        assert [app.id for app in load(write(FILE), environment, {}).apps] == ["shop", "b"]

    def test_is_none_if_its_variables_are_empty(self) -> None:
        empty = {
            f"{prefix}_APP_{name}": ""
            for prefix in ("CALLBOARD", "PUSHER")
            for name in ("ID", "KEY", "SECRET")
        }

        assert load(None, empty, {}) == Settings()

    @pytest.mark.parametrize("prefix", ["CALLBOARD", "PUSHER"])
    @pytest.mark.parametrize("missing", ["id", "key", "secret"])
    def test_needs_all_of_its_required_parts(self, prefix: str, missing: str) -> None:
        environment = {f"{prefix}_APP_{name.upper()}": value for name, value in APP.items()}
        environment[f"{prefix}_APP_{missing.upper()}"] = ""

        said = problems(environment=environment)

        assert {*re.findall(r"CALLBOARD_APP_\w+", said)} == {f"CALLBOARD_APP_{missing.upper()}"}
        assert {*re.findall(r"PUSHER_APP_\w+", said)} == {f"PUSHER_APP_{missing.upper()}"}

    def test_a_switch_alone_is_not_an_app(self) -> None:
        said = problems(environment={"CALLBOARD_APP_CLIENT_EVENTS": "true"})

        assert "CALLBOARD_APP_ID and CALLBOARD_APP_KEY and CALLBOARD_APP_SECRET" in said

    def test_must_not_have_the_key_of_another_app(self, write: WriteFile) -> None:
        file = write(FILE)
        environment = {"PUSHER_APP_ID": "b", "PUSHER_APP_KEY": "shop-key", "PUSHER_APP_SECRET": "b"}

        assert problems(file, environment) == (
            f"{file} and the environment: two apps have the key 'shop-key'; each needs its own."
        )


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CALLBOARD_PROT", "CALLBOARD_PORT"),
        ("CALLBOARD_APP_CLIENT_EVENT", "CALLBOARD_APP_CLIENT_EVENTS"),
        ("CALLBOARD_APP_SECRETS", "CALLBOARD_APP_SECRET"),
        ("CALLBOARD_CONFIG_FILE", "CALLBOARD_CONFIG"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(name: str, nearest: str) -> None:
    said = problems(environment={name: SECRET})

    assert said == f"{name} (environment): unknown variable; the nearest known one is {nearest}."


def test_other_programs_variables_are_none_of_our_business() -> None:
    environment = {
        "PUSHER_APP_CLUSTER": "eu",
        "PUSHER_HOST": "example.org",
        "PORT": "80",
        "MY_CALLBOARD_PORT": "1",
    }

    assert load(None, environment, {}) == Settings()


def test_variables_that_kubernetes_adds_for_a_service_are_left_alone() -> None:
    # https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    environment = {
        "CALLBOARD_SERVICE_HOST": "10.0.0.11",
        "CALLBOARD_SERVICE_PORT": "6001",
        "CALLBOARD_SERVICE_PORT_HTTP": "6001",
        "CALLBOARD_PORT": "tcp://10.0.0.11:6001",
        "CALLBOARD_PORT_6001_TCP": "tcp://10.0.0.11:6001",
        "CALLBOARD_PORT_6001_TCP_PROTO": "tcp",
        "CALLBOARD_PORT_6001_TCP_PORT": "6001",
        "CALLBOARD_PORT_6001_TCP_ADDR": "10.0.0.11",
        "CALLBOARD_METRICS_SERVICE_HOST": "10.0.0.12",
        "CALLBOARD_METRICS_PORT": "tcp://10.0.0.12:9601",
    }

    assert load(None, environment, {}) == Settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('port = "6001"', "port: expected a whole number from 0 to 65535, got text"),
        ("port = 70000", "port: expected a whole number from 0 to 65535, got 70000"),
        ("port = true", "port: expected a whole number from 0 to 65535, got true"),
        ("port = 6001.0", "port: expected a whole number from 0 to 65535, got 6001.0"),
        ("port = 1979-05-27", "port: expected a whole number .* got a date or time"),
        ("port = [1]", "port: expected a whole number .* got a list"),
        ("[port]", "port: expected a whole number .* got a table"),
        ('host = ""', "host: expected text that is not empty, got empty text"),
        ("host = 1", "host: expected text that is not empty, got a number"),
        ("drain_seconds = -1", "drain_seconds: expected a number of at least 0, got -1"),
        ("drain_seconds = inf", "drain_seconds: expected a number of at least 0, got inf"),
        ("drain_seconds = nan", "drain_seconds: expected a number of at least 0, got nan"),
        ("pong_timeout_seconds = 0", "pong_timeout_seconds: expected a number greater than 0"),
        ("prot = 1", "prot: unknown key; the nearest known one is `port`"),
        ("[server]\nport = 1", "server: unknown key"),
        ('"not\\na key" = 1', r'"not\\na key": unknown key'),
        ("apps = []", r"apps: expected a list of tables \(at least 1\), got an empty list"),
        ("apps = 1", r"apps: expected a list of tables .*each begins with `\[\[apps\]\]`"),
        ("[apps]", r"apps: expected a list of tables .* got a table; .*`\[\[apps\]\]`"),
        ("apps = [1]", "apps: expected a list of tables .* got a list"),
        ("[[apps]]", r"apps\[0\]\.id: missing; expected text that matches"),
        (FILE + "secre = 1", r"apps\[0\]\.secre: unknown key; .* `secret`"),
        (FILE + "port = 1", r"apps\[0\]\.port: unknown key; .* above the first table"),
        (FILE + "enabled = 1", r"apps\[0\]\.enabled: expected true or false, got a number"),
        (FILE + 'enabled = "no"', r"apps\[0\]\.enabled: expected true or false, got text"),
        (FILE + "max_connections = 0", r"apps\[0\]\.max_connections: expected .* 1, got 0"),
        (f"{FILE}[[apps]]\nid = '{SECRET}'", r"apps\[1\]\.key: missing"),
        (f"{FILE}[[apps]]\nid = '{SECRET}!'", r"apps\[1\]\.id: expected .* got other text"),
        (f"[[apps]]\nid='a'\nkey='{SECRET} '\nsecret='s'", r"apps\[0\]\.key: .* got other text"),
        ("[[apps]]\nid='a'\nkey='b'\nsecret=12345", r"apps\[0\]\.secret: .* got a number"),
        ("[[apps]]\nid='a'\nkey='b'\nsecret=''", r"apps\[0\]\.secret: .* got empty text"),
        (FILE + "allowed_origins = ['*']", r"apps\[0\]\.allowed_origins: expected a list of text"),
        (
            FILE + "allowed_origins = ['https://a.example/']",
            r"apps\[0\]\.allowed_origins: expected",
        ),
        (FILE + "allowed_origins = 'null'", r"apps\[0\]\.allowed_origins: expected a list .* text"),
        ("unix_socket_mode = '0o660'", r"unix_socket_mode: expected text that matches .*\[0-7\]"),
        ("path_prefix = 'pusher'", "path_prefix: expected text that matches"),
        ("path_prefix = '/pusher/'", "path_prefix: expected text that matches"),
        ("path_prefix = '/apps/x'", "path_prefix must not begin with /apps"),
        ("fallback_path_prefix = '/users'", "fallback_path_prefix must not begin with /users"),
        ("trusted_proxies = '::1'", "trusted_proxies: expected a list of text"),
        ("trusted_proxies = ['nginx']", "trusted_proxies: 'nginx' does not .*; expected an addre"),
        ("trusted_proxies = ['10.0.0.1/8']", "trusted_proxies: 10.0.0.1/8 has host bits set"),
        ("tls_port = 6443", "tls_certificate and tls_key missing; .* all three or none"),
        ("tls_certificate = 'c'\ntls_key = 'k'", "tls_port missing; .* all three or none"),
        (FILE + FILE, "two apps have the id 'shop'; each needs its own"),
        ("port = ", "not valid TOML: Invalid value"),
        (f"secret = {SECRET}", "not valid TOML: .*line 1"),
        (f'secret = "{SECRET}', "not valid TOML: Unterminated string"),
        ("a = 1\na = 2", "not valid TOML"),
        ("a = " + "[" * 5000, "not usable TOML: nested too deeply"),
        ("port = " + "9" * 5000, "not valid TOML: .*digits"),
        ("port = 0x" + "f" * 5000, "port: expected a whole number .* got a number"),
        (b"host = '\xff'", "not UTF-8 text"),
    ],
)
def test_a_fault_in_the_file_names_the_file_the_key_and_what_was_expected(
    write: WriteFile, content: str | bytes, said: str
) -> None:
    file = write(content)

    assert re.search(f"^{re.escape(str(file))}: {said}", problems(file))


def test_all_faults_of_a_file_are_told_at_once(write: WriteFile) -> None:
    file = write("port = -1\nhots = 'x'\n[[apps]]\nkey = 1")

    assert len(problems(file).splitlines()) == 5


def test_a_fault_is_told_even_if_a_flag_would_hide_it(write: WriteFile) -> None:
    assert "port" in problems(write("port = -1"), {}, {"port": 6001})


def test_a_byte_order_mark_does_no_harm(write: WriteFile) -> None:
    assert load(write(b"\xef\xbb\xbfport = 7000"), {}, {}).port == 7000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
    ],
    ids=["missing", "folder", "loop"],
)
def test_a_file_that_cannot_be_read_is_named(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "callboard.toml"
    make(file)

    assert re.search(f"{re.escape(str(file))}: cannot read .*{said}", problems(file))


def test_a_file_that_must_not_be_read_is_named(
    write: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so the system's answer is put in its place.
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)

    assert "cannot read the configuration file: Permission denied" in problems(write(""))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CALLBOARD_PORT", "many", "expected a whole number from 0 to 65535, got text"),
        ("CALLBOARD_PORT", "70000", "expected a whole number from 0 to 65535, got 70000"),
        ("CALLBOARD_PORT", "9" * 5000, "expected a whole number from 0 to 65535, got text"),
        ("CALLBOARD_DRAIN_SECONDS", "nan", "expected a number of at least 0, got nan"),
        ("CALLBOARD_APP_ENABLED", "maybe", "expected true or false, got text"),
        ("CALLBOARD_APP_KEY", SECRET + "!", "expected text that matches .* got other text"),
        ("CALLBOARD_APP_SECRET", SECRET + "\udcff", "expected text .* got text that is not UTF-8"),
        ("PUSHER_APP_ID", "a b", "expected text that matches .* got other text"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable_and_what_was_expected(
    name: str, value: str, said: str
) -> None:
    assert re.search(rf"{name} \(environment\): {said}", problems(environment={name: value}))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"port": 70000}, "--port (flag): expected a whole number from 0 to 65535, got 70000."),
        ({"drain_seconds": "x"}, "--drain (flag): expected a number of at least 0, got text."),
        ({"prot": 1}, "prot (flag): unknown."),
        ({"apps": []}, "apps (flag): unknown."),
    ],
)
def test_a_fault_in_a_flag_names_it_and_what_was_expected(flags: dict[str, Any], said: str) -> None:
    assert problems(flags=flags) == said


def toml(value: Any) -> str:
    """Return `value` as TOML, or nearly: what JSON and TOML write differently is fuzz, too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(each) for each in value) + "]"
    return json.dumps(value)


_keys = st.sampled_from([*Settings.__struct_fields__, *AppSettings.__struct_fields__]) | st.text()
_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5),
    max_leaves=12,
)
_documents = st.dictionaries(_keys, _values, max_size=6).map(
    lambda document: "\n".join(f"{json.dumps(key)} = {toml(v)}" for key, v in document.items())
)


def loads_or_explains(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        load(file, {}, {})
    except ConfigurationError as error:
        assert str(file) in str(error)
        assert SECRET not in str(error)


@given(_documents | st.text())
def test_any_document_either_loads_or_is_explained(
    tmp_path_factory: pytest.TempPathFactory, document: str
) -> None:
    loads_or_explains(tmp_path_factory.getbasetemp() / "any.toml", document.encode())


@given(st.binary())
def test_any_bytes_either_load_or_are_explained(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    loads_or_explains(tmp_path_factory.getbasetemp() / "bytes.toml", content)


@given(st.data())
def test_a_secret_stays_unsaid_whatever_else_is_wrong_or_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    apps = [{**APP, **data.draw(st.dictionaries(_keys, _values, max_size=3)), "secret": SECRET}]
    document = f"apps = {toml(apps)}\nport = {SECRET!r}\n"
    end = data.draw(st.integers(0, len(document)))

    loads_or_explains(tmp_path_factory.getbasetemp() / "secret.toml", document[:end].encode())


class TestTheReference:
    def test_docs_say_what_the_structures_say(self) -> None:
        assert DOCS.read_text() == reference() + "\n", (
            "docs/configuration.md is behind: callboard config > docs/configuration.md"
        )

    @pytest.mark.parametrize("field", [*SERVER_FIELDS, *APP_FIELDS], ids=named)
    def test_has_a_row_for_every_field(self, field: Field) -> None:
        prefix = "CALLBOARD_" if field in SERVER_FIELDS else "CALLBOARD_APP_"
        [row] = [line for line in reference().splitlines() if line.startswith(f"| `{field.name}`")]

        assert field.description
        assert field.description in row
        assert f"`{prefix}{field.name.upper()}`" in row
        assert (f"`{field.flag}`" in row) == (field in SERVER_FIELDS)

    def test_no_line_says_a_thing_twice(self) -> None:
        for line in reference().splitlines():
            sentences = re.findall(r"[A-Z][^.|]+\.", line)
            assert len(sentences) == len(set(sentences)), line

    def test_its_example_loads_once_the_secret_is_filled_in(self, write: WriteFile) -> None:
        [example] = re.findall(r"```toml\n(.*?)```", reference(), re.DOTALL)

        assert "apps[0].secret" in problems(write(example))
        [app] = load(write(example.replace('secret = ""', f'secret = "{SECRET}"')), {}, {}).apps
        assert not app.built_in


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: Annotated[int, Meta(ge=1, description="How much.")] = 1


class Grown(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings as they may become."""

    mode: Literal["plain", "fancy"] = "plain"
    colour: Colour = Colour.RED
    path: Annotated[str | None, Meta(description="Where.")] = None
    lag_seconds: Annotated[float, Meta(gt=0, lt=5)] = 1.0
    level: Annotated[int, Meta(le=9)] = 1
    origins: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    part: Part = Part()
    parts: list[Part] = msgspec.field(default_factory=list)


class TestAStructureThatGrew:
    @pytest.mark.parametrize(
        ("name", "expectation", "scalar"),
        [
            ("mode", 'one of "fancy", "plain"', True),
            ("colour", 'one of "red", "blue"', True),
            ("path", "text", True),
            ("lag_seconds", "a number greater than 0 less than 5", True),
            ("level", "a whole number of at most 9", True),
            ("origins", "a list of text", False),
            ("labels", "a table", False),
            ("part", "a table", False),
            ("parts", "a list of tables", False),
            ("port", "a whole number from 0 to 65535", True),
        ],
    )
    def test_its_fields_are_described(self, name: str, expectation: str, scalar: bool) -> None:
        field = fields_of(Grown)[name]

        assert (field.expectation, field.scalar) == (expectation, scalar)

    def test_its_tables_are_found(self) -> None:
        fields = fields_of(Grown)

        assert (fields["part"].table, fields["part"].repeated) == (Part, False)
        assert (fields["parts"].table, fields["parts"].repeated) == (Part, True)
        assert fields["labels"].table is None

    def test_its_tables_are_checked_key_by_key(self) -> None:
        document = {"part": {"size": 0}, "parts": [{}, {"sice": 1}], "mode": "new"}

        assert [*toml_file.faults(document, Grown)] == [
            'mode: expected one of "fancy", "plain", got other text',
            "part.size: expected a whole number of at least 1, got 0",
            "parts[1].sice: unknown key; the nearest known one is `size`",
        ]

    @pytest.mark.parametrize(
        ("name", "word", "value"),
        [("mode", "fancy", "fancy"), ("colour", "blue", "blue"), ("level", "-3", -3)],
    )
    def test_its_values_are_read_from_text(self, name: str, word: str, value: Any) -> None:
        field = fields_of(Grown)[name]

        assert field.from_text(word) == value
        assert field.fault(value) is None


def test_two_listeners_need_two_ports(write: WriteFile) -> None:
    text = "port = 7901\ntls_port = 7901\ntls_certificate = 'c'\ntls_key = 'k'\n" + FILE
    with pytest.raises(ConfigurationError, match="tls_port and port are both 7901"):
        load(write(text), {}, {})
