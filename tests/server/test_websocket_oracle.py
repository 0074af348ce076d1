"""The hot path and the library behind it understand what the library alone understands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from callboard_protocol.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame_end
from callboard_server import websocket
from callboard_server.apps import AppRegistry
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.connection import Connection
from callboard_server.deadlines import Deadlines
from callboard_server.hub import Hub
from callboard_server.outbox import Flusher
from callboard_server.settings import Settings
from support.websocket import frame

LIMIT = 600


@dataclass
class Understood:
    """What one side took a client's bytes for."""

    texts: list[str] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close_code: int | None = None


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def set_write_buffer_limits(self, high: int) -> None:
        pass


def ours(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Understood:
    understood = Understood()

    def receive(connection: Connection, text: str) -> None:
        understood.texts.append(text)

    soon: list[Callable[[], None]] = []
    deadlines = Deadlines(0.0)
    hub = Hub(MemoryBroker(lambda: 0.0), Flusher(soon.append, lambda: 0.0), deadlines, lambda: 0.0)
    configured = Settings(max_message_bytes=LIMIT)
    wire = Wire()
    with monkeypatch.context() as patch:
        patch.setattr(websocket, "receive", receive)
        transport = cast("asyncio.Transport", wire)
        protocol = websocket.WebSocket(transport, hub, AppRegistry(configured.apps), configured)
        protocol.begin(b"/app/app-key", b"", b"")
        for piece in pieces:
            if piece and not wire.closed:
                protocol.data_received(piece)
            while soon:
                soon.pop()()
    frames = server_frames(wire.written)
    understood.pongs = [payload for opcode, payload in frames if opcode == PONG]
    closes = [payload for opcode, payload in frames if opcode == CLOSE]
    assert len(closes) <= 1
    if closes:
        understood.close_code = Close.parse(closes[0]).code
        assert frames[-1][0] == CLOSE
    return understood


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Cut what the server wrote; payloads are short enough here for it to be easy."""
    frames = []
    start = 0
    while start < len(data):
        end = frame_end(data, start)
        assert end is not None
        head = 2 if data[start + 1] < 126 else 4
        frames.append((data[start] & 0x0F, data[start + head : end]))
        start = end
    return frames


def theirs(data: bytes) -> Understood:
    logger = logging.getLogger("oracle")
    logger.setLevel(logging.CRITICAL)
    protocol = ServerProtocol(state=State.OPEN, max_size=LIMIT, logger=logger)
    protocol.receive_data(data)
    understood = Understood()
    message: list[bytes] = []
    text = True
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode is Opcode.PING:
            understood.pongs.append(bytes(event.data))
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.opcode is not Opcode.CONT:
                message, text = [], event.opcode is Opcode.TEXT
            message.append(bytes(event.data))
            if event.fin and text:
                try:
                    understood.texts.append(b"".join(message).decode())
                except UnicodeDecodeError:
                    # RFC 6455, 8.1, which the library leaves to whoever uses it.
                    understood.close_code = 1007
                    return understood
    if protocol.close_sent is not None:
        understood.close_code = protocol.close_sent.code
    return understood


masks = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=20),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"x" * LIMIT, b"x" * (LIMIT + 1)]),
)
valid_text = st.text(max_size=60).map(str.encode)


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    """Draw a message or a control frame as a client should send it."""
    kind = draw(st.sampled_from(["text", "text", "text", "fragments", "binary", "ping", "pong"]))
    mask = draw(masks)
    if kind == "text":
        return frame(TEXT, draw(valid_text), mask=mask)
    if kind == "ping":
        return frame(PING, draw(st.binary(max_size=125)), mask=mask)
    if kind == "pong":
        return frame(PONG, draw(st.binary(max_size=125)), mask=mask)
    if kind == "binary":
        return frame(BINARY, draw(st.binary(max_size=50)), mask=mask)
    opcode = draw(st.sampled_from([TEXT, TEXT, BINARY]))
    whole = draw(valid_text)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), min_size=1, max_size=4)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    data = b""
    for place, part in enumerate(parts):
        fin = place == len(parts) - 1
        data += frame(CONTINUATION if place else opcode, part, fin=fin, mask=mask)
        if not fin and draw(st.booleans()):
            data += frame(PING, draw(st.binary(max_size=5)), mask=mask)
    return data


any_frame = st.builds(
    frame,
    st.integers(0, 15) | st.sampled_from([TEXT, CONTINUATION, CLOSE, PING]),
    payloads | st.integers(0, 65_535).map(lambda code: code.to_bytes(2, "big")),
    fin=st.booleans() | st.just(True),
    reserved=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 4]),
    mask=masks | masks | masks | st.none(),
)


@st.composite
def cut_up(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = b"".join(draw(st.lists(frames, max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


compared = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@compared
@given(pieces=cut_up(well_formed()))
def test_the_messages_understood_are_the_same(
    pieces: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = theirs(b"".join(pieces))
    assert expected.close_code is None
    assert ours(pieces, monkeypatch) == expected


@compared
@given(pieces=cut_up(any_frame))
def test_violations_are_closed_with_the_same_code_after_the_same_messages(
    pieces: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ours(pieces, monkeypatch) == theirs(b"".join(pieces))


@compared
@given(pieces=cut_up(st.one_of(well_formed(), well_formed(), st.binary(max_size=30))))
def test_rubbish_between_frames_is_taken_for_the_same(
    pieces: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # We look at whole frames: so that none is left unfinished, zeros follow, a violation too.
    pieces = [*pieces, bytes(LIMIT + 20)]
    assert ours(pieces, monkeypatch) == theirs(b"".join(pieces))
