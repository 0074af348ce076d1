"""Three seconds in which a client that was cut off may come back as if nothing had happened."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from callboard_server.brokers import Transition
from callboard_server.deadlines import Deadlines
from callboard_server.settings import AppSettings
from callboard_server.stepping import step

#: Makes a transition count; False if it was undone (:meth:`Broker.settle`).
Settle = Callable[[Transition], Awaitable[bool]]
Tell = Callable[[AppSettings, Transition], None]


class _Pending(NamedTuple):
    app: AppSettings
    transition: Transition
    #: The tick of :class:`Deadlines` in which it came.
    since: int


class Settling:
    """Holds provisional transitions, and tells those that nobody has undone, in order.

    All wait equally long, so they are one queue with one deadline, the oldest one's.
    """

    def __init__(self, settle: Settle, tell: Tell, deadlines: Deadlines, seconds: float) -> None:
        self._settle = settle
        self._tell = tell
        self._deadlines = deadlines
        self._seconds = seconds
        self._pending: deque[_Pending] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        #: Belongs to :class:`Deadlines`.
        self.due: int | None = None

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, app: AppSettings, transition: Transition) -> None:
        """Hold a provisional transition."""
        self._pending.append(_Pending(app, transition, self._deadlines.tick))
        if self.due is None:
            self._deadlines.set(self, self._seconds)

    def overdue(self) -> None:
        """The oldest has waited long enough, and perhaps others."""
        due: list[_Pending] = []
        # Its tick had already run for an unknown part when it came.
        while self._pending and self._waited(self._pending[0]) > self._seconds:
            due.append(self._pending.popleft())
        if self._pending:
            self._deadlines.set(self, max(0.0, self._seconds - self._waited(self._pending[0])))
        task = step(self._tell_all(due))
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Tell what is held now: whoever has not come back by the end will not."""
        self._deadlines.cancel(self)
        due, self._pending = list(self._pending), deque()
        await self._tell_all(due)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def forget(self) -> None:
        """Drop what is held, and what is being told."""
        self._deadlines.cancel(self)
        self._pending.clear()
        for task in self._tasks:
            task.cancel()

    def _waited(self, pending: _Pending) -> float:
        return self._deadlines.seconds_since(pending.since)

    async def _tell_all(self, due: list[_Pending]) -> None:
        for pending in due:
            if await self._settle(pending.transition):
                self._tell(pending.app, pending.transition)
