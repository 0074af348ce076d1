"""A WebSocket client on a plain blocking socket: no frame is made or answered on its behalf."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any, Self

from callboard_protocol.frames import CLOSE, CONTINUATION, PING, TEXT
from support.sockets import Peer, request

MASK = b"\x37\xfa\x21\x3d"


def upgrade(target: str = "/app/app-key?protocol=7", *headers: str) -> bytes:
    """Return an upgrade request to a WebSocket."""
    key = base64.b64encode(b"sixteen bytes ok").decode()
    return request(
        "GET",
        target,
        None,
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    )


@dataclass(frozen=True)
class Frame:
    """One frame of the server, which never fragments."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big")

    def json(self) -> Any:
        assert self.opcode == TEXT, self
        return json.loads(self.payload)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length: int | None = None,
) -> bytes:
    """Return a client's frame; ``length`` is what its head claims, if that is not the truth."""
    length = len(payload) if length is None else length
    flag = 0x80 if mask is not None else 0
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    if length < 126:
        head = struct.pack("!BB", first, flag | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, flag | 126, length)
    else:
        head = struct.pack("!BBQ", first, flag | 127, length)
    if mask is None:
        return head + payload
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def text_frame(message: Any) -> bytes:
    """Return a message as one masked text frame; a value other than str and bytes as JSON."""
    if not isinstance(message, str | bytes):
        message = json.dumps(message)
    return frame(TEXT, message.encode() if isinstance(message, str) else message)


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def fragments(*parts: bytes, opcode: int = TEXT) -> list[bytes]:
    """Return one message as a frame for each part."""
    last = len(parts) - 1
    return [
        frame(CONTINUATION if place else opcode, part, fin=place == last)
        for place, part in enumerate(parts)
    ]


class WebSocketPeer(Peer):
    """A client that has asked for a WebSocket; nothing is answered on its behalf."""

    def __init__(
        self,
        port: int,
        target: str = "/app/app-key?protocol=7",
        *,
        before: bytes = b"",
        behind: bytes = b"",
        receive_buffer_bytes: int | None = None,
    ) -> None:
        """Connect and send the upgrade, in one piece with what is to lie before and behind it."""
        super().__init__(port, receive_buffer_bytes=receive_buffer_bytes)
        self.send(before + upgrade(target) + behind)
        self.socket_id = ""

    def established(self) -> Self:
        """Read the handshake and ``connection_established``."""
        self.upgraded()
        message = self.read_event("pusher:connection_established")
        self.socket_id = json.loads(message["data"])["socket_id"]
        return self

    def upgraded(self) -> Self:
        """Read the handshake."""
        answer = self.read_answer()
        assert answer.status == 101, answer
        return self

    def subscribe(self, channel: str, **data: str) -> None:
        """Subscribe and read the confirmation."""
        self.say("pusher:subscribe", {"channel": channel, **data})
        message = self.read_event("pusher_internal:subscription_succeeded")
        assert message["channel"] == channel

    def say(self, event: str, data: Any = None, **keys: Any) -> None:
        self.send(text_frame({"event": event, "data": {} if data is None else data, **keys}))

    def read_frame(self) -> Frame:
        first, length = self.read(2)
        assert first & 0xF0 == 0x80, f"not a whole frame: {first:#x}"
        assert length < 0x80, "servers do not mask"
        if length == 126:
            length = int.from_bytes(self.read(2), "big")
        elif length == 127:
            length = int.from_bytes(self.read(8), "big")
        return Frame(first & 0x0F, self.read(length))

    def read_event(self, event: str) -> Any:
        """Read the next frame, which must be this event."""
        message = self.read_frame().json()
        assert message["event"] == event, message
        return message

    def read_error(self) -> Any:
        """Read ``pusher:error`` and return its data."""
        return self.read_event("pusher:error")["data"]

    def read_frames(self) -> list[Frame]:
        """Read whole frames to the end of the stream."""
        rest = bytearray(self.read_rest())
        self.buffer, frames = rest, []
        while self.buffer:
            frames.append(self.read_frame())
        return frames

    def read_frames_until_close(self) -> list[Frame]:
        """Read whole frames up to a close frame, which is the last."""
        frames = [self.read_frame()]
        while frames[-1].opcode != CLOSE:
            frames.append(self.read_frame())
        return frames

    def read_farewell(self) -> int:
        """Read a close frame and the end behind it, without answering; return the code."""
        *others, last = self.read_frames()
        assert not others, others
        return last.close_code

    def still_up(self) -> bool:
        """Whether the connection answers; what was sent before has been dealt with."""
        self.send(frame(PING, b"still up?"))
        answer = self.read_frame()
        return answer.payload == b"still up?"
