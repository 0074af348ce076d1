"""A fault of one connection, one deadline or the broker is not the fault of the others."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from callboard_protocol import signatures
from callboard_protocol.frames import TEXT
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.connection import Connection
from callboard_server.deadlines import Deadlines
from callboard_server.outbox import Flusher, Outbox
from callboard_server.settings import AppSettings, development_app
from support.serving import Serving, serving
from support.websocket import WebSocketPeer, frame, text_frame

logger = logging.getLogger("callboard.server")


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as running:
        yield running


# Writes


class Client:
    """A connection to the flusher, whose transport may be broken."""

    paused = False

    def __init__(self, fault: Exception | None = None) -> None:
        self.outbox: Outbox = None
        self.written: list[bytes] = []
        self.is_cut = False
        self._fault = fault
        self.write: Callable[[bytes], object] = self._write

    def _write(self, data: bytes) -> None:
        if self._fault is not None:
            raise self._fault
        self.written.append(data)

    def hold(self, data: bytes) -> None:
        raise AssertionError("nobody is paused here")

    def cut(self) -> None:
        self.is_cut = True


def test_a_write_that_raises_cuts_its_connection_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns: list[Callable[[], None]] = []
    flusher = Flusher(turns.append, lambda: 0.0)
    clients = [Client(), Client(OSError("broken")), Client()]
    flusher.send_all(clients, b"one")
    while turns:
        turns.pop()()
    flusher.send_all(clients, b"two")
    while turns:
        turns.pop()()
    assert [client.written for client in clients] == [[b"one", b"two"], [], [b"one", b"two"]]
    assert [client.is_cut for client in clients] == [False, True, False]
    assert "a write failed" in caplog.text


# Deadlines


class Item:
    due: int | None = None

    def __init__(self, fault: Exception | None = None) -> None:
        self.told = 0
        self._fault = fault

    def overdue(self) -> None:
        self.told += 1
        if self._fault is not None:
            raise self._fault


def test_a_deadline_that_raises_spoils_no_other(caplog: pytest.LogCaptureFixture) -> None:
    deadlines = Deadlines(0.0)
    items = [Item(ValueError("broken") if number % 2 else None) for number in range(20)]
    for item in items:
        deadlines.set(item, 1.0)
    deadlines.advance(10.0)
    assert [item.told for item in items] == [1] * 20
    assert len(deadlines) == 0
    assert caplog.text.count("a deadline could not be kept") == 10


# The broker


class Broken(Exception):
    pass


async def _raise_at_once(*arguments: Any, **options: Any) -> Any:
    raise Broken


async def _raise_later(*arguments: Any, **options: Any) -> Any:
    await asyncio.sleep(0)
    raise Broken


@pytest.mark.parametrize("fault", [_raise_at_once, _raise_later])
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("join", {"event": "pusher:subscribe", "data": {"channel": "a"}}),
        ("sign_in", {"event": "pusher:signin"}),
    ],
)
def test_a_broker_that_fails_sends_the_client_away_and_keeps_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, fault: Any, method: str, message: dict[str, Any]
) -> None:
    monkeypatch.setattr(MemoryBroker, method, fault)
    # The fault is logged, which the fixture would take for one of the server's own.
    monkeypatch.setattr("callboard_server.handlers.logger.exception", lambda *arguments: None)
    with serving() as server:
        client, other = server.client(), server.client()
        if method == "sign_in":
            user_data = json.dumps({"id": "ada", "watchlist": ["bob"]})
            string = signatures.user_string(client.socket_id, user_data)
            auth = signatures.auth("app-key", "app-secret", string)
            message = {**message, "data": {"auth": auth, "user_data": user_data}}
        client.send(text_frame(message))
        assert client.read_error()["code"] == 4100
        assert client.read_frame().close_code == 4100
        server.settle()
        assert server.look(lambda running: running.hub._channels) == {}
        assert server.look(lambda running: running.hub.users.connections("app-id", "ada")) == ()
        assert other.still_up()


def test_a_broker_that_cannot_count_a_connection_refuses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MemoryBroker, "connect", _raise_at_once)
    monkeypatch.setattr("callboard_server.admission.logger.exception", lambda *arguments: None)
    with serving() as server:
        client = server.websocket()
        client.upgraded()
        assert client.read_error()["code"] == 4100
        assert client.read_frame().close_code == 4100


# What a client may cost


def _buffered(server: Serving, client: WebSocketPeer) -> int:
    connection = server.look(lambda running: running.hub.connections[client.socket_id])
    return len(connection.outlet._message or b"")


def test_empty_fragments_cost_nothing(server: Serving) -> None:
    client = server.client()
    client.send(frame(TEXT, b"", fin=False))
    for _ in range(20):
        client.send(frame(0, b"", fin=False) * 500)
    client.send(frame(0, b'{"event":', fin=False))
    # It reads so many in many turns.
    server.eventually(lambda: _buffered(server, client) == len(b'{"event":'))
    assert client.nothing_comes()
    client.send(frame(0, b'"pusher:ping"}'))
    client.read_event("pusher:pong")


def test_bytes_of_a_frame_that_never_ends_are_no_sign_of_life() -> None:
    with serving(activity_timeout_seconds=10, pong_timeout_seconds=5.0) as server:
        client = server.client()
        endless = frame(TEXT, b"x" * 1000)
        for place in range(6):
            client.send(endless[place * 10 : place * 10 + 10])
            server.settle()
            server.skip(3)
        server.skip(20)
        assert client.read_frames()[-1].close_code == 4201


def test_a_client_that_left_is_forgotten_without_the_garbage_collector(server: Serving) -> None:
    gc.collect()
    gc.disable()
    try:
        client = server.client()
        remembered: list[weakref.ref[Connection]] = []

        def remember(running: Any) -> None:
            remembered.append(weakref.ref(running.hub.connections[client.socket_id]))

        server.look(remember)
        client.reset()
        server.eventually(lambda: remembered[0]() is None)
    finally:
        gc.enable()


def test_the_time_to_sign_in_ends_with_the_connection() -> None:
    app = AppSettings(id="a", key="app-key", secret="s", user_authentication_timeout_seconds=3600.0)
    with serving(apps=(app,)) as server:
        client = server.client()
        client.reset()
        server.eventually(lambda: not server.look(lambda running: running.hub.connections))
        server.settle()
        assert server.look(lambda running: len(running.deadlines)) == 0


def test_leaving_very_many_channels_gives_the_others_their_turn(server: Serving) -> None:
    client = server.client()
    for part in range(10):
        client.send(
            b"".join(
                text_frame({"event": "pusher:subscribe", "data": {"channel": f"c-{part}-{n}"}})
                for n in range(100)
            )
        )
        for _ in range(100):
            client.read_event("pusher_internal:subscription_succeeded")
    client.reset()

    def channels(running: Any) -> Any:
        return running.broker._channels["app-id"]

    server.eventually(lambda: not server.look(channels))
    assert development_app().max_channels_per_connection is None
