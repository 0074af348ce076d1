"""What the checks of a store are made of: started stores, and records to put into them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import msgspec

from callboard_scheduler.records import Attempt, Raw, Schedule, Spec, Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import Change, Store, StoreError, TaskFilter, TaskSaved

#: How long a write may take, in seconds.
PATIENCE_SECONDS: Final = 10.0

APP: Final = "app"
EVERY: Final = TaskFilter()

MakeStore = Callable[[], AbstractAsyncContextManager[Store]]
Check = Callable[[MakeStore], Awaitable[None]]


class Suite(list[Check]):
    """The checks of one module, in the order in which they are written."""

    def check(self, function: Check) -> Check:
        self.append(function)
        return function


@asynccontextmanager
async def started(make: MakeStore) -> AsyncIterator[Store]:
    async with make() as store:
        await store.start()
        try:
            yield store
        finally:
            await store.stop()


async def write(store: Store, *changes: Change) -> None:
    """Write changes and wait until they are stored.

    Raises:
        StoreError: they were refused.
    """
    done: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
    store.write(changes, done.set_result)
    error = await asyncio.wait_for(done, PATIENCE_SECONDS)
    if error is not None:
        raise error


def task(seq: int, state: State = State.READY, **fields: Any) -> Task:
    """Return a task; what is a field of its spec goes there."""
    spec = {name: fields.pop(name) for name in Spec.__struct_fields__ if name in fields}
    fields.setdefault("created_at", 1_000 + seq)
    return Task(f"task-{seq}", Spec(**{"name": "work", **spec}), state, seq, **fields)


def saved(seq: int, state: State = State.READY, **fields: Any) -> TaskSaved:
    """Return a whole save of a task."""
    return TaskSaved(APP, task(seq, state, **fields), True)


def attempt(of: int, fence: int, **fields: Any) -> Attempt:
    """Return an attempt of the task with that ``seq``."""
    return Attempt(f"task-{of}", fence, n=1, worker="worker", assigned_at=2_000, **fields)


def schedule(id: str, **fields: Any) -> Schedule:
    """Return a schedule."""
    return msgspec.structs.replace(
        Schedule(id, cron="0 4 * * *", task=Raw(b'{"name":"work"}')), **fields
    )


async def seqs(store: Store, which: TaskFilter = EVERY, *, app: str = APP) -> list[int]:
    """Return the ``seq`` of every task that is listed, page by page."""
    found: list[int] = []
    cursor = None
    while True:
        page = await store.tasks(app, which, 2, cursor)
        found += [task.seq for task in page.tasks]
        cursor = page.cursor
        if cursor is None:
            return found
