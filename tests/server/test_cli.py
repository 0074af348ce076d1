"""The command: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pusher
import pytest
from click.testing import CliRunner, Result

from callboard import announcement, open_files, ports_file
from callboard.cli import main
from callboard.configuration import flag_fields
from callboard.errors import StartError
from callboard.reference import reference
from callboard.serve import serve_until_signal
from callboard_protocol import __version__
from callboard_server import listeners
from callboard_server.settings import AppSettings, Settings, development_app

SECRET = "s3cr3t-of-nobody"
SHOP = AppSettings(id="shop", key="shop-key", secret=SECRET)
FOREIGN = ("CALLBOARD_", "PUSHER_", "LISTEN_")
#: No step of a process takes this long, in seconds; a test that waits longer has failed.
PATIENCE = 20.0
CALLBOARD = (sys.executable, "-m", "callboard")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, arguments, env=environment, prog_name="callboard")


class Process:
    """A callboard process, ended with the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self, stream: str, wanted: str) -> str:
        """Return the first line from `stream` in which `wanted` is found."""
        reader: asyncio.StreamReader = getattr(self.process, stream)
        async with asyncio.timeout(PATIENCE):
            while line := (await reader.readline()).decode():
                if re.search(wanted, line):
                    return line
        raise AssertionError(f"no {wanted!r} on {stream}")

    async def started(self) -> int:
        """Return the port as soon as the announcement says it."""
        line = await self.line("stdout", "listens on")
        return int(line.rpartition(":")[2])

    async def signalled(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Return the exit status."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


class Starter:
    """Starts processes."""

    def __init__(self) -> None:
        self.started: list[asyncio.subprocess.Process] = []

    async def __call__(self, *command: str, **options: Any) -> Process:
        streams = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(*command, **{**streams, **options})
        self.started.append(process)
        return Process(process)

    async def end(self) -> None:
        for process in self.started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    starter = Starter()
    yield starter
    await starter.end()


class TestUsage:
    def test_says_its_version(self) -> None:
        assert run("--version").output == f"callboard, version {__version__}\n"

    @pytest.mark.parametrize("command", ["serve", "check"])
    def test_help_has_every_flag_and_the_exit_status(self, command: str) -> None:
        said = " ".join(run(command, "--help").output.split())

        for flag in [field.flag for field in flag_fields()]:
            assert f"{flag} " in said
        for flag in ("--config FILE", "--ports-file PATH", "--fd N", "--drain SECONDS"):
            assert flag in said
        assert "0 ended as asked 1 refused to start; stderr says why 2 wrong usage" in said

    def test_config_prints_the_reference(self) -> None:
        assert run("config").output == reference() + "\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["serve", "--nonsense"], "No such option"),
            (["serve", "--fd", "-1"], "--fd"),
            (["serve", "--port", "x"], "'--port': expected a whole number from 0 to 65535, got te"),
            (["check", "--drain", "-1"], "'--drain': expected a number of at least 0, got -1"),
            (["dance"], "No such command"),
        ],
    )
    def test_wrong_usage_is_exit_status_2(self, arguments: list[str], said: str) -> None:
        result = run(*arguments)

        assert result.exit_code == 2
        assert said in result.stderr


