"""A refused client learns why, twice, and is gone in five seconds whatever it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callboard_protocol.frames import CLOSE, PING, TEXT
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS
from callboard_server.settings import AppSettings, development_app
from support.serving import Serving, open_sockets, serving
from support.websocket import WebSocketPeer, close_frame, frame, text_frame

APPS = (
    development_app(),
    AppSettings(id="2", key="disabled", secret="secret", enabled=False),
    AppSettings(id="3", key="small", secret="secret", max_connections=1),
)
REFUSED = [
    ("/app/unknown?protocol=7", 4001, "App key unknown not in this cluster"),
    ("/app/disabled?protocol=7", 4003, "App is disabled"),
    ("/", 4005, "Path not found: /"),
    ("/app", 4005, "Path not found"),
    ("/app/", 4005, "Path not found"),
    ("/app/app-key/more", 4005, "Path not found"),
    ("/other/app-key?protocol=7", 4005, "expected /app/{key}"),
    ("/apps/app-id/events", 4005, "Path not found"),
    ("/app/app-key?protocol=seven", 4006, "'seven' is not an integer"),
    ("/app/app-key?protocol=", 4006, "is not an integer"),
    ("/app/app-key?protocol=7.0", 4006, "is not an integer"),
    ("/app/app-key?protocol=%D9%A7", 4006, "is not an integer"),
    ("/app/app-key?protocol=99999999999999999999", 4006, "is not an integer"),
    ("/app/app-key?protocol=4", 4007, "supported: 5, 6, 7"),
    ("/app/app-key?protocol=8", 4007, "Unsupported protocol version 8"),
]


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(apps=APPS) as running:
        yield running


def refused(server: Serving, code: int, target: str) -> tuple[WebSocketPeer, str]:
    """Read the refusal; return the client and what it was told."""
    client = server.websocket(target).upgraded()
    message = client.read_frame().json()
    assert set(message) == {"event", "data"}, "a channel would be looked for"
    assert message["event"] == "pusher:error"
    assert set(message["data"]) == {"code", "message"}
    assert message["data"]["code"] == code
    close = client.read_frame()
    assert close.close_code == code
    text: str = message["data"]["message"]
    assert text.startswith(close.payload[2:].decode())
    return client, text


@pytest.mark.documented(
    "Connection", "A refused connection is told 4001, 4003, 4005, 4006 or 4007 behind its handshake"
)
@pytest.mark.parametrize(("target", "code", "reason"), REFUSED)
def test_a_refusal_is_an_error_and_a_close_of_one_code(
    server: Serving, target: str, code: int, reason: str
) -> None:
    client, text = refused(server, code, target)
    assert reason in text
    client.send(close_frame(code))
    assert client.read_rest() == b"", "both have said goodbye"


@pytest.mark.documented(
    "Connection", "A connection over the quota is told 4004 until another leaves"
)
def test_one_connection_over_the_quota_is_refused_until_another_leaves(server: Serving) -> None:
    first = server.websocket("/app/small").established()
    refused(server, 4004, "/app/small")
    refused(server, 4004, "/app/small")
    first.send(close_frame(1000))
    first.read_farewell()
    second = server.websocket("/app/small").established()
    second.reset()
    server.settle()
    server.websocket("/app/small").established()


@pytest.mark.documented("Connection", "Protocol versions 5, 6 and 7 are spoken")
@pytest.mark.parametrize(
    "query", ["protocol=5", "protocol=6", "protocol=7", "", "client=js&flash=false&protocol=7&x"]
)
def test_these_versions_are_spoken(server: Serving, query: str) -> None:
    server.websocket(f"/app/app-key?{query}").established()


def test_a_refused_client_that_never_answers_is_cut_after_five_seconds(server: Serving) -> None:
    client, _ = refused(server, 4001, "/app/unknown")
    server.skip(CLOSE_TIMEOUT_SECONDS - 1)
    assert client.nothing_comes()
    server.skip(2)
    client.wait_for_end()


@pytest.mark.parametrize(
    "chatter",
    [
        text_frame({"event": "pusher:ping"}) * 50,
        frame(PING, b"ping") * 50,
        b"\x00\xff" * 500,
        frame(TEXT, b"x" * 10, length=2**40),
    ],
    ids=["messages", "pings", "rubbish", "an endless message"],
)
def test_nothing_a_refused_client_says_buys_it_time(server: Serving, chatter: bytes) -> None:
    client, _ = refused(server, 4001, "/app/unknown")
    for _ in range(3):
        client.send(chatter)
        server.skip(1.5)
    assert client.nothing_comes()
    server.skip(1.5)
    client.wait_for_end()


def test_a_close_behind_messages_already_on_their_way_is_understood(server: Serving) -> None:
    client, _ = refused(server, 4001, "/app/unknown")
    sent = text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}}) * 20
    client.send(sent[:77], sent[77:] + close_frame(1000)[:3], close_frame(1000)[3:])
    assert client.read_rest() == b""


def test_a_close_behind_a_large_message_is_understood(server: Serving) -> None:
    client, _ = refused(server, 4001, "/app/unknown")
    inside = close_frame(1000)
    large = frame(TEXT, inside * 1_000, mask=b"\0\0\0\0")
    start = len(large) - len(inside) * 1_000
    cuts = [start + len(inside) * 300, start + len(inside) * 600]
    for piece in (large[: cuts[0]], large[cuts[0] : cuts[1]], large[cuts[1] :]):
        client.send(piece)
        server.settle()
    assert client.nothing_comes(), "what looks like a close inside of the message is none"
    client.send(close_frame(1000))
    assert client.read_rest() == b""


def test_a_close_in_one_piece_with_the_upgrade_is_understood(server: Serving) -> None:
    client = server.websocket("/app/unknown", behind=text_frame("{}") + close_frame(1000))
    frames = client.upgraded().read_frames()
    assert [frame.opcode for frame in frames] == [TEXT, CLOSE]


def test_a_refused_client_that_half_closes_is_gone(server: Serving) -> None:
    client, _ = refused(server, 4001, "/app/unknown")
    client.half_close()
    assert client.read_rest() == b""


def test_refused_clients_leave_nothing(server: Serving) -> None:
    before = open_sockets()
    clients = [refused(server, 4001, "/app/unknown")[0] for _ in range(10)]
    assert len(open_sockets() - before) == 20
    for client in clients:
        client.reset()
    server.eventually(lambda: not open_sockets() - before)
    assert server.look(lambda running: (len(running.hub.transient), len(running.deadlines))) == (
        0,
        0,
    )
