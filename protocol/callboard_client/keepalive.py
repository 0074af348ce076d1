"""When to ask the service for a sign of life, and when to give it up.

Any frame from the service is activity. After ``activity_seconds`` of silence it is sent a
``pusher:ping``; if nothing at all follows within ``pong_seconds``, the connection is dead, though
TCP may not know it for many minutes. Source: the protocol's "ping and pong messages".

Times are seconds of one monotonic clock that the caller reads.
"""

from __future__ import annotations

import enum


class Due(enum.Enum):
    NOTHING = "nothing"
    #: Send ``pusher:ping``.
    PING = "ping"
    #: The peer is gone: cut the connection.
    CUT = "cut"


class Keepalive:
    """The deadlines of one connection."""

    def __init__(self, activity_seconds: float, pong_seconds: float, now: float) -> None:
        self._activity_seconds = activity_seconds
        self._pong_seconds = pong_seconds
        self._heard_at = now
        self._pinged_at: float | None = None

    @property
    def deadline(self) -> float:
        """When :meth:`due` has something to say, unless a frame arrives before."""
        if self._pinged_at is None:
            return self._heard_at + self._activity_seconds
        return self._pinged_at + self._pong_seconds

    def wait(self, now: float) -> float:
        """Return the seconds until :meth:`due` is worth asking.

        Never beyond one span of activity: a frame that answers a ping may bring the next deadline
        nearer than the one of the ping was.
        """
        return min(self.deadline - now, self._activity_seconds)

    def heard(self, now: float) -> None:
        """A frame arrived."""
        self._heard_at = now
        self._pinged_at = None

    def due(self, now: float) -> Due:
        """Say what to do now; a ``PING`` counts as sent."""
        if now < self.deadline:
            return Due.NOTHING
        if self._pinged_at is not None:
            return Due.CUT
        self._pinged_at = now
        return Due.PING
