"""The number and send time inside a message's data.

``bench:STREAM:SEQUENCE:NANOSECONDS:xxxx…``: fixed width, and no character that JSON escapes, so it
stands in the message as it was published whichever server wrote the JSON. A colon is legal in no
channel name, so the mark cannot be found anywhere else. Sequence numbers count within a stream:
what one sender sends on one channel, whose order a server keeps.
"""

from __future__ import annotations

from typing import Final

EVENT: Final = "load"

_MARK: Final = b"bench:"
_STREAM_DIGITS: Final = 6
_SEQUENCE_DIGITS: Final = 10
_TIME_DIGITS: Final = 19
_STAMP_LENGTH: Final = len(_MARK) + _STREAM_DIGITS + _SEQUENCE_DIGITS + _TIME_DIGITS + 3


def smallest_message_bytes(channel: str) -> int:
    """Return the least size for which :func:`stamped_data` has room on this channel."""
    return len(f'{{"event":"{EVENT}","channel":"{channel}","data":""}}') + _STAMP_LENGTH


def stamped_data(
    sequence: int, sent_ns: int, channel: str, message_bytes: int, stream: int = 0
) -> str:
    """Return ``data`` such that the WebSocket message as compact JSON has ``message_bytes``.

    Raises:
        ValueError: no room for the stamp.
    """
    padding = message_bytes - smallest_message_bytes(channel)
    if padding < 0:
        raise ValueError(
            f"a message on {channel!r} needs {smallest_message_bytes(channel)} bytes for its "
            f"number and time, not {message_bytes}"
        )
    return f"bench:{stream:06d}:{sequence:010d}:{sent_ns:019d}:{'x' * padding}"


def read_stamp(message: bytes) -> tuple[int, int, int] | None:
    """Return stream, sequence number and send time (ns) of a message; None if it has no stamp."""
    start = message.find(_MARK)
    if start < 0:
        return None
    try:
        _, stream, sequence, sent_ns, _ = message[start : start + _STAMP_LENGTH].split(b":")
        return int(stream), int(sequence), int(sent_ns)
    except ValueError:
        return None
