"""Apps change without a restart, and whoever is not concerned notices nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callboard.errors import ConfigurationError
from callboard.reloading import Reloading
from callboard_server import server as server_module
from callboard_server.background import BackgroundServer
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.settings import AppSettings, Settings, development_app
from support.entrance import SHOP, Answer, Client, Entrance, signed

BANK = AppSettings(id="2", key="bank-key", secret="bank-secret", client_events=True)
#: No step of a process takes this long, in seconds; a test that waits longer has failed.
PATIENCE = 20.0


def changed(app: AppSettings, **changes: Any) -> AppSettings:
    return msgspec.structs.replace(app, **changes)


class Served:
    """A running server with the apps SHOP and BANK."""

    def __init__(self, background: BackgroundServer, stack: ExitStack) -> None:
        self._background = background
        self.way = Entrance(stack, port=background.port)

    def apps(self, *apps: AppSettings, **settings: Any) -> None:
        """Read a configuration with these apps."""
        self._background.reload(Settings(port=0, apps=apps, **settings))

    def client(self, app: AppSettings, channel: str = "news") -> Client:
        client = self.way.client(app)
        client.subscribe(channel)
        return client

    def channels(self, app: AppSettings) -> Answer:
        path = f"/apps/{app.id}/channels"
        return self.way.request("GET", f"{path}?{signed(app, path, method='GET')}")


@pytest.fixture
def served() -> Iterator[Served]:
    with (
        BackgroundServer(Settings(port=0, apps=(SHOP, BANK))) as background,
        ExitStack() as stack,
    ):
        yield Served(background, stack)


class TestAnApp:
    def test_that_is_new_is_served(self, served: Served) -> None:
        new = AppSettings(id="3", key="new-key", secret="new-secret")
        assert served.way.refused(new)[0] == 4001

        served.apps(SHOP, BANK, new)

        client = served.client(new)
        assert served.way.trigger("news", app=new) == Answer(200, "{}")
        client.hears("news")

    @pytest.mark.documented(
        "Connection",
        "Clients of an app that is removed are closed with 4001, of one that is disabled with 4003",
    )
    def test_that_is_gone_is_unknown_to_its_clients_and_its_backend(self, served: Served) -> None:
        client = served.client(SHOP)

        served.apps(BANK)

        code, message = client.ended()
        assert code == 4001
        assert message.startswith("App key shop-key not in this cluster")
        assert served.way.refused(SHOP)[0] == 4001
        assert served.way.trigger("news", app=SHOP).status == 404

    def test_that_comes_back_begins_afresh(self, served: Served) -> None:
        served.client(SHOP)

        served.apps(BANK)
        served.apps(BANK, SHOP)

        assert served.channels(SHOP) == Answer(200, '{"channels":{}}')
        served.client(SHOP).quiet()

    @pytest.mark.documented(
        "Connection",
        "Clients of an app that is removed are closed with 4001, of one that is disabled with 4003",
    )
    def test_that_is_disabled_takes_nobody(self, served: Served) -> None:
        client = served.client(SHOP)

        served.apps(changed(SHOP, enabled=False), BANK)

        assert client.ended() == (4003, "App is disabled")
        assert served.way.refused(SHOP) == (4003, "App is disabled")
        assert served.way.trigger("news", app=SHOP) == Answer(403, "App is disabled\n")
        served.apps(SHOP, BANK)
        served.client(SHOP).quiet()

    def test_with_another_limit_has_it_for_clients_that_are_there(self, served: Served) -> None:
        client = served.client(SHOP, "private-room")

        served.apps(changed(SHOP, max_event_payload_bytes=5), BANK)

        client.send("client-e", "123456", channel="private-room")
        assert "allowed maximum (5 bytes)" in client.receive()["data"]["message"]
        assert served.way.trigger("private-room", "123456").status == 413
        assert served.way.trigger("private-room", "12345").status == 200
        client.hears("private-room", "12345")

    def test_may_be_given_client_events(self, served: Served) -> None:
        served.apps(changed(SHOP, client_events=False), BANK)
        client, other = served.client(SHOP, "private-room"), served.client(SHOP, "private-room")
        client.send("client-e", "1", channel="private-room")
        assert "enable this feature" in client.receive()["data"]["message"]

        served.apps(SHOP, BANK)

        client.send("client-e", "2", channel="private-room")
        assert other.receive()["data"] == "2"

    def test_with_another_secret_wants_it_from_now_on(self, served: Served) -> None:
        client = served.client(SHOP, "private-room")
        rotated = changed(SHOP, secret="another-secret")

        served.apps(rotated, BANK)

        assert "Invalid signature" in client.ask("private-more")["data"]["message"]
        client.app = rotated
        client.subscribe("private-more")
        assert served.way.trigger("private-room", app=SHOP).status == 401
        assert served.way.trigger("private-room", app=rotated).status == 200
        client.hears("private-room")

    def test_with_another_key_keeps_the_clients_it_has(self, served: Served) -> None:
        client = served.client(SHOP)
        renamed = changed(SHOP, key="another-key")

        served.apps(renamed, BANK)

        assert served.way.refused(SHOP)[0] == 4001
        newcomer = served.client(renamed)
        assert served.way.trigger("news", app=renamed).status == 200
        client.hears("news")
        newcomer.hears("news")

    def test_asks_only_new_clients_where_they_come_from(self, served: Served) -> None:
        client = served.client(SHOP)

        served.apps(changed(SHOP, allowed_origins=("https://a.example",), tls_only=True), BANK)

        client.quiet()
        assert served.way.refused(SHOP)[0] == 4000

    def test_that_goes_while_a_client_is_being_admitted_does_not_get_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked, opened = asyncio.Event(), asyncio.Event()
        connect = MemoryBroker.connect

        async def connect_slowly(broker: MemoryBroker, *arguments: Any) -> bool:
            asked.set()
            await opened.wait()
            return await connect(broker, *arguments)

        monkeypatch.setattr(MemoryBroker, "connect", connect_slowly)
        limited = changed(SHOP, max_connections=1)

        with (
            BackgroundServer(Settings(port=0, apps=(limited, BANK))) as background,
            ExitStack() as stack,
        ):
            served = Served(background, stack)
            waiting = served.way.connect()
            waiting.sendall(
                b"GET /app/shop-key HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\n\r\n"
            )
            on_loop(background, asked.wait)
            served.apps(BANK)
            on_loop(background, lambda: _set(opened))

            answer = b""
            while b"pusher:error" not in answer:
                answer += waiting.recv(65536)
            assert b"App key shop-key not in this cluster" in answer
            assert b"connection_established" not in answer
            # Nor is it counted: there is room for one.
            served.apps(limited)
            served.client(limited).quiet()


class TestWhoeverIsNotConcerned:
    def test_stays_and_hears_nothing_of_it(self, served: Served) -> None:
        client = served.client(BANK)
        room = served.client(BANK, "private-room")

        served.apps(changed(SHOP, secret="another"), BANK)
        served.apps(BANK)
        served.apps(BANK, changed(SHOP, enabled=False))

        client.quiet()
        room.quiet()
        assert served.way.trigger("news", app=BANK).status == 200
        client.hears("news")
        assert '"news":{},"private-room":{}' in served.channels(BANK).text

    def test_has_its_turn_when_many_have_to_go(
        self, served: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server_module, "_CLIENTS_PER_TURN", 4)
        clients = [served.client(SHOP) for _ in range(30)]
        others = [served.client(BANK) for _ in range(3)]

        served.apps(BANK)

        assert {client.ended()[0] for client in clients} == {4001}
        assert served.way.trigger("news", app=BANK).status == 200
        for client in others:
            client.hears("news")


class TestTheLog:
    def test_names_the_apps_and_never_a_secret(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        new = AppSettings(id="3", key="new-key", secret="new-secret")

        with caplog.at_level(logging.INFO, "callboard.server"):
            served.apps(changed(BANK, secret="another-secret"), new)

        assert "reloaded apps=2 added=['3'] removed=['1'] changed=['2']" in caplog.text
        assert "secret" not in caplog.text.replace("removed", "")

    def test_says_what_waits_for_a_restart(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        served.apps(SHOP, BANK, drain_seconds=7.0, unix_socket="/nowhere", host="localhost")
        served.apps(SHOP, BANK, drain_seconds=7.0)

        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert said == [
            "not changed before a restart: host, unix_socket, drain_seconds",
            "not changed before a restart: drain_seconds",
        ]
        served.client(SHOP).quiet()


class Signalled:
    """A :class:`Reloading` without a process: what it would read is given by the test."""

    def __init__(self) -> None:
        self.reads: list[Settings | Exception] = []
        self.taken: list[Settings] = []
        self.faults: list[str] = []
        self._reading = asyncio.Event()

    def load(self) -> Settings:
        read = self.reads.pop(0)
        if isinstance(read, Exception):
            raise read
        return read

    async def reload(self, settings: Settings) -> None:
        self.taken.append(settings)


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        (Settings(apps=(SHOP, development_app())), False),
        (Settings(apps=(SHOP, changed(BANK, secret="app-secret"))), False),
        (Settings(apps=(SHOP, BANK)), True),
    ],
)
async def test_credentials_that_everyone_knows_are_not_taken_where_other_machines_are(
    settings: Settings, taken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    signalled = Signalled()
    signalled.reads = [settings]
    with socket.socket() as public:
        public.bind(("0.0.0.0", 0))
        await hang_up(signalled, [public])

    assert signalled.taken == ([settings] if taken else [])
    assert ("nothing is changed" in caplog.text) is not taken


async def test_a_fault_is_one_line_and_the_next_signal_is_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signalled = Signalled()
    fault = ConfigurationError(["a.toml: port: expected a number.", "a.toml: apps: missing."])
    signalled.reads = [fault, RuntimeError("a mistake of ours"), Settings()]

    for _ in range(3):
        await hang_up(signalled, [])

    assert signalled.taken == [Settings()]
    assert [record.getMessage() for record in caplog.records] == [
        "SIGHUP: nothing is changed: a.toml: port: expected a number. a.toml: apps: missing.",
        "SIGHUP: failed",
    ]


async def hang_up(signalled: Signalled, sockets: list[socket.socket]) -> None:
    """Let a Reloading of this process work on one SIGHUP."""
    loop = asyncio.get_running_loop()
    reloading = Reloading(loop, signalled.load)
    left = len(signalled.reads)
    task = loop.create_task(reloading.run(signalled, sockets))  # type: ignore[arg-type]
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while len(signalled.reads) == left:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
    finally:
        task.cancel()
        loop.remove_signal_handler(signal.SIGHUP)


class Process:
    """``callboard serve`` with a configuration file."""

    def __init__(self, process: asyncio.subprocess.Process, file: Path) -> None:
        self._process = process
        self._file = file

    async def line(self, stream: asyncio.StreamReader | None, wanted: str) -> str:
        assert stream is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await stream.readline()).decode():
                if wanted in line:
                    return line
        raise AssertionError(f"the process ended without {wanted!r}")

    async def port(self) -> int:
        return int((await self.line(self._process.stdout, "listens on")).rpartition(":")[2])

    async def reads(self, text: str, says: str) -> str:
        """Write the file, send SIGHUP, and return the line of the log with ``says`` in it."""
        self._file.write_text(text)
        self._process.send_signal(signal.SIGHUP)
        return await self.line(self._process.stderr, says)

    async def ends(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[asyncio.subprocess.Process] = []

    async def start(text: str, *flags: str, **variables: str) -> Process:
        file = tmp_path / "callboard.toml"
        file.write_text(text)
        command = (sys.executable, "-m", "callboard", "serve", "--config", str(file), *flags)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CALLBOARD_", "PUSHER_", "LISTEN_"))
        }
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**kept, **variables},
        )
        started.append(process)
        return Process(process, file)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def toml(*apps: AppSettings, port: int = 0) -> str:
    lines = [f"port = {port}"]
    for app in apps:
        lines += ["[[apps]]", f'id = "{app.id}"', f'key = "{app.key}"', f'secret = "{app.secret}"']
    return "\n".join(lines)


class TestTheSignal:
    async def test_reads_the_file_again(self, start: Start) -> None:
        process = await start(toml(SHOP))
        port = await process.port()
        with ExitStack() as stack:
            way = Entrance(stack, port=port)
            client = await asyncio.to_thread(way.client, SHOP)

            said = await process.reads(toml(SHOP, BANK), "reloaded")

            assert "apps=2 added=['2'] removed=[] changed=[]" in said
            await asyncio.to_thread(lambda: way.client(BANK).quiet())
            await asyncio.to_thread(client.quiet)
        assert await process.ends() == 0

    @pytest.mark.parametrize(
        ("broken", "fault"),
        [
            ("port = ", "not valid TOML"),
            (toml(BANK, SHOP) + "\nsecre = 1", "apps[1].secre: unknown key"),
            (toml(BANK, BANK), "two apps have the id '2'"),
            (toml(BANK) + "\nmax_connections = 0\nenabled = 7", "apps[0].enabled: expected"),
        ],
        ids=["not TOML", "unknown key", "an app twice", "two faults"],
    )
    async def test_leaves_everything_as_it_was_if_the_file_is_broken(
        self, broken: str, fault: str, start: Start
    ) -> None:
        process = await start(toml(SHOP))
        port = await process.port()
        with ExitStack() as stack:
            way = Entrance(stack, port=port)
            client = await asyncio.to_thread(way.client, SHOP)

            said = await process.reads(broken, "SIGHUP")

            assert "nothing is changed: " in said
            assert fault in said
            assert SHOP.secret not in said
            assert BANK.secret not in said
            await asyncio.to_thread(client.quiet)
            assert (await asyncio.to_thread(way.refused, BANK))[0] == 4001
            assert "added=['2']" in await process.reads(toml(SHOP, BANK), "reloaded")
        assert await process.ends() == 0

    async def test_reads_the_same_flags_and_variables_again(self, start: Start) -> None:
        variables = {f"PUSHER_APP_{name}": "env" for name in ("ID", "KEY", "SECRET")}
        process = await start(toml(SHOP), "--drain", "0.5", **variables)
        await process.port()

        said = await process.reads(toml(BANK) + "\n", "reloaded")
        assert "apps=2 added=['2'] removed=['1'] changed=[]" in said
        said = await process.reads("max_message_bytes = 1000\n" + toml(BANK), "restart")
        assert said.endswith("not changed before a restart: max_message_bytes\n")
        assert await process.ends() == 0


def _set(event: asyncio.Event) -> Awaitable[Any]:
    async def set_event() -> None:
        event.set()

    return set_event()


def on_loop(background: BackgroundServer, function: Callable[[], Awaitable[Any]]) -> Any:
    """Return what ``function()`` returns on the server's thread, in ten seconds at most."""

    async def run() -> Any:
        return await function()

    assert background._loop is not None
    return asyncio.run_coroutine_threadsafe(run(), background._loop).result(10.0)
