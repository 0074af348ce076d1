"""Where time comes in; the core is given both clocks' readings and asks for none."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, in whole milliseconds."""

    def wall_ms(self) -> int:
        """Return Unix time."""

    def mono_ms(self) -> int:
        """Return a clock that never goes back, from any beginning."""


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000
