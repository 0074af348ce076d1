"""How often subscribers are told how many they are.

Up to 100 subscriptions every change is told; above, at most one count every five seconds while
there are changes, and always the last one (the documentation's "subscription_count").
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from callboard_protocol.channels import kind_of
from callboard_server.deadlines import Deadlines
from callboard_server.settings import AppSettings

LARGE_CHANNEL = 100
INTERVAL_SECONDS = 5.0

Publish = Callable[[AppSettings, str, int], Coroutine[Any, Any, None]]
#: Carries a coroutine out without being waited for.
Run = Callable[[Coroutine[Any, Any, None]], object]


class SubscriptionCounts:
    """Throttles the counts of large channels."""

    def __init__(self, publish: Publish, run: Run, deadlines: Deadlines) -> None:
        self._publish = publish
        self._run = run
        self._deadlines = deadlines
        self._pauses: dict[tuple[str, str], _Pause] = {}

    async def changed(self, app: AppSettings, channel: str, count: int) -> None:
        """A channel has ``count`` subscriptions now."""
        if not app.subscription_count_events or not count or kind_of(channel).presence:
            return
        key = (app.id, channel)
        pause = self._pauses.get(key)
        if count <= LARGE_CHANNEL:
            if pause is not None:
                pause.pending = None
            await self._publish(app, channel, count)
        elif pause is not None:
            pause.pending = (app, count)
        else:
            self._pause(key)
            await self._publish(app, channel, count)

    def forget(self) -> None:
        """Begin anew: the next change of any channel is told."""
        for pause in self._pauses.values():
            self._deadlines.cancel(pause)
        self._pauses.clear()

    def _pause(self, key: tuple[str, str]) -> None:
        pause = self._pauses[key] = _Pause(lambda: self._resume(key))
        self._deadlines.set(pause, INTERVAL_SECONDS)

    def _resume(self, key: tuple[str, str]) -> None:
        pause = self._pauses.pop(key)
        if pause.pending is not None:
            app, count = pause.pending
            self._pause(key)
            self._run(self._publish(app, key[1], count))


class _Pause:
    """Five seconds in which a large channel is told no count."""

    __slots__ = ("_ended", "due", "pending")

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self.due: int | None = None
        #: The count to tell at the end, if it has changed.
        self.pending: tuple[AppSettings, int] | None = None

    def overdue(self) -> None:
        self._ended()
