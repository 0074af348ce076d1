"""One sweep for everything that must not wait for ever, instead of a timer for each.

Items sit in buckets by the tick at which they are due. Setting, moving and cancelling a
deadline are set operations, and a tick looks only at what is due. An item that was active in
the meantime is simply given a new deadline by its own :meth:`Overdue.overdue`, so activity
costs one attribute (:attr:`Deadlines.tick`), not a timer.
"""

from __future__ import annotations

import logging
from math import ceil
from typing import Protocol

logger = logging.getLogger("callboard.server")

#: Seconds between two ticks: how late a deadline may be noticed.
TICK_SECONDS = 0.25


class Overdue(Protocol):
    """Something with at most one deadline; ``due`` belongs to :class:`Deadlines`."""

    due: int | None

    def overdue(self) -> None:
        """The deadline has passed; it is no longer set."""


class Deadlines:
    """The deadlines of many items, in ticks of :data:`TICK_SECONDS`.

    Time comes in through :meth:`advance`, in seconds of any clock that does not go back.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._buckets: dict[int, set[Overdue]] = {}
        #: The current tick: what an active item notes.
        self.tick = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def set(self, item: Overdue, seconds: float) -> None:
        """Call ``item.overdue()`` in ``seconds``, never sooner; replaces its earlier deadline."""
        # One tick more: the current one has already run for an unknown part.
        due = self.tick + 1 + ceil(seconds / TICK_SECONDS)
        if item.due == due:
            return
        self.cancel(item)
        item.due = due
        self._buckets.setdefault(due, set()).add(item)

    def cancel(self, item: Overdue) -> None:
        """Forget the item's deadline, if it has one."""
        if item.due is not None:
            bucket = self._buckets.get(item.due)
            if bucket is not None:
                bucket.discard(item)
                if not bucket:
                    del self._buckets[item.due]
            item.due = None

    def seconds_since(self, tick: int) -> float:
        """Return how long ago ``tick`` was, rounded down to whole ticks."""
        return (self.tick - tick) * TICK_SECONDS

    def advance(self, now: float) -> None:
        """Move to ``now`` and tell every item whose deadline has passed, oldest first."""
        target = int((now - self._began) / TICK_SECONDS)
        if target - self.tick > len(self._buckets):
            passed = sorted(tick for tick in self._buckets if tick <= target)
        else:
            passed = [tick for tick in range(self.tick + 1, target + 1) if tick in self._buckets]
        self.tick = max(self.tick, target)
        for tick in passed:
            for item in self._buckets.pop(tick, set()):
                if item.due == tick:
                    item.due = None
                    try:
                        item.overdue()
                    except Exception:
                        # One item's fault is not the others'.
                        logger.exception("a deadline could not be kept")
