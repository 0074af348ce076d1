"""The client's half of RFC 6455, as little of it as a subscriber that costs nothing needs."""

from __future__ import annotations

import base64
import secrets

from callboard_bench.errors import BenchError
from callboard_protocol.frames import CLOSE, PONG, TEXT

_MASK = b"\x37\xfa\x21\x3d"
_FIN = 0x80


class Unexpected(BenchError):
    """A server sent what this client does not understand."""


def upgrade_request(authority: str, path: str) -> bytes:
    """Return the bytes that open a WebSocket connection."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked_text(payload: bytes) -> bytes:
    """Return a text frame as clients send it; the mask is constant, for nothing is secret here."""
    return _masked(TEXT, payload)


def masked_pong(payload: bytes) -> bytes:
    """Return the answer to a ping frame."""
    return _masked(PONG, payload)


def _masked(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes((_FIN | opcode, 0x80 | length))
    else:
        head = bytes((_FIN | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    keys = int.from_bytes((_MASK * (length // 4 + 1))[:length], "big")
    return head + _MASK + (int.from_bytes(payload, "big") ^ keys).to_bytes(length, "big")


def cut_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Take every whole frame off ``data``; return (opcode, payload) of each and what is left.

    Raises:
        Unexpected: a masked or fragmented frame, or one that is neither text nor control.
    """
    frames = []
    start = 0
    available = len(data)
    while available - start >= 2:
        opcode, length = data[start] ^ _FIN, data[start + 1]
        if length > 127 or (opcode != TEXT and not CLOSE <= opcode <= PONG):
            raise Unexpected(f"a frame that begins {data[start : start + 4].hex(' ')}")
        body = start + 2
        if length == 126:
            body = start + 4
            length = int.from_bytes(data[start + 2 : body], "big")
        elif length == 127:
            body = start + 10
            length = int.from_bytes(data[start + 2 : body], "big")
        if body + length > available:
            break
        frames.append((opcode, data[body : body + length]))
        start = body + length
    return frames, data[start:]
