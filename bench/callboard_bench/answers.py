"""Answers over HTTP/1.1 as they come in pieces: heads, and bodies in chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from callboard_bench.websocket import Unexpected

#: A body without a length: it ends when the connection does.
UNTIL_CLOSED: Final = -1
CHUNKED: Final = -2


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response, and what was read behind it."""

    status: int
    #: Bytes of the body, or :data:`CHUNKED` or :data:`UNTIL_CLOSED`.
    length: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class Chunks:
    """What one read held of a chunked body; ``whole`` when it was the last of it."""

    data: bytes
    body: bytes
    rest: bytes
    whole: bool


def cut_head(data: bytes) -> Head | None:
    """Take the head of a response off; None while it is not whole.

    Raises:
        Unexpected: no HTTP/1.1.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    if not head.startswith(b"http/1.1 "):
        raise Unexpected(f"an answer that begins {data[:60]!r}")
    length = UNTIL_CLOSED
    if b"\r\ntransfer-encoding: chunked" in head:
        length = CHUNKED
    elif (marker := head.find(b"\r\ncontent-length:")) >= 0:
        length = int(head[marker + 17 :].split(b"\r\n", 1)[0])
    return Head(int(head[9:12]), length, data[end + 4 :])


def cut_chunks(data: bytes) -> Chunks:
    """Join the whole chunks that ``data`` begins with.

    Raises:
        Unexpected: no chunk.
    """
    parts: list[bytes] = []
    start = 0
    while (end := data.find(b"\r\n", start)) >= 0:
        try:
            size = int(data[start:end].split(b";", 1)[0], 16)
        except ValueError:
            raise Unexpected(f"a chunk that begins {data[start : start + 20]!r}") from None
        behind = end + 2 + size + 2
        if behind > len(data):
            break
        if size == 0:
            return Chunks(data, b"".join(parts), data[behind:], True)
        parts.append(data[end + 2 : behind - 2])
        start = behind
    return Chunks(data, b"".join(parts), data[start:], False)
