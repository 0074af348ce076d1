"""The two clocks of the tool."""

from __future__ import annotations

import time


def monotonic_ns() -> int:
    """Return nanoseconds of the system-wide monotonic clock, the same in every local process."""
    return time.perf_counter_ns()


def unix_seconds() -> int:
    """Return Unix time for ``auth_timestamp``; nothing is measured with it."""
    return int(time.time())  # noqa: TID251 - this is the clock module


def unix_ns() -> int:
    """Return Unix time in nanoseconds, to tell how late something of the calendar was."""
    return time.time_ns()
