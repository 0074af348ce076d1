"""HTTP streaming and polling as a client reads them: responses, chunks and lines.

A line is a type and JSON behind it, as SockJS has them: ``o`` opens the session, ``a`` has
messages in a list, ``m`` has one, ``h`` is a heartbeat, ``c`` closes with a code and a reason.
Others are passed over, as pusher-js does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from callboard_bench.websocket import Unexpected

#: pusher-js gives up a response longer than this many UTF-16 code units and posts again
#: (``MAX_BUFFER_LENGTH`` of its ``http_request``).
MOST_UNITS: Final = 256 * 1024

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


@dataclass(frozen=True, slots=True)
class Lines:
    """What whole lines held, and the beginning of a next one."""

    body: bytes
    messages: Sequence[bytes]
    heartbeats: int
    #: Code and reason of a line that closes the session.
    closed: str | None
    units: int
    rest: bytes


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


def cut_lines(body: bytes) -> Lines:
    """Read the whole lines that ``body`` begins with.

    Raises:
        Unexpected: a line that is not understood.
    """
    end = body.rfind(b"\n") + 1
    messages: list[bytes] = []
    heartbeats, closed = 0, None
    for line in body[:end].split(b"\n"):
        try:
            match line[:1]:
                case b"a":
                    messages.extend(text.encode() for text in orjson.loads(line[1:]))
                case b"m":
                    messages.append(orjson.loads(line[1:]).encode())
                case b"h" if line == b"h":
                    heartbeats += 1
                case b"c":
                    code, reason = orjson.loads(line[1:])
                    closed = f"{code} {reason}".rstrip()
        except (ValueError, TypeError, AttributeError):
            raise Unexpected(f"a line that begins {line[:60]!r}") from None
    return Lines(body, tuple(messages), heartbeats, closed, _units(body[:end]), body[end:])


def _units(text: bytes) -> int:
    return len(text) if text.isascii() else len(text.decode().encode("utf-16-le")) // 2
