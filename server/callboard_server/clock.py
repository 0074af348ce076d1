"""Where the time of day comes in; everything that measures a span takes the loop's time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The time of day, given to whoever checks or writes a timestamp."""

    def now(self) -> float:
        """Return Unix time in seconds."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()  # noqa: TID251 - the one place it comes from
