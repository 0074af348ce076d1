"""When to greet and to beat, and when to believe that nobody hears it.

A worker counts its lease from the moment it sent the newest message that was answered. The
scheduler counts from when that arrived, so the worker is first to give up, whatever the clocks
do. Times and spans are seconds.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Share of the lease after which a worker that is not heard gives up.
GIVE_UP: Final = 0.8

_FIRST_HELLO_SECONDS: Final = 0.5
_LONGEST_HELLO_SECONDS: Final = 15.0
#: Beats without an answer that are remembered; a service may answer every fourth.
_REMEMBERED_BEATS: Final = 32


class Greeting:
    """The pauses between two ``hello``; ``jitter`` returns a number from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._pause = _FIRST_HELLO_SECONDS
        self.due_at = math.inf

    def begin(self, now: float) -> None:
        """Somebody new is there: the first one is due at once."""
        self.due_at = now
        self._pause = _FIRST_HELLO_SECONDS

    def said(self, now: float) -> None:
        """Count one as sent: 0.5 s, 1, 2, 4, 8, then 15, each a quarter more or less."""
        self.due_at = now + self._pause * (0.75 + 0.5 * self._jitter())
        self._pause = min(self._pause * 2, _LONGEST_HELLO_SECONDS)


class Lease:
    """Heartbeats of a session and what their answers are worth."""

    def __init__(self, now: float) -> None:
        self._beat_seconds = math.inf
        self._lease_seconds = math.inf
        self._n = 0
        self._sent_at: OrderedDict[int, float] = OrderedDict()
        self._heard_at = now
        #: When the next beat is due.
        self.due_at = math.inf

    @property
    def give_up_at(self) -> float:
        """When work has to stop unless an answer comes; infinity before the first welcome."""
        return self._heard_at + GIVE_UP * self._lease_seconds

    def welcomed(self, hb_ms: int, lease_ms: int, hello_sent_at: float) -> None:
        """A ``hello`` was answered, with the service's spans."""
        self._beat_seconds = hb_ms / 1000
        self._lease_seconds = lease_ms / 1000
        self._heard_at = max(self._heard_at, hello_sent_at)

    def restart(self, now: float) -> None:
        """A new session has begun: its first beat is due a pause from now."""
        self.due_at = now + self._beat_seconds
        self._sent_at.clear()

    def hurry(self, now: float) -> None:
        """There is something that only a beat can say."""
        self.due_at = min(self.due_at, now)

    def beat(self, now: float) -> int:
        """Count a beat as sent and return its number."""
        self._n += 1
        self.due_at = now + self._beat_seconds
        self._sent_at[self._n] = now
        if len(self._sent_at) > _REMEMBERED_BEATS:
            self._sent_at.popitem(last=False)
        return self._n

    def acknowledged(self, n: int) -> None:
        """A beat was answered; numbers of an older session are nobody's."""
        self._heard_at = max(self._heard_at, self._sent_at.get(n, -math.inf))
