"""Messages that are wrong are answered with what is wrong with them, and the connection stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from callboard_protocol import signatures
from callboard_protocol.frames import BINARY, PING, PONG, TEXT
from support.serving import Serving, serving
from support.websocket import WebSocketPeer, close_frame, fragments, frame, text_frame


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.fixture
def client(server: Serving) -> WebSocketPeer:
    return server.client()


def assert_answered(client: WebSocketPeer, sent: bytes, reason: str) -> None:
    """Send something wrong; expect an error that says so and a connection that goes on."""
    client.send(sent)
    error = client.read_error()
    assert error["code"] is None
    assert reason in error["message"], error
    assert client.still_up()


def subscribe_private(client: WebSocketPeer, channel: str, channel_data: str | None = None) -> None:
    string = signatures.channel_string(client.socket_id, channel, channel_data)
    data = {"auth": signatures.auth("app-key", "app-secret", string)}
    if channel_data is not None:
        data["channel_data"] = channel_data
    client.subscribe(channel, **data)


@pytest.mark.documented(
    "Connection", "The first frame is `connection_established` with socket id and activity timeout"
)
def test_the_first_frame_is_connection_established(server: Serving) -> None:
    client = server.websocket().upgraded()
    message = client.read_event("pusher:connection_established")
    assert set(message) == {"event", "data"}
    data = json.loads(message["data"])
    assert set(data) == {"socket_id", "activity_timeout"}
    assert data["activity_timeout"] == 120
    first, _, second = data["socket_id"].partition(".")
    assert first.isdigit()
    assert second.isdigit()


# Not a message


@pytest.mark.documented(
    "Connection", "What is not a message is answered with `pusher:error`, and the connection stays"
)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("hello", "Invalid JSON"),
        ('{"event":"pusher:ping"', "Invalid JSON"),
        ('{"event":"pusher:ping"}}', "Invalid JSON"),
        ('{"event":NaN}', "Invalid JSON"),
        ("[" * 5_000 + "]" * 5_000, "Invalid JSON"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "Invalid JSON"),
        ('"text"', "Expected a JSON object"),
        ("[]", "Expected a JSON object"),
        ("1e999", "JSON"),
        ("{}", "Expected parameter event to be a string, got nothing"),
    ],
)
def test_what_is_no_message(client: WebSocketPeer, text: str, reason: str) -> None:
    assert_answered(client, text_frame(text), reason)


@pytest.mark.parametrize("value", [None, True, 7, 0.5, [], {}])
def test_an_event_of_the_wrong_type(client: WebSocketPeer, value: Any) -> None:
    assert_answered(client, text_frame({"event": value}), "parameter event to be a string")


@pytest.mark.parametrize("value", [True, 7, 0.5, [], {}])
def test_a_channel_of_the_wrong_type(client: WebSocketPeer, value: Any) -> None:
    message = {"event": "client-x", "channel": value, "data": {}}
    assert_answered(client, text_frame(message), "parameter channel to be a string")


@pytest.mark.parametrize("event", ["pusher:subscribe", "pusher:unsubscribe"])
@pytest.mark.parametrize("value", [None, True, 7, 0.5, [], "", "text", "7", "[]"])
def test_data_of_the_wrong_type(client: WebSocketPeer, event: str, value: Any) -> None:
    assert_answered(client, text_frame({"event": event, "data": value}), "parameter data")
    assert_answered(client, text_frame({"event": event}), "parameter data")


@pytest.mark.parametrize("key", ["channel", "auth", "channel_data"])
@pytest.mark.parametrize("value", [True, 7, 0.5, [], {}])
def test_a_part_of_a_subscription_of_the_wrong_type(
    client: WebSocketPeer, key: str, value: Any
) -> None:
    data = {"channel": "presence-x", "auth": "a:b", "channel_data": "{}", key: value}
    sent = text_frame({"event": "pusher:subscribe", "data": data})
    assert_answered(client, sent, f"parameter data.{key} to be a string")


def test_a_subscription_without_channel(client: WebSocketPeer) -> None:
    sent = text_frame({"event": "pusher:subscribe", "data": {}})
    assert_answered(client, sent, "Missing parameter: data.channel")


@pytest.mark.parametrize("event", ["", "pusher:nothing", "pusher_internal:member_added", "event"])
def test_an_unsupported_event(client: WebSocketPeer, event: str) -> None:
    assert_answered(client, text_frame({"event": event}), "Unsupported event received on socket")


@pytest.mark.parametrize("depth", [100, 300, 1_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_in_data(server: Serving, depth: int, opening: str, closing: str) -> None:
    """Where a client event goes, it arrives or is refused; it harms neither side."""
    sender, reader = server.client(), server.client()
    for client in (sender, reader):
        subscribe_private(client, "private-x")
    nested = opening * depth + ("1" if closing == "}" else "") + closing * depth
    sender.send(text_frame(f'{{"event":"client-x","channel":"private-x","data":{nested}}}'))
    if depth <= 100:
        assert reader.read_event("client-x")["data"] == nested
    else:
        assert sender.read_error()["code"] is None
    assert sender.still_up()
    assert reader.still_up()


def test_deep_nesting_in_a_members_info(client: WebSocketPeer) -> None:
    nested = "[" * 400 + "]" * 400
    channel_data = f'{{"user_id":"1","user_info":{nested}}}'
    string = signatures.channel_string(client.socket_id, "presence-x", channel_data)
    client.say(
        "pusher:subscribe",
        {
            "channel": "presence-x",
            "auth": signatures.auth("app-key", "app-secret", string),
            "channel_data": channel_data,
        },
    )
    client.read_frame()
    assert client.still_up()


def test_many_wrong_messages_in_one_piece_are_answered_one_by_one(client: WebSocketPeer) -> None:
    names = [f"wrong-{number}" for number in range(1_000)]
    client.send(b"".join(text_frame({"event": name}) for name in names))
    for name in names:
        assert repr(name) in client.read_error()["message"]


# Not text


@pytest.mark.documented(
    "Connection", "Binary frames are not supported: an error, and the connection stays"
)
def test_a_binary_message_is_an_error_and_nothing_more(client: WebSocketPeer) -> None:
    assert_answered(client, frame(BINARY, b"\x00\xff"), "Binary frames are not supported")
    whole = b"".join(fragments(b"\x00", b"\xff", b'{"event":"pusher:ping"}', opcode=BINARY))
    assert_answered(client, whole, "Binary frames are not supported")


# Signs of life


@pytest.mark.documented(
    "Connection", "`pusher:ping` is answered with `pusher:pong`, a WebSocket ping with a pong"
)
@pytest.mark.parametrize("payload", [b"", b"payload", b"\x00\xff" * 62])
def test_a_ping_is_answered_with_its_payload(client: WebSocketPeer, payload: bytes) -> None:
    client.send(frame(PING, payload))
    answer = client.read_frame()
    assert (answer.opcode, answer.payload) == (PONG, payload)


def test_an_unasked_pong_is_no_message(client: WebSocketPeer) -> None:
    client.send(frame(PONG, b"unasked"))
    assert client.still_up()


@pytest.mark.documented(
    "Connection", "`pusher:ping` is answered with `pusher:pong`, a WebSocket ping with a pong"
)
@pytest.mark.parametrize("data", [{}, "", "{}", None, 7, []])
def test_pusher_ping_is_answered(client: WebSocketPeer, data: Any) -> None:
    client.send(text_frame({"event": "pusher:ping", "data": data}))
    assert client.read_frame().json() == {"event": "pusher:pong", "data": "{}"}
    client.send(text_frame({"event": "pusher:pong", "data": data}))
    assert client.still_up(), "a pong is answered with nothing"


def test_a_ping_behind_messages_is_answered_behind_them(client: WebSocketPeer) -> None:
    client.send(text_frame({"event": "pusher:ping"}) * 3 + frame(PING, b"last"))
    assert [client.read_frame().opcode for _ in range(4)] == [TEXT, TEXT, TEXT, PONG]


# The client's close


@pytest.mark.parametrize(
    "payload", [b"", (1000).to_bytes(2, "big"), (4999).to_bytes(2, "big") + "Grüße".encode()]
)
def test_a_close_is_echoed_and_the_end(client: WebSocketPeer, payload: bytes) -> None:
    client.send(frame(0x8, payload))
    assert client.read_frame().payload == payload
    assert client.read_rest() == b""


def test_what_was_asked_before_a_close_is_answered_before_it(client: WebSocketPeer) -> None:
    client.send(
        text_frame({"event": "pusher:ping"}) * 2
        + close_frame(1000)
        + text_frame({"event": "pusher:ping"})
    )
    frames = client.read_frames()
    assert [got.opcode for got in frames] == [TEXT, TEXT, 0x8]


def test_a_client_that_leaves_has_left_its_channels(server: Serving) -> None:
    reader = server.client()
    subscribe_private(reader, "presence-x", '{"user_id":"reader"}')
    for number, leave in enumerate((WebSocketPeer.half_close, WebSocketPeer.reset)):
        leaver = server.client()
        subscribe_private(leaver, "presence-x", f'{{"user_id":"{number}"}}')
        reader.read_event("pusher_internal:member_added")
        leave(leaver)
        data = reader.read_event("pusher_internal:member_removed")["data"]
        assert json.loads(data) == {"user_id": str(number)}
