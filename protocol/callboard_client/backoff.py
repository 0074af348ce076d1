"""How long to wait before the next attempt to connect.

1. ``AT_ONCE`` (4200-4299) is taken at its word once. A service that answers every attempt so
   would be hammered, hence the next attempt waits unless a connection held in between.
2. ``BACK_OFF`` waits between half of a ceiling and the whole of it, where chance decides, so that
   the clients of a restarted server do not return in one moment. The first ceiling is twice
   ``first_seconds`` (the protocol asks for a second or more), and it doubles up to ``max_seconds``.
3. A connection that held for ``first_seconds`` makes a fresh start; one that was closed as soon as
   it stood does not.
"""

from __future__ import annotations

from collections.abc import Callable

from callboard_protocol.refusals import RetryAdvice

#: Beyond this the ceiling is ``max_seconds`` in any case, and powers stay small.
_MAX_DOUBLINGS = 32


class Backoff:
    """The delays of one client; ``jitter`` returns a number from 0 to 1."""

    def __init__(
        self, first_seconds: float, max_seconds: float, jitter: Callable[[], float]
    ) -> None:
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._jitter = jitter
        self._waits = 0
        self._at_once_used = False

    def delay(self, advice: RetryAdvice, held_seconds: float) -> float:
        """Return the seconds to wait after a connection that held ``held_seconds`` (0: never)."""
        if held_seconds >= self._first_seconds:
            self._waits = 0
            self._at_once_used = False
        if advice is RetryAdvice.AT_ONCE and not self._at_once_used:
            self._at_once_used = True
            return 0.0
        self._waits = min(self._waits + 1, _MAX_DOUBLINGS)
        ceiling = min(self._max_seconds, self._first_seconds * 2.0**self._waits)
        return ceiling * (1 + self._jitter()) / 2
