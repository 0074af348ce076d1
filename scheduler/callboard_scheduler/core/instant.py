"""Time as the core gets it: two clocks read at one moment, in whole milliseconds."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """One moment.

    ``mono`` never goes back and measures spans (leases, time-outs); ``wall`` is Unix time, may
    jump, and decides only what people wrote as a time of day.
    """

    mono: int
    wall: int
