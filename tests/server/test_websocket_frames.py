"""RFC 6455 from the server's side: frames in every form, and the close code of each violation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callboard_protocol.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS
from support.serving import Serving, serving
from support.websocket import WebSocketPeer, close_frame, fragments, frame, text_frame

LIMIT = 70_000
ASK = b'{"event":"pusher:ping"}'


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(max_message_bytes=LIMIT) as running:
        yield running


@pytest.fixture
def client(server: Serving) -> WebSocketPeer:
    return server.client()


def assert_pong(client: WebSocketPeer) -> None:
    client.read_event("pusher:pong")


# Pieces


@pytest.mark.parametrize("cut", range(1, len(text_frame(ASK))))
def test_a_frame_may_be_cut_anywhere(server: Serving, client: WebSocketPeer, cut: int) -> None:
    whole = text_frame(ASK)
    client.send(whole[:cut])
    server.settle()
    client.send(whole[cut:])
    assert_pong(client)


def test_frames_may_come_in_one_byte_pieces(client: WebSocketPeer) -> None:
    for data in (text_frame(ASK), b"".join(fragments(ASK[:5], ASK[5:]))):
        client.send_by_bytes(data)
        assert_pong(client)
    client.send_by_bytes(frame(PING, b"still up?"))
    assert client.read_frame().payload == b"still up?"


def test_many_frames_may_come_in_one_piece(client: WebSocketPeer) -> None:
    client.send((text_frame(ASK) + frame(PING, b"ping") + b"".join(fragments(ASK, b""))) * 300)
    opcodes = [client.read_frame().opcode for _ in range(900)]
    assert opcodes == [TEXT, PONG, TEXT] * 300


@pytest.mark.parametrize("size", [0, 125, 126, 127, 65_535, 65_536, LIMIT])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_every_form_of_a_length_is_understood(
    client: WebSocketPeer, opcode: int, size: int
) -> None:
    client.send(frame(opcode, b"x" * size))
    reason = "Binary frames" if opcode == BINARY else "Invalid JSON"
    assert reason in client.read_error()["message"]
    assert client.still_up()


def test_any_mask_is_taken_off(client: WebSocketPeer) -> None:
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x80\x00\xfe"):
        client.send(frame(TEXT, ASK, mask=mask))
        assert_pong(client)


# Fragments


def test_fragments_are_one_message(client: WebSocketPeer) -> None:
    first, second, third = fragments(ASK[:7], ASK[7:9], ASK[9:])
    client.send(first, second, third)
    assert_pong(client)
    client.send(first + second + third + text_frame(ASK))
    assert_pong(client)
    assert_pong(client)


def test_control_frames_may_lie_between_fragments(client: WebSocketPeer) -> None:
    first, second, third = fragments(ASK[:7], ASK[7:9], ASK[9:])
    client.send(first + frame(PING, b"1") + second, frame(PONG) + frame(PING, b"2"), third)
    assert client.read_frame().payload == b"1"
    assert client.read_frame().payload == b"2"
    assert_pong(client)


def test_a_character_may_be_cut_by_fragments(client: WebSocketPeer) -> None:
    text = '{"event":"Grüße-€-🎭"}'.encode()
    client.send(*fragments(*(text[at : at + 1] for at in range(len(text)))))
    assert "Grüße-€-🎭" in client.read_error()["message"]
    assert client.still_up()


def test_empty_fragments_are_allowed(client: WebSocketPeer) -> None:
    client.send(*fragments(b"", ASK, b"", b""))
    assert_pong(client)
    client.send(*fragments(b"", b"", b""))
    assert "Invalid JSON" in client.read_error()["message"]


def test_a_close_between_fragments_ends_it(client: WebSocketPeer) -> None:
    client.send(fragments(ASK, b"")[0], close_frame(1000))
    assert client.read_frame().opcode == CLOSE
    client.wait_for_end()


# Violations

VIOLATIONS = {
    "unmasked": (1002, frame(TEXT, ASK, mask=None)),
    "reserved bit 1": (1002, frame(TEXT, ASK, reserved=4)),
    "reserved bit 2": (1002, frame(TEXT, ASK, reserved=2)),
    "reserved bit 3": (1002, frame(PING, reserved=1)),
    "unknown opcode": (1002, frame(0x3, ASK)),
    "unknown control opcode": (1002, frame(0xB)),
    "continuation without start": (1002, frame(CONTINUATION, ASK)),
    "start within a message": (1002, fragments(ASK, b"")[0] + text_frame(ASK)),
    "binary within a message": (1002, fragments(ASK, b"")[0] + frame(BINARY)),
    "fragmented ping": (1002, frame(PING, fin=False)),
    "ping that is too long": (1002, frame(PING, b"x" * 126)),
    "close of one byte": (1002, frame(CLOSE, b"\x03")),
    "close with a code of the reserved": (1002, close_frame(1005)),
    "close with an unknown code": (1002, close_frame(99)),
    "close with a reason that is no text": (1007, frame(CLOSE, b"\x03\xe8\xff")),
    "text that is no UTF-8": (1007, text_frame(b'{"event":"\xff"}')),
    "a surrogate": (1007, text_frame(b'{"event":"\xed\xa0\x80"}')),
    "an overlong form": (1007, text_frame(b"\xc0\xaf")),
    "fragments that are no UTF-8": (1007, b"".join(fragments(b'"\xe2\x82', b'"'))),
    "text that ends within a character": (1007, text_frame(b"\xf0\x9f\x8e")),
}


@pytest.mark.parametrize(("code", "sent"), VIOLATIONS.values(), ids=VIOLATIONS)
@pytest.mark.parametrize("by_bytes", [False, True], ids=["whole", "in pieces"])
def test_a_violation_is_closed_with_its_code(
    client: WebSocketPeer, code: int, sent: bytes, by_bytes: bool
) -> None:
    if by_bytes:
        client.send_by_bytes(text_frame(ASK) + sent)
    else:
        client.send(text_frame(ASK) + sent)
    assert_pong(client)
    assert client.read_frame().close_code == code
    try:
        client.send(close_frame(code))
    except ConnectionError:
        pass
    client.wait_for_end()
    assert not client.buffer, "nothing follows a close"


TOO_LARGE = {
    "text": frame(TEXT, length=LIMIT + 100),
    "binary": frame(BINARY, length=LIMIT + 100),
    "text of absurd length": frame(TEXT, length=2**62),
    "second fragment": fragments(b"x" * 100, b"")[0] + frame(CONTINUATION, length=LIMIT + 100),
}


@pytest.mark.parametrize("head", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_is_too_large_is_closed_by_its_head_alone(client: WebSocketPeer, head: bytes) -> None:
    client.send(head)
    assert client.read_frame().close_code == 1009
    client.wait_for_end()


def test_fragments_that_are_too_large_together_are_closed(client: WebSocketPeer) -> None:
    half = b"x" * (LIMIT // 2)
    client.send(*fragments(half, half, b""))
    assert "Invalid JSON" in client.read_error()["message"], "exactly the limit"
    client.send(*fragments(half, half, b"x"))
    assert client.read_frame().close_code == 1009


def test_a_large_message_is_closed_and_the_client_learns_why(client: WebSocketPeer) -> None:
    try:
        client.send(text_frame(b"x" * 10_000_000))
    except ConnectionError:
        pass
    assert client.read_frame().close_code == 1009


def test_messages_behind_a_violation_are_not_carried_out(server: Serving) -> None:
    reader, client = server.client(), server.client()
    reader.subscribe("channel")
    subscribe = text_frame({"event": "pusher:subscribe", "data": {"channel": "other"}})
    client.send(text_frame(b"\xff") + subscribe)
    assert client.read_frame().close_code == 1007
    server.settle()
    assert server.look(lambda running: len(running.hub.connections)) == 1


def test_a_client_that_violates_and_stays_is_cut(server: Serving, client: WebSocketPeer) -> None:
    client.send(text_frame(b"\xff"))
    assert client.read_frame().close_code == 1007
    server.skip(CLOSE_TIMEOUT_SECONDS + 1)
    client.wait_for_end()
