"""What becomes due, by two clocks that need not agree.

Spans run on the hearing clock: the monotonic one, less the time in which the scheduler could not
hear anybody. Times of day run on the wall clock. Entries are not removed: whoever is told checks
whether it still matters, and may set itself again. Those that do not matter any more are thrown
away when they may be most of what there is: a task that is over leaves none for its whole time.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from heapq import heappop, heappush

from callboard_scheduler.core.instant import Instant


class Due(enum.IntEnum):
    """What a timer is about; the key is a task's, worker's or schedule's id."""

    ACCEPT = enum.auto()
    LEASE = enum.auto()
    STOP = enum.auto()
    TIMEOUT = enum.auto()
    GRACE = enum.auto()
    SILENCE = enum.auto()
    HOLD = enum.auto()
    RUN_AT = enum.auto()
    START_BY = enum.auto()
    SCHEDULE = enum.auto()


#: From how many timers on those that do not matter are looked for.
_SWEPT_FROM = 1_024

#: When, what about, whose, and which of several (a fence, a session).
Timer = tuple[int, Due, str, int]


class Timers:
    """Two heaps, and the clock that stands still while nothing can be heard."""

    __slots__ = ("_bound", "_deaf_ms", "_deaf_since", "_spans", "_times")

    def __init__(self) -> None:
        self._spans: list[Timer] = []
        self._times: list[Timer] = []
        self._bound = _SWEPT_FROM
        self._deaf_since: int | None = None
        self._deaf_ms = 0

    @property
    def deaf(self) -> bool:
        """Whether the hearing clock stands still."""
        return self._deaf_since is not None

    def hearing(self, now: Instant) -> int:
        """Return the hearing clock, in milliseconds."""
        mono = now.mono if self._deaf_since is None else min(now.mono, self._deaf_since)
        return mono - self._deaf_ms

    def stop_hearing(self, since: int) -> None:
        """Let the hearing clock stand still since then, of the monotonic clock."""
        if self._deaf_since is None:
            self._deaf_since = since

    def hear_again(self, now: Instant) -> None:
        """Let the hearing clock go on where it stood."""
        if self._deaf_since is not None:
            self._deaf_ms += max(0, now.mono - self._deaf_since)
            self._deaf_since = None

    def after(self, due: int, what: Due, key: str, which: int = 0) -> None:
        """Tell of it when the hearing clock is at ``due``."""
        heappush(self._spans, (due, what, key, which))

    def at(self, due: int, what: Due, key: str, which: int = 0) -> None:
        """Tell of it when the wall clock is at ``due``."""
        heappush(self._times, (due, what, key, which))

    def pop(self, now: Instant) -> Timer | None:
        """Take off one that is due, None when there is none."""
        if self._spans and self._spans[0][0] <= self.hearing(now):
            return heappop(self._spans)
        if self._times and self._times[0][0] <= now.wall:
            return heappop(self._times)
        return None

    def __len__(self) -> int:
        return len(self._spans) + len(self._times)

    @property
    def outgrown(self) -> bool:
        """Whether there may be more timers that do not matter than those that do."""
        return len(self._spans) + len(self._times) > self._bound

    def sweep(self, matters: Callable[[Timer], bool]) -> None:
        """Throw away what does not matter, and doubles."""
        self._spans = sorted(set(filter(matters, self._spans)))
        self._times = sorted(set(filter(matters, self._times)))
        self._bound = 2 * len(self) + _SWEPT_FROM

    def next_ms(self, now: Instant) -> int | None:
        """Return in how many milliseconds the next is due, None when nothing will be."""
        waits = []
        if self._spans and self._deaf_since is None:
            waits.append(self._spans[0][0] - self.hearing(now))
        if self._times:
            waits.append(self._times[0][0] - now.wall)
        return max(0, min(waits)) if waits else None
