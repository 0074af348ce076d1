"""The wire form of the fallback: lines, and how much of them one response may hold.

Each line is a type and JSON behind it, as SockJS has them: ``o`` opens a session, ``a`` has
messages in a list, ``h`` is a heartbeat, ``c`` closes with a code and a reason.

pusher-js reads a response as one growing text. When it has read a whole line and the text is
longer than 262,144 characters, it gives the response up and posts again (``MAX_BUFFER_LENGTH``
and ``isBufferTooLong`` of its ``http_request``). What follows that very line in the same
response is lost, so nothing may: the response ends with the line by which it passes the limit.
The text's length is that of ``responseText``, in UTF-16 code units; counted in bytes, a response
would end before the client finds it full, which the client takes for the end of the connection.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

OPEN: Final = b"o\n"
HEARTBEAT: Final = b"h\n"

#: A response that holds more, in UTF-16 code units, takes no further line.
MAX_RESPONSE_UNITS: Final = 256 * 1024


def message(payload: bytes) -> bytes:
    """Return one message, JSON text in UTF-8, as a line: the same bytes for every session."""
    return b"a[" + orjson.dumps(payload.decode()) + b"]\n"


def close(code: int, reason: str) -> bytes:
    """Return the line that ends a session."""
    return b"c" + orjson.dumps([code, reason]) + b"\n"


def units(lines: bytes) -> int:
    """Return the length of whole lines in UTF-16 code units."""
    return len(lines) if lines.isascii() else _counted_units(lines)


# A publish is the same object for all its subscribers, one after the other.
@lru_cache(maxsize=4)
def _counted_units(lines: bytes) -> int:
    return len(lines.decode().encode("utf-16-le")) // 2


def cut(lines: bytes, room: int) -> int:
    """Return the index behind the line by which ``lines`` pass ``room`` UTF-16 code units.

    Without such a line it is their end.
    """
    if len(lines) <= room:  # no text has more code units than bytes
        return len(lines)
    if lines.isascii():
        return lines.find(b"\n", max(room, 0)) + 1 or len(lines)
    end = 0
    while room >= 0 and end < len(lines):
        start, end = end, lines.index(b"\n", end) + 1
        room -= units(lines[start:end])
    return end


class BadBody(ValueError):
    """What was posted is no list of messages; ``str()`` says what was expected."""


def messages(body: bytes) -> list[str]:
    """Return the messages that a client posts: none if it only says that it is there.

    Raises:
        BadBody: it is not a JSON list of strings.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise BadBody("expected a JSON list of strings, each of them a message")
    return found
