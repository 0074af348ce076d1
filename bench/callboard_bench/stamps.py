"""The sequence number and send time inside a message's data.

``bench:SEQUENCE:NANOSECONDS:xxxx…``: fixed width, and no character that JSON escapes, so it
stands in the frame as it was published whichever server wrote the frame. A colon is legal in no
channel name, so the mark cannot be found anywhere else.
"""

from __future__ import annotations

from typing import Final

EVENT: Final = "load"

_MARK: Final = b"bench:"
_SEQUENCE_DIGITS: Final = 10
_TIME_DIGITS: Final = 19
_STAMP_LENGTH: Final = len(_MARK) + _SEQUENCE_DIGITS + 1 + _TIME_DIGITS + 1


def smallest_message_bytes(channel: str) -> int:
    """Return the least size for which :func:`stamped_data` has room on this channel."""
    return len(f'{{"event":"{EVENT}","channel":"{channel}","data":""}}') + _STAMP_LENGTH


def stamped_data(sequence: int, sent_ns: int, channel: str, message_bytes: int) -> str:
    """Return ``data`` such that the WebSocket message as compact JSON has ``message_bytes``.

    Raises:
        ValueError: no room for the stamp.
    """
    padding = message_bytes - smallest_message_bytes(channel)
    if padding < 0:
        raise ValueError(
            f"a message on {channel!r} needs {smallest_message_bytes(channel)} bytes for its "
            f"sequence number and time, not {message_bytes}"
        )
    return f"bench:{sequence:010d}:{sent_ns:019d}:{'x' * padding}"


def read_stamp(message: bytes) -> tuple[int, int] | None:
    """Return sequence number and send time (ns) of a message, None if it carries no stamp."""
    start = message.find(_MARK)
    if start < 0:
        return None
    start += len(_MARK)
    end = start + _SEQUENCE_DIGITS
    return int(message[start:end]), int(message[end + 1 : end + 1 + _TIME_DIGITS])
