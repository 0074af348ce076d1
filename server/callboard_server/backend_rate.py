"""How many events an app's backend sends in a second, and whether it may send more."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_server.clock import Clock
from callboard_server.settings import AppSettings


class BackendRate:
    """Counts each app's API events in the current second of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def forget(self) -> None:
        """Let every app have its second to itself."""
        self._windows.clear()

    def admits(self, app: AppSettings, events: int) -> bool:
        """Count ``events`` of the app, or return False if that is more than it may send."""
        limit = app.max_backend_events_per_second
        if limit is None:
            return True
        second = int(self._clock.now())
        window = self._windows.setdefault(app.id, _Window(second))
        if window.second != second:
            window.second, window.events = second, 0
        if window.events + events > limit:
            return False
        window.events += events
        return True


@dataclass(slots=True)
class _Window:
    """How many events an app has sent in a second."""

    second: int
    events: int = 0
