"""Silence is answered with a ping and then with 4201; any frame at all is a sign of life."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callboard_protocol.frames import BINARY, PING, PONG, TEXT
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS
from support.serving import Serving, open_sockets, serving
from support.sockets import trigger
from support.websocket import WebSocketPeer, close_frame, frame, text_frame

ACTIVITY, PONG_WAIT = 40, 10
#: How late a deadline may be noticed, and a little more.
LATE = 1

SIGNS = {
    "pong": frame(PONG),
    "ping": frame(PING),
    "pusher:pong": text_frame({"event": "pusher:pong", "data": {}}),
    "pusher:ping": text_frame({"event": "pusher:ping"}),
    "a message": text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}}),
    "rubbish": text_frame("rubbish"),
    "binary": frame(BINARY, b"\x00"),
    "the first fragment": frame(TEXT, b"{", fin=False),
}


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(activity_timeout_seconds=ACTIVITY, pong_timeout_seconds=PONG_WAIT) as running:
        yield running


def read_pings(client: WebSocketPeer) -> None:
    """Both kinds: browsers show no WebSocket ping, and some clients no other."""
    ping = client.read_frame()
    assert (ping.opcode, ping.payload) == (PING, b"")
    assert client.read_frame().json() == {"event": "pusher:ping", "data": "{}"}


@pytest.mark.documented(
    "Connection",
    "A client silent for the activity timeout is pinged, and closed with 4201 without an answer",
)
def test_a_silent_client_is_pinged_and_then_closed(server: Serving) -> None:
    client = server.client()
    client.subscribe("channel")
    server.skip(ACTIVITY - LATE)
    assert client.nothing_comes()
    server.skip(2 * LATE)
    read_pings(client)
    server.skip(PONG_WAIT - 2 * LATE)
    assert client.nothing_comes()
    server.skip(3 * LATE)
    error = client.read_error()
    assert (error["code"], error["message"]) == (4201, "Pong reply not received in time")
    assert client.read_frame().close_code == 4201
    assert server.look(lambda running: len(running.hub.connections)) == 0
    client.send(close_frame(4201))
    assert client.read_rest() == b""


def test_a_client_that_is_gone_without_a_word_is_cut(server: Serving) -> None:
    before = open_sockets()
    server.client()
    server.eventually(lambda: len(open_sockets() - before) == 2)
    for seconds in (ACTIVITY, PONG_WAIT, CLOSE_TIMEOUT_SECONDS):
        server.skip(seconds + LATE)
    server.eventually(lambda: len(open_sockets() - before) == 1)


@pytest.mark.documented("Connection", "Any frame of the client is a sign of life")
@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS)
def test_any_sign_of_life_answers_the_ping(server: Serving, sign: bytes) -> None:
    client = server.client()
    server.skip(ACTIVITY + LATE)
    read_pings(client)
    client.send(sign)
    server.skip(PONG_WAIT + LATE)
    assert server.look(lambda running: len(running.hub.connections)) == 1
    server.skip(ACTIVITY + LATE)
    server.skip(PONG_WAIT + LATE)
    server.skip(LATE)
    assert server.look(lambda running: len(running.hub.connections)) == 0


@pytest.mark.parametrize("sign", [SIGNS["ping"], SIGNS["pusher:pong"], SIGNS["rubbish"]])
def test_a_client_that_says_something_now_and_then_is_not_pinged(
    server: Serving, sign: bytes
) -> None:
    client = server.client()
    for _ in range(4):
        server.skip(ACTIVITY - 2 * LATE)
        client.send(sign)
    server.skip(ACTIVITY - 2 * LATE)
    client.send(close_frame(1000))
    got = client.read_frames()
    assert PING not in [frame.opcode for frame in got]
    assert all(b"pusher:ping" not in frame.payload for frame in got)


def test_what_a_client_is_sent_is_no_sign_of_its_life(server: Serving) -> None:
    client = server.client()
    client.subscribe("channel")
    for _ in range(4):
        server.skip(ACTIVITY / 4)
        server.ask(trigger("channel", "event", "data"))
        client.read_event("event")
    server.skip(LATE)
    read_pings(client)


def test_clients_have_their_own_deadlines(server: Serving) -> None:
    early = server.client()
    server.skip(ACTIVITY / 2)
    late = server.client()
    server.skip(ACTIVITY / 2 + LATE)
    read_pings(early)
    assert late.nothing_comes()
    server.skip(ACTIVITY / 2 + LATE)
    read_pings(late)


def test_without_help_time_passes_too() -> None:
    """The one test that waits for the server's own clock."""
    with serving(activity_timeout_seconds=1, pong_timeout_seconds=0.1) as server:
        client = server.client()
        read_pings(client)
        assert client.read_error()["code"] == 4201
