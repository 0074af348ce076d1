"""Who may call the API: apps, keys, signatures and the status of each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pusher
import pytest
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus, PusherForbidden

from callboard_server.clock import SystemClock
from callboard_server.settings import AppSettings
from support.app_server import AppServer, app, signed_query

MINE = app()
THEIRS = app(id="1002", key="key-2", secret="secret-2")
DISABLED = app(id="1003", key="key-3", secret="secret-3", enabled=False)
EVENT = b'{"name":"e","channel":"c","data":"d"}'
PATH = "/apps/1001/events"

#: Method and path of every call, below the app.
CALLS = [
    ("POST", "events"),
    ("POST", "batch_events"),
    ("GET", "channels"),
    ("GET", "channels/presence-a"),
    ("GET", "channels/presence-a/users"),
]


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(MINE, THEIRS, DISABLED) as server:
        yield server


def query(**changes: str | None) -> str:
    return signed_query(MINE, "POST", PATH, {}, EVENT, **changes)


def test_a_signed_call_is_answered(server: AppServer) -> None:
    answer = server.send("POST", PATH, query(), EVENT)
    assert (answer.status, answer.content_type, answer.body) == (200, "application/json", b"{}")


@pytest.mark.documented(
    "HTTP API", "A call that is not rightly signed is answered with 401 and hosted Pusher's text"
)
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"auth_key": None}, "Missing parameter: auth_key"),
        ({"auth_key": "key-9"}, "Unknown auth_key"),
        ({"auth_key": THEIRS.key}, "Unknown auth_key"),
        ({"auth_version": None}, "Version required"),
        ({"auth_version": "2.0"}, "Version not supported"),
        ({"auth_timestamp": None}, "Timestamp required"),
        ({"auth_timestamp": "1380444393"}, "Timestamp expired: Given timestamp (2013-09-29T08:46"),
        ({"body_md5": None}, "Missing parameter: body_md5 is required for a request with a body"),
        ({"body_md5": "d41d8cd98f00b204e9800998ecf8427e"}, "Invalid body_md5: the MD5 of the body"),
    ],
)
def test_a_call_that_is_not_signed_as_it_should_be_is_told_why(
    server: AppServer, changes: dict[str, str | None], text: str
) -> None:
    listener = server.client()
    listener.subscribe("c")
    assert server.send("POST", PATH, query(**changes), EVENT).refusal(401).startswith(text)
    listener.quiet()


def test_a_call_without_a_query_misses_the_key(server: AppServer) -> None:
    assert server.send("POST", PATH, "", EVENT).refusal(401) == "Missing parameter: auth_key"


@pytest.mark.documented("HTTP API", "`body_md5` must be that of the body")
def test_another_body_than_was_signed_is_refused(server: AppServer) -> None:
    forged = EVENT.replace(b'"d"', b'"x"')
    assert server.send("POST", PATH, query(), forged).refusal(401).startswith("Invalid body_md5")


@pytest.mark.documented("HTTP API", "The key must be that of the app in the path")
@pytest.mark.parametrize(
    "signer",
    [AppSettings(id=MINE.id, key=MINE.key, secret=THEIRS.secret), THEIRS],
    ids=["another secret", "another app"],
)
def test_no_app_may_speak_for_another(server: AppServer, signer: AppSettings) -> None:
    forged = signed_query(signer, "POST", PATH, {}, EVENT)
    text = server.send("POST", PATH, forged, EVENT).refusal(401)
    assert text.startswith(("Invalid signature", "Unknown auth_key"))
    assert MINE.secret not in text


@pytest.mark.documented("HTTP API", "A wrong signature is answered with the string to sign")
def test_a_wrong_signature_is_answered_with_the_string_to_sign(server: AppServer) -> None:
    right = query()
    signed, _, _ = right.rpartition("&auth_signature=")
    text = server.send("POST", PATH, signed + "&auth_signature=beef", EVENT).refusal(401)
    assert text == (
        f'Invalid signature: you should have sent HmacSHA256Hex("POST\\n{PATH}\\n{signed}", '
        'your_secret_key), but you sent "beef"'
    )


@pytest.mark.documented("HTTP API", "A timestamp is within 600 seconds of the server's time")
@pytest.mark.parametrize(("offset", "status"), [(-590, 200), (590, 200), (-610, 401), (610, 401)])
def test_ten_minutes_are_the_limit_in_both_directions(
    server: AppServer, offset: int, status: int
) -> None:
    timestamp = str(int(SystemClock().now()) + offset)
    answer = server.send("POST", PATH, query(auth_timestamp=timestamp), EVENT)
    assert answer.status == status


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_needs_a_signature(server: AppServer, method: str, path: str) -> None:
    answer = server.send(method, f"/apps/1001/{path}", "", b"{}" if method == "POST" else b"")
    assert answer.refusal(401) == "Missing parameter: auth_key"


@pytest.mark.documented("HTTP API", "An unknown app is answered with 404, a disabled one with 403")
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_knows_unknown_and_disabled_apps(
    server: AppServer, method: str, path: str
) -> None:
    unknown = app(id="9999")
    call: Callable[..., Any] = server.get if method == "GET" else server.post
    arguments = [path] if method == "GET" else [path, {"name": "e"}]
    assert call(*arguments, unknown).refusal(404) == "Unknown app_id: '9999'"
    assert call(*arguments, DISABLED).refusal(403) == "App is disabled"


def test_a_disabled_app_is_not_told_apart_without_its_secret(server: AppServer) -> None:
    path = f"/apps/{DISABLED.id}/channels"
    assert server.send("GET", path).refusal(401) == "Missing parameter: auth_key"


@pytest.mark.parametrize("path", ["", "nothing", "events/", "channels/a/b", "channels/a/users/b"])
def test_an_unknown_path_is_not_found(server: AppServer, path: str) -> None:
    assert server.get(path).refusal(404) == f"Not found: /apps/1001/{path}"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "events", "POST"), ("GET", "batch_events", "POST"), ("POST", "channels", "GET")],
)
def test_another_method_is_told_the_right_one(
    server: AppServer, method: str, path: str, allowed: str
) -> None:
    answer = server.get(path) if method == "GET" else server.post(path, {})
    assert answer.refusal(405) == f"Method not allowed: use {allowed}"


def test_these_tests_sign_as_the_documentations_own_example() -> None:
    example = app(key="278d425bdf160c739803", secret="7ad3773142a6692b25b8")
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    signed = signed_query(example, "POST", "/apps/3/events", {}, body, auth_timestamp="1353088179")
    assert signed.endswith("da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c")


# The official library reads statuses and bodies its own way.


def library(server: AppServer, app: AppSettings, **changes: str) -> pusher.Pusher:
    options = {"app_id": app.id, "key": app.key, "secret": app.secret, **changes}
    return pusher.Pusher(**options, host="127.0.0.1", port=server.port, ssl=False)


def test_the_official_library_reads_every_answer(server: AppServer) -> None:
    client = server.client()
    client.enter("presence-a", "ann")
    api = library(server, MINE)
    assert api.trigger(["presence-a"], "e", {"text": "ü"}) == {}
    assert client.receive()["data"] == '{"text": "ü"}'
    assert api.trigger("presence-a", "e", "d", client.socket_id) == {}
    batch = [{"channel": "presence-a", "name": "f", "data": "d"}]
    assert api.trigger_batch(batch) == {}
    assert client.receive()["event"] == "f"
    assert api.channels_info("presence-", ["user_count"]) == {
        "channels": {"presence-a": {"user_count": 1}}
    }
    assert api.channel_info("presence-a", ["user_count", "subscription_count"]) == {
        "occupied": True,
        "user_count": 1,
        "subscription_count": 1,
    }
    assert api.users_info("presence-a") == {"users": [{"id": "ann"}]}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"key": "key-9"}, PusherBadAuth, "Unknown auth_key"),
        ({"secret": "wrong"}, PusherBadAuth, "Invalid signature"),
        ({"app_id": "9999"}, PusherBadStatus, "404: Unknown app_id"),
    ],
)
def test_the_official_library_knows_the_refusals(
    server: AppServer, options: dict[str, str], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        library(server, MINE, **options).trigger("c", "e", "d")


def test_the_official_library_knows_a_disabled_app_and_a_wrong_request(server: AppServer) -> None:
    with pytest.raises(PusherForbidden, match="App is disabled"):
        library(server, DISABLED).channels_info()
    with pytest.raises(PusherBadRequest, match="Users can only be retrieved"):
        library(server, MINE).users_info("public")
