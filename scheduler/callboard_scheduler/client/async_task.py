"""One task as whoever submitted it, or looked it up, has it at hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self, Unpack

from callboard_scheduler.client.bodies import UpdateOptions, move_body, update_body
from callboard_scheduler.client.calls import Calls
from callboard_scheduler.client.errors import result_of
from callboard_scheduler.client.feeds import Feeds
from callboard_scheduler.client.updates import Ended, Progress, StateChanged, Update
from callboard_scheduler.client.watching import Patience, watch


class AsyncTask:
    """A task of an :class:`~callboard_scheduler.client.AsyncClient`, which makes it.

    ``state`` and ``record`` are what was last heard: :meth:`refresh` asks. ``record`` is the task
    as the API last answered it, empty before the first question; the answer to a change, as an
    item of a list, has no ``attempts`` and names in ``left_out`` what is too large for it. Calls
    raise :class:`~callboard_scheduler.client.errors.TaskClientError`.
    """

    def __init__(
        self,
        calls: Calls,
        feeds: Feeds,
        patience: Patience,
        answer: Mapping[str, Any],
        *,
        whole: bool = False,
    ) -> None:
        """``answer`` has at least an id and a state; ``whole`` if it is all of the task."""
        self._calls = calls
        self._feeds = feeds
        self._patience = patience
        self.id: str = answer["id"]
        self.state: str = answer["state"]
        self.record: Mapping[str, Any] = answer if whole else {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"

    async def refresh(self) -> Self:
        """Read the record, and return this same object."""
        await self._read()
        return self

    # Waiting

    async def result(self, timeout: float | None = None) -> Any:
        """Return the result as soon as the task has one; wait for it up to ``timeout`` seconds.

        Nothing is polled. The task goes on whether or not anybody waits for it.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired: it has ended without one.
            TimeoutError: it has not ended in time.
            Unreachable: the connection was lost, and did not come back.
        """
        try:
            async with asyncio.timeout(timeout), aclosing(self.updates()) as updates:
                async for update in updates:
                    if isinstance(update, Ended):
                        return result_of(update.record)
        except TimeoutError:
            raise TimeoutError(f"task {self.id} is {self.state} after {timeout:g} s") from None
        raise AssertionError("updates do not end before the task does")

    async def progress(self) -> AsyncGenerator[Progress, None]:
        """Iterate over how far it is, from the last that is known to the end of the task."""
        async with aclosing(self.updates()) as updates:
            async for update in updates:
                if isinstance(update, Progress):
                    yield update

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Iterate over what happens to it, from how it is now to :class:`Ended`, the last one."""
        async with aclosing(watch(self.id, self._read, self._feeds, self._patience)) as updates:
            async for update in updates:
                if isinstance(update, StateChanged):
                    self.state = update.state
                yield update

    async def _read(self) -> Mapping[str, Any]:
        self.record = await self._calls.get("tasks", self.id)
        self.state = self.record["state"]
        return self.record

    # Changing

    async def cancel(self) -> Self:
        """Cancel it; a running one is stopped. Raises Conflict if it has ended already."""
        return self._changed(await self._calls.post("tasks", self.id, "cancel"))

    async def update(self, **changes: Unpack[UpdateOptions]) -> Self:
        """Change what is given, as for ``submit``; ``delay_ms=0`` means now, None takes away."""
        body = update_body(changes)
        return self._changed(await self._calls.post("tasks", self.id, "update", body=body))

    async def move(
        self, worker: str | None = None, *, labels: Mapping[str, Any] | None = None
    ) -> Self:
        """Give it to a worker, or to those with these labels, or without either to any.

        A running one is stopped where it is, and begins there from its last checkpoint.
        """
        body = move_body(worker, labels)
        return self._changed(await self._calls.post("tasks", self.id, "move", body=body))

    async def requeue(self) -> Self:
        """Begin it anew after its end. Raises Conflict if it has not ended."""
        return self._changed(await self._calls.post("tasks", self.id, "requeue"))

    async def why(self) -> list[str]:
        """Return in sentences why it waits, or why it ran as often as it did."""
        answer = await self._calls.get("tasks", self.id, "why")
        self.state = answer["state"]
        return list(answer["why"])

    def _changed(self, answer: Mapping[str, Any]) -> Self:
        self.record = answer
        self.state = answer["state"]
        return self