class TestCheck:
    def test_says_what_would_start(self) -> None:
        result = run("check", "--port", "0")

        assert result.exit_code == 0
        assert "127.0.0.1 port 0 (a free one)" in result.stdout
        assert "app-id (client events, built-in development credentials)" in result.stdout

    def test_reads_the_same_sources_as_serve(self, tmp_path: Path) -> None:
        file = tmp_path / "callboard.toml"
        file.write_text(f"port = 0\n[[apps]]\nid='shop'\nkey='k'\nsecret='{SECRET}'\nenabled=false")
        environment = {f"PUSHER_APP_{name}": "b" for name in ("ID", "KEY", "SECRET")}

        result = run("check", "--config", str(file), "--host", "0.0.0.0", environment=environment)

        assert result.exit_code == 0
        assert "0.0.0.0 port 0" in result.stdout
        assert "2 apps:\n  app shop (not enabled, no client events)\n  app b (" in result.stdout
        assert SECRET not in result.output

    @pytest.mark.parametrize(
        "field",
        [field for field in flag_fields() if field.default is not None],
        ids=lambda field: field.name,
    )
    def test_takes_every_flag_with_its_default(self, field: Any) -> None:
        given = [field.flag] if field.switch else [field.flag, str(field.default)]
        assert run("check", "--port", "0", *given).exit_code == 0

    @pytest.mark.parametrize("field", [field for field in flag_fields() if field.switch])
    def test_a_switch_has_a_flag_for_each_way(self, field: Any) -> None:
        for flag in field.flags:
            assert run("check", "--port", "0", flag).exit_code == 0
        assert run("check", "--port", "0", field.flag, "true").exit_code == 2

    def test_does_not_need_the_port_to_be_free(self, taken: socket.socket) -> None:
        port = taken.getsockname()[1]

        result = run("check", "--port", str(port))

        assert result.exit_code == 0
        assert f"127.0.0.1 port {port} (in use now)" in result.stdout

    def test_leaves_the_port_free(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

        assert run("check", "--port", str(port)).exit_code == 0
        socket.create_server(("127.0.0.1", port)).close()

    def test_makes_no_folder_for_tasks_and_asks_for_none_without_a_scheduler(
        self, tmp_path: Path
    ) -> None:
        assert run("check", "--port", "0", "--data", str(tmp_path / "data")).exit_code == 0
        assert list(tmp_path.iterdir()) == []
        unscheduled = ["--data", "/proc/data", "--no-scheduler"]
        assert run("check", "--port", "0", *unscheduled).exit_code == 0

    def test_does_without_a_scheduler_where_nothing_can_be_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody asked for the default folder; a Pusher server needs none."""
        monkeypatch.chdir("/proc")
        checked = run("check", "--port", "0")
        assert checked.exit_code == 0
        assert "Scheduler: off, as no tasks can be kept: Cannot use" in checked.output

    @pytest.mark.parametrize(
        ("arguments", "environment", "said"),
        [
            (["--config", "/nowhere/callboard.toml"], {}, "/nowhere/callboard.toml: cannot read"),
            ([], {"CALLBOARD_CONFIG": "/nowhere"}, "/nowhere: cannot read"),
            ([], {"CALLBOARD_PROT": "1"}, "CALLBOARD_PROT"),
            (["--host", "192.0.2.1"], {}, "does not have the address 192.0.2.1"),
            (["--ports-file", "/nowhere/ports.json"], {}, "there is no folder /nowhere"),
            (["--data", "/proc/data"], {}, "Cannot use /proc/data: "),
            (["--fd", "1000000"], {}, "File descriptor 1000000 is not a socket"),
            (["--host", "0.0.0.0"], {}, "other machines can reach 0.0.0.0"),
            (
                ["--host", "0.0.0.0"],
                {"PUSHER_APP_ID": "a", "PUSHER_APP_KEY": "app-key", "PUSHER_APP_SECRET": SECRET},
                "The app 'a' has built-in development credentials",
            ),
            (
                ["--host", "0.0.0.0"],
                {"PUSHER_APP_ID": "a", "PUSHER_APP_KEY": "b", "PUSHER_APP_SECRET": "app-secret"},
                "set CALLBOARD_APP_ID, CALLBOARD_APP_KEY, CALLBOARD_APP_SECRET",
            ),
        ],
    )
    def test_says_why_it_would_not_start(
        self, arguments: list[str], environment: dict[str, str], said: str
    ) -> None:
        result = run("check", *arguments, environment=environment)

        assert result.exit_code == 1
        assert said in result.stderr
        assert SECRET not in result.output
        assert not result.stdout

    def test_judges_a_socket_that_is_handed_over_by_its_own_address(
        self, taken: socket.socket
    ) -> None:
        with socket.create_server(("0.0.0.0", 0)) as public:
            refused = run("check", "--fd", str(public.fileno()))
        allowed = run("check", "--fd", str(taken.fileno()), "--host", "0.0.0.0")

        assert (refused.exit_code, allowed.exit_code) == (1, 0)
        assert "other machines can reach 0.0.0.0" in refused.stderr
        assert f"127.0.0.1 port {taken.getsockname()[1]}" in allowed.stdout


class TestServe:
    async def test_announces_itself_and_ends_with_0(self, start: Starter, tmp_path: Path) -> None:
        ports = tmp_path / "ports.json"

        server = await start(*CALLBOARD, "serve", "--port", "0", "--ports-file", str(ports))
        port = await server.started()

        assert json.loads(ports.read_text()) == {"host": "127.0.0.1", "port": port}
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        line = await server.line("stdout", "pusher-js")
        assert f'new Pusher("app-key", {{cluster: "", wsHost: "127.0.0.1", wsPort: {port}, ' in line
        assert await server.signalled(signal.SIGTERM) == 0
        assert [path.name for path in tmp_path.iterdir()] == ["ports.json"]

    async def test_ctrl_c_ends_with_0_too(self, start: Starter) -> None:
        server = await start(*CALLBOARD, "serve", "--port", "0")
        await server.started()

        assert await server.signalled(signal.SIGINT) == 0

    async def test_nobody_need_read_stdout(self, start: Starter, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)

        server = await start(*CALLBOARD, "serve", "--port", "0", stdout=writing)
        os.close(writing)
        await server.line("stderr", "nobody reads stdout")

        assert await server.signalled(signal.SIGTERM) == 0

    @pytest.mark.parametrize(
        ("first", "second", "status"),
        [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGINT, signal.SIGTERM, 143)],
    )
    async def test_a_second_signal_quits_at_once(
        self, first: signal.Signals, second: signal.Signals, status: int, start: Starter
    ) -> None:
        # A server that never comes to an end: only the second signal can.
        program = """
import asyncio
from callboard import serve
from callboard_server import server
from callboard_server.settings import Settings

class Endless(server.Server):
    async def stop(self, drain_seconds=None):
        await asyncio.Event().wait()

server.Server = Endless
serve.run(Settings(port=0), ports_path=None, fd=None, environment={})
"""
        server = await start(sys.executable, "-c", program)
        await server.started()
        server.process.send_signal(first)
        await server.line("stderr", f"{first.name}: ending in order")

        assert await server.signalled(second) == status

    async def test_refuses_in_a_sentence(self, start: Starter, taken: socket.socket) -> None:
        port = taken.getsockname()[1]

        server = await start(*CALLBOARD, "serve", "--port", str(port))
        output, errors = await server.process.communicate()

        assert server.process.returncode == 1
        assert f"127.0.0.1 port {port} is in use" in errors.decode()
        assert b"Traceback" not in errors
        assert not output

    async def test_a_port_that_is_taken_at_the_last_moment_is_explained(self) -> None:
        [other] = listeners.bind("127.0.0.1", 0)
        [ours] = listeners.bind("127.0.0.1", other.getsockname()[1])
        other.listen()

        with other, pytest.raises(listeners.ListenError, match="in use"):
            await serve_until_signal(
                Settings(), [ours], name="127.0.0.1", ports_path=None, limit=None
            )

        assert ours.fileno() == -1

    async def test_ends_what_it_began_if_the_ports_file_cannot_be_written(
        self, tmp_path: Path
    ) -> None:
        sockets = listeners.bind("127.0.0.1", 0)

        with pytest.raises(StartError, match="Cannot write the ports file"):
            await serve_until_signal(
                Settings(), sockets, name="127.0.0.1", ports_path=tmp_path, limit=None
            )

        assert sockets[0].fileno() == -1

    async def test_does_not_serve_built_in_credentials_to_other_machines(
        self, start: Starter, tmp_path: Path
    ) -> None:
        ports = tmp_path / "ports.json"

        server = await start(
            *CALLBOARD, "serve", "--host", "0.0.0.0", "--port", "0", "--ports-file", str(ports)
        )
        _, errors = await server.process.communicate()

        assert server.process.returncode == 1
        assert b"other machines can reach 0.0.0.0" in errors
        assert b"Traceback" not in errors
        assert not ports.exists()

    async def test_listens_on_the_socket_that_it_is_given(
        self, start: Starter, taken: socket.socket
    ) -> None:
        port, fd = taken.getsockname()[1], taken.fileno()

        server = await start(*CALLBOARD, "serve", "--port", "1", "--fd", str(fd), pass_fds=[fd])

        assert await server.started() == port
        assert await server.signalled(signal.SIGTERM) == 0

    async def test_listens_on_the_sockets_of_systemd(
        self, start: Starter, taken: socket.socket
    ) -> None:
        port, fd = taken.getsockname()[1], taken.fileno()
        # systemd knows the process's number before it runs; a process that becomes it does, too.
        program = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""

        server = await start(
            sys.executable, "-c", program, str(fd), *CALLBOARD, "serve", pass_fds=[fd]
        )

        assert await server.started() == port
        assert await server.signalled(signal.SIGTERM) == 0


class TestTheAnnouncement:
    def lines(
        self, *apps: AppSettings, name: str | None = "127.0.0.1", host: str = "127.0.0.1"
    ) -> list[str]:
        addresses = [(host, 6001), ("::1", 6001)]
        return announcement.announce(apps, addresses, name=name, open_files=1024).splitlines()

    def test_says_where_and_with_how_many_files(self) -> None:
        lines = self.lines(SHOP)

        assert lines[0] == (
            f"Callboard {__version__} listens on http://127.0.0.1:6001, http://[::1]:6001"
        )
        assert lines[1] == "Open files: limit 1024 (each connection takes one)"

    def test_says_where_tasks_are_kept_if_any_are(self) -> None:
        addresses = [("127.0.0.1", 6001)]
        said = announcement.announce([SHOP], addresses, name=None, open_files=1, data="/var/tasks")

        assert "Scheduler: on; tasks are kept in /var/tasks" in said
        assert "Scheduler" not in "\n".join(self.lines(SHOP))

    def test_the_line_for_pusher_js_is_complete(self) -> None:
        assert (
            '  pusher-js:      new Pusher("shop-key", {cluster: "", wsHost: "127.0.0.1", '
            'wsPort: 6001, httpHost: "127.0.0.1", httpPort: 6001, forceTLS: false})'
        ) in self.lines(SHOP)

    def test_the_line_for_the_node_sdk_is_complete(self) -> None:
        assert (
            '  Node pusher:    new Pusher({appId: "shop", key: "shop-key", secret: "***", '
            'host: "127.0.0.1", port: 6001, useTLS: false})'
        ) in self.lines(SHOP)

    def test_the_line_for_the_python_sdk_makes_a_client(self) -> None:
        app = AppSettings(id="17", key="shop-key", secret=SECRET)
        [line] = [line for line in self.lines(app) if "Python" in line]

        constructor = line.partition(":")[2].strip()
        client = eval(constructor, {"pusher": pusher})._pusher_client  # noqa: S307 - our own line

        assert (client.app_id, client.key) == ("17", "shop-key")
        assert (client.scheme, client.host, client.port) == ("http", "127.0.0.1", 6001)

    def test_an_id_that_the_python_sdk_refuses_is_not_pasted_into_its_line(self) -> None:
        with pytest.raises(ValueError, match="Invalid app id"):
            pusher.Pusher(app_id=SHOP.id, key=SHOP.key, secret=SHOP.secret)

        [line] = [line for line in self.lines(SHOP) if "Python" in line]
        assert "only digits" in line

    @pytest.mark.parametrize(
        ("app", "shown"),
        [
            (development_app(), "app-secret"),
            (SHOP, "***"),
            (AppSettings(id="app-id", key="app-key", secret=SECRET), "***"),
        ],
    )
    def test_only_the_secret_that_everyone_knows_is_shown(
        self, app: AppSettings, shown: str
    ) -> None:
        lines = self.lines(app)

        assert f'secret: "{shown}"' in "\n".join(lines)
        assert SECRET not in "\n".join(lines)

    def test_there_are_lines_for_each_app(self) -> None:
        off = AppSettings(id="off", key="off-key", secret=SECRET, enabled=False)

        lines = self.lines(SHOP, off)

        assert "App shop" in lines
        assert "App off (not enabled)" in lines
        assert sum("pusher-js:" in line for line in lines) == 2

    @pytest.mark.parametrize(
        ("name", "host", "shown"),
        [
            ("localhost", "127.0.0.1", "localhost"),
            ("callboard.example", "10.0.0.1", "callboard.example"),
            ("0.0.0.0", "0.0.0.0", "YOUR-HOST"),
            ("::", "::", "YOUR-HOST"),
            ("::1", "::1", "[::1]"),
            (None, "10.0.0.1", "10.0.0.1"),
            (None, "0.0.0.0", "YOUR-HOST"),
        ],
    )
    def test_clients_get_a_host_that_they_can_reach(
        self, name: str | None, host: str, shown: str
    ) -> None:
        assert f'wsHost: "{shown}"' in "\n".join(self.lines(SHOP, name=name, host=host))

    def test_no_limit_of_open_files_is_said_too(self) -> None:
        said = announcement.announce([SHOP], [("::1", 1)], name=None, open_files=None)

        assert "Open files: no limit" in said


class TestThePortsFile:
    def test_holds_host_and_port_for_every_reader(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"
        mask = os.umask(0o022)
        try:
            ports_file.write(path, "::1", 6001)
        finally:
            os.umask(mask)

        assert json.loads(path.read_text()) == {"host": "::1", "port": 6001}
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def test_is_complete_before_it_takes_the_old_ones_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "ports.json"
        path.write_text("old")
        seen: list[tuple[str, object, Path]] = []
        replace = Path.replace

        def record(draft: Path, target: Path) -> Path:
            seen.append((path.read_text(), json.loads(draft.read_text()), draft.parent))
            return replace(draft, target)

        monkeypatch.setattr(Path, "replace", record)
        ports_file.write(path, "127.0.0.1", 6001)

        assert seen == [("old", {"host": "127.0.0.1", "port": 6001}, tmp_path)]
        assert json.loads(path.read_text())["port"] == 6001
        assert [*tmp_path.iterdir()] == [path]

    @pytest.mark.parametrize(
        ("name", "reason"), [("folder", "folder"), ("missing/ports.json", "no folder|No such file")]
    )
    def test_leaves_everything_as_it_was_when_it_cannot_be_written(
        self, tmp_path: Path, name: str, reason: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        path = tmp_path / name

        with pytest.raises(StartError, match=f"Cannot write the ports file {path}: "):
            ports_file.write(path, "127.0.0.1", 6001)
        with pytest.raises(StartError, match=reason):
            ports_file.check(path)
        assert [*tmp_path.iterdir()] == [tmp_path / "folder"]

    def test_a_folder_that_must_not_be_written_to_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Root may write everywhere, so the system's answer is put in its place.
        monkeypatch.setattr(os, "access", lambda *_: False)

        with pytest.raises(StartError, match=f"may not write to {tmp_path}"):
            ports_file.check(tmp_path / "ports.json")


class TestOpenFiles:
    def test_the_soft_limit_becomes_the_hard_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limits = [(256, 4096)]
        monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
        monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))

        assert open_files.raise_limit() == 4096
        assert limits[-1] == (4096, 4096)

    @pytest.mark.parametrize(
        ("soft", "limit"), [(256, 256), (resource.RLIM_INFINITY, None)], ids=["kept", "unlimited"]
    )
    def test_a_limit_that_cannot_be_raised_stays(
        self, monkeypatch: pytest.MonkeyPatch, soft: int, limit: int | None
    ) -> None:
        def refuse(_: int, wanted: tuple[int, int]) -> None:
            raise ValueError("current limit exceeds maximum limit")

        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
        monkeypatch.setattr(resource, "setrlimit", refuse)

        assert open_files.raise_limit() == limit
