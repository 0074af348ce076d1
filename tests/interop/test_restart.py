"""Clients stay while the server goes and comes back on the same port.

A server that ends closes its clients with 4100, which pusher-js answers by coming back a second
later. It does not try a second time for 15 s if that fails, so the close comes last of all.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.apps import APP, APPS
from interop.conftest import StartScript, server_sdk
from interop.node_script import NodeScript
from interop.pysher_client import SUBSCRIBED, PysherClient, signing
from interop.server_process import ServerProcess
from support.backend import Backend

#: "Back within a few seconds", with room for a busy machine.
BACK_SECONDS = 5.0
#: For a server that is slower to start than pusher-js to try: its second try comes after 15 s.
SECOND_TRY_SECONDS = 25.0
CHANNELS = ["desk", "presence-desk", "private-desk"]
USERS = ["alice", "bob"]


class Restartable:
    """A server in this process that comes back on the port it had."""

    def __init__(self) -> None:
        self._server = BackgroundServer(Settings(port=0, apps=APPS))
        self._server.start()
        self.port = self._server.port

    def stop(self) -> None:
        self._server.stop()

    def restart(self) -> None:
        self.stop()
        self._server = BackgroundServer(Settings(port=self.port, apps=APPS))
        self._server.start()


@pytest.fixture
def server() -> Iterator[Restartable]:
    server = Restartable()
    yield server
    server.stop()


@pytest.fixture
def api(server: Restartable) -> pusher.Pusher:
    return server_sdk(APP, server.port)


def subscribed(script: NodeScript, timeout: float = BACK_SECONDS) -> list[str]:
    """Wait until both users are subscribed; return their socket ids."""
    socket_ids = []
    for user in USERS:
        socket_ids.append(script.hear(f"{user} connected", timeout))
        assert sorted(script.hear(f"{user} subscribed", timeout) for _ in CHANNELS) == CHANNELS
    return socket_ids


def check_all_hear(script: NodeScript, api: pusher.Pusher, data: str) -> None:
    api.trigger(CHANNELS, "news", data)
    for user in USERS:
        heard = [script.hear(f"{user} hears") for _ in CHANNELS]
        assert sorted(heard) == [[channel, data] for channel in CHANNELS]


@pytest.mark.documented("SDKs", "pusher-js comes back after a restart with all its channels")
def test_pusher_js_comes_back_with_all_its_channels(
    server: Restartable, api: pusher.Pusher, node: StartScript, backend: Backend
) -> None:
    config = {"port": server.port, "key": APP.key, "endpoint": backend.endpoint}
    script = node("restart.cjs", "pusherJs", **config, channels=CHANNELS)
    before = subscribed(script)
    check_all_hear(script, api, "before")

    server.restart()
    after = subscribed(script)
    assert not set(before) & set(after)
    users = api.users_info("presence-desk")["users"]
    assert sorted(user["id"] for user in users) == USERS
    check_all_hear(script, api, "after")
    script.cue("alice greets", "private-desk")
    assert script.hear("bob greeted") == ["private-desk", {"user": "alice"}]
    script.cue("bob greets", "presence-desk")
    assert script.hear("alice greeted") == ["presence-desk", {"user": "bob"}]


def test_pysher_comes_back_and_subscribes_in_its_handler(
    server: Restartable, api: pusher.Pusher
) -> None:
    with PysherClient(
        APP,
        server.port,
        CHANNELS,
        ["news", "client-greeting"],
        reconnect_interval=0.5,
        **signing(APP, "alice"),
    ) as client:
        for round_ in ("before", "after"):
            for channel in CHANNELS:
                client.hear(SUBSCRIBED, channel, BACK_SECONDS)
            api.trigger(CHANNELS, "news", round_)
            assert [client.hear("news", channel) for channel in CHANNELS] == [round_] * 3
            if round_ == "before":
                server.restart()
                assert client.hear("pusher:error")["code"] == 4100


def test_pysher_subscribes_again_by_itself_if_asked_to(
    server: Restartable, api: pusher.Pusher
) -> None:
    """Its ``auto_sub`` is for public channels; it does not sign anew for the others."""
    options = {"reconnect_interval": 0.5, "auto_sub": True}
    with PysherClient(APP, server.port, ["desk"], ["news"], **options) as client:
        client.hear(SUBSCRIBED, "desk")
        server.restart()
        client.hear(SUBSCRIBED, "desk", BACK_SECONDS)
        api.trigger("desk", "news", "after")
        assert client.hear("news", "desk") == "after"


@pytest.mark.parametrize("broadcaster", ["pusher", "reverb"])
def test_laravel_echo_comes_back(
    broadcaster: str,
    server: Restartable,
    api: pusher.Pusher,
    node: StartScript,
    backend: Backend,
) -> None:
    config = {"port": server.port, "key": APP.key, "backend": backend.url, "name": "desk"}
    script = node("laravel-echo.mjs", "restart", broadcaster=broadcaster, **config)
    assert script.hear("here") == [{"name": "Bob"}]
    server.restart()
    assert script.hear("here", BACK_SECONDS) == [{"name": "Bob"}]
    api.trigger("presence-desk", "App\\Events\\NewMessage", {"text": "after"})
    assert script.hear("message") == {"text": "after"}


def test_server_sdks_go_on_with_their_kept_alive_connections(
    server: Restartable, api: pusher.Pusher, node: StartScript
) -> None:
    app = {"appId": APP.id, "key": APP.key, "secret": APP.secret}
    script = node("pusher-server.cjs", "restart", port=server.port, **app)
    assert script.hear("status") == 200
    assert api.trigger("news", "news", "before") == {}
    server.restart()
    script.cue("go on")
    assert script.hear("status") == 200
    assert api.trigger("news", "news", "after") == {}
    script.finish()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """``callboard serve``, running."""
    process = ServerProcess(tmp_path, APP)
    try:
        process.start()
        yield process
    finally:
        process.close()


def test_clients_survive_a_restart_of_the_process(
    process: ServerProcess, node: StartScript, backend: Backend
) -> None:
    api = server_sdk(APP, process.port)
    config = {"port": process.port, "key": APP.key, "endpoint": backend.endpoint}
    script = node("restart.cjs", "pusherJs", **config, channels=CHANNELS)
    options = signing(APP, "carol") | {"reconnect_interval": 0.5}
    with PysherClient(APP, process.port, CHANNELS, ["news"], **options) as client:
        subscribed(script)
        client.hear(SUBSCRIBED, CHANNELS[-1])
        assert process.end(signal.SIGTERM) == 0
        process.start()
        subscribed(script, SECOND_TRY_SECONDS)
        client.hear(SUBSCRIBED, CHANNELS[-1])
        check_all_hear(script, api, "after")
        assert client.hear("news", CHANNELS[-1]) == "after"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nobody_is_refused_while_the_socket_stays_open(
    number: signal.Signals, tmp_path: Path, node: StartScript, backend: Backend
) -> None:
    """With an inherited socket clients wait in its queue, however long the start takes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = ServerProcess(tmp_path, APP, listener.fileno())
        try:
            process.start()
            api = server_sdk(APP, process.port)
            config = {"port": process.port, "key": APP.key, "endpoint": backend.endpoint}
            script = node("restart.cjs", "pusherJs", **config, channels=CHANNELS)
            subscribed(script)
            began = time.perf_counter()
            process.end(number)
            process.start()
            subscribed(script)
            assert time.perf_counter() - began < BACK_SECONDS
            check_all_hear(script, api, "after")
        finally:
            process.close()


def test_a_draining_server_hands_its_clients_to_the_next(
    tmp_path: Path, node: StartScript, backend: Backend
) -> None:
    """Closed with 4200 one after the other, pusher-js is back at once, at whoever listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        old = ServerProcess(tmp_path / "old", APP, listener.fileno(), drain_seconds=0.5)
        new = ServerProcess(tmp_path / "new", APP, listener.fileno())
        try:
            old.start()
            config = {"port": old.port, "key": APP.key, "endpoint": backend.endpoint}
            script = node("restart.cjs", "pusherJs", **config, channels=CHANNELS)
            subscribed(script)
            new.start()
            assert old.end(signal.SIGTERM) == 0
            subscribed(script)
            check_all_hear(script, server_sdk(APP, new.port), "after")
        finally:
            old.close()
            new.close()
