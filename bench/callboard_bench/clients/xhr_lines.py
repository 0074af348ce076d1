"""HTTP streaming and polling as a client reads them, line by line.

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
