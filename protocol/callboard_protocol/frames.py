"""One message as WebSocket bytes (RFC 6455), for the two cases that are hot.

Out: a server's frames are not masked, so a text frame is the same bytes for every subscriber
and is built once per publish. In: clients send whole masked text frames almost always; these
are cut and unmasked here at a tenth of what a general parser costs. Everything else, and every
violation, belongs to a full RFC 6455 implementation.
"""

from __future__ import annotations

import enum
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FIN: Final = 0x80
_MASKED: Final = 0x80


class Cut(enum.Enum):
    """Why :func:`cut_text_frame` returned no text."""

    #: More bytes are needed to say.
    INCOMPLETE = "incomplete"
    #: The next frame is not a whole masked unfragmented text frame: the library's turn.
    OTHER = "other"


def text_frame(payload: bytes) -> bytes:
    """Return ``payload`` (UTF-8) as one unmasked text frame."""
    return _header(_FIN | TEXT, len(payload)) + payload


def ping_frame(payload: bytes = b"") -> bytes:
    """Return an unmasked ping frame; ``payload`` is at most 125 bytes."""
    return _header(_FIN | PING, len(payload)) + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return an unmasked close frame; the reason is cut to the 123 bytes that fit (5.5.1)."""
    text = reason.encode()[:123].decode("utf-8", "ignore").encode()
    return _header(_FIN | CLOSE, 2 + len(text)) + code.to_bytes(2, "big") + text


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def frame_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """Return where the frame at ``start`` ends, whatever it is; None if its head is cut off."""
    available = len(data) - start
    if available < 2:
        return None
    second = data[start + 1]
    length = second & 0x7F
    head = 6 if second & _MASKED else 2
    if length == 126:
        if available < 4:
            return None
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        head += 2
    elif length == 127:
        if available < 10:
            return None
        length = int.from_bytes(data[start + 2 : start + 10], "big")
        head += 8
    return start + head + length


def cut_text_frame(
    data: bytes | bytearray, start: int, max_payload_bytes: int
) -> tuple[bytes, int] | Cut:
    """Take a whole masked text frame off ``data`` at ``start``.

    Returns the unmasked payload (not yet checked for UTF-8) and the index behind the frame, or
    why it could not. A payload over ``max_payload_bytes`` is ``OTHER``: its refusal is the
    library's too.
    """
    available = len(data) - start
    if available < 2:
        return Cut.INCOMPLETE
    if data[start] != _FIN | TEXT or data[start + 1] < _MASKED:
        return Cut.OTHER
    length = data[start + 1] & 0x7F
    body = start + 6
    if length >= 126:
        if length == 127 and available >= 10:
            length = int.from_bytes(data[start + 2 : start + 10], "big")
            # A text that long fits no limit of ours in the 16-bit form's stead.
            if length < 65536:
                return Cut.OTHER
            body = start + 14
        elif length == 126 and available >= 4:
            length = int.from_bytes(data[start + 2 : start + 4], "big")
            body = start + 8
        else:
            return Cut.INCOMPLETE
    if length > max_payload_bytes:
        return Cut.OTHER
    end = body + length
    if len(data) < end:
        return Cut.INCOMPLETE
    mask = data[body - 4 : body]
    keys = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    payload = (int.from_bytes(data[body:end], "big") ^ keys).to_bytes(length, "big")
    return payload, end
