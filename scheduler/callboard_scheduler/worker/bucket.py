"""How many events a second a worker may send, as a token bucket.

A service drops what is over its rate without saying which event it was, so going over it costs
more than waiting. The bucket holds a quarter of a second: no window of one second sees more than
five quarters of the rate, which a service whose limit is ten bears at a kept rate of eight.
"""

from __future__ import annotations

from typing import Final

_BURST_SECONDS: Final = 0.25


class Bucket:
    """Tokens of one event each; ``rate`` is events a second, ``now`` seconds of any clock."""

    def __init__(self, rate: float, now: float) -> None:
        self._at = now
        self._set_rate(rate)
        self._tokens = self._most

    @property
    def ready_at(self) -> float:
        """When the next event may be sent; a time gone by when it may be at once."""
        return self._at + max(0.0, 1.0 - self._tokens) / self._rate

    def change(self, rate: float, now: float) -> None:
        """Go on at another rate; what was saved up stays within the new bound."""
        self._fill(now)
        self._set_rate(rate)
        self._tokens = min(self._tokens, self._most)

    def ready(self, now: float) -> bool:
        """Whether an event may be sent now."""
        return now >= self.ready_at

    def take(self, now: float) -> None:
        """Count an event as sent; ask :meth:`ready` first."""
        self._fill(now)
        self._tokens -= 1.0

    def _set_rate(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"rate must be above 0 events a second, got {rate}")
        self._rate = rate
        self._most = max(1.0, rate * _BURST_SECONDS)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
            self._at = now
