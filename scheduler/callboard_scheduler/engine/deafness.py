"""When the scheduler could not hear its workers, and so may not hold their silence against them.

There may be several reasons at once: the transport is away, the store is slow or fails, the loop
stood still. It hears again when the last of them is over, and no time is counted twice.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Final

from callboard_scheduler.core import Instant, events

logger = logging.getLogger("callboard.scheduler")

#: How long the store may be held up before that counts, in milliseconds.
PATIENCE_MS: Final = 1_000
#: How often the loop is looked at, and how late a look may be.
LOOK_SECONDS: Final = 0.5
_LATE_MS: Final = PATIENCE_MS + LOOK_SECONDS * 1000


class Why(enum.Enum):
    """What keeps the scheduler from hearing."""

    TRANSPORT = "transport"
    STORE_SLOW = "store slow"
    STORE_FAILING = "store failing"
    LOOP = "loop"


class Deafness:
    """Lets ``happen`` know of beginnings and ends; ``now`` is that of the monotonic clock."""

    def __init__(self, happen: Callable[[events.Event], None], app: str, now: int) -> None:
        self._happen = happen
        self._app = app
        self._reasons: set[Why] = set()
        self._heard_until = now
        self._looked_at = now

    def begin(self, why: Why, since: int) -> None:
        """Nobody could be heard since then."""
        first = not self._reasons
        self._reasons.add(why)
        if first:
            self._happen(events.Deaf(max(since, self._heard_until)))

    def end(self, why: Why, now: int) -> None:
        """This does not keep it from hearing, or not any more."""
        if why in self._reasons:
            self._reasons.discard(why)
            if not self._reasons:
                self._heard_until = now
                self._happen(events.Hearing())

    def look(self, now: Instant) -> None:
        """Find out whether the loop stood still since the last look that was in time."""
        since = self._looked_at
        if now.mono - since <= _LATE_MS:
            return
        logger.warning("the loop was held up ms=%d app=%s", now.mono - since, self._app)
        self._looked_at = now.mono
        if not self._reasons:
            self.begin(Why.LOOP, since)
            self.end(Why.LOOP, now.mono)

    def looked(self, now: Instant) -> None:
        """The loop has come round to look."""
        self.look(now)
        self._looked_at = now.mono
