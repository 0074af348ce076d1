"""A store's own life."""

from __future__ import annotations

import asyncio

from callboard_scheduler.stores import (
    AttemptSaved,
    QueuePaused,
    ScheduleSaved,
    StoredTask,
    StoreError,
    TermTaken,
)
from conformance.store_suite import (
    APP,
    MakeStore,
    Suite,
    attempt,
    saved,
    schedule,
    started,
    task,
    write,
)

SUITE = Suite()


@SUITE.check
async def stopping_is_safe_twice_and_unstarted(make: MakeStore) -> None:
    async with make() as store:
        await store.stop()
    async with started(make) as store:
        await write(store, saved(1))
        await store.stop()
        await store.stop()


@SUITE.check
async def what_was_written_is_there_after_a_restart(make: MakeStore) -> None:
    """All of it: stopping writes what nobody waited for."""
    async with make() as store:
        await store.start()
        await write(store, saved(1), AttemptSaved(APP, attempt(1, 5)), TermTaken(APP, 3))
        store.write([saved(2), ScheduleSaved(APP, schedule("s")), QueuePaused(APP, "q", True)])
        await store.stop()
        await store.start()
        try:
            loaded = await store.load(APP)
            assert (loaded.term, loaded.seq) == (3, 2)
            assert loaded.tasks == [task(1), task(2)]
            assert loaded.attempts == [attempt(1, 5)]
            assert loaded.schedules == [schedule("s")]
            assert set(loaded.paused_queues) == {"q"}
            # And goes on from there.
            await write(store, saved(2, priority=1))
            assert await store.task(APP, "task-2") == StoredTask(task(2, priority=1), [])
        finally:
            await store.stop()


@SUITE.check
async def whoever_waits_is_told_before_the_store_has_stopped(make: MakeStore) -> None:
    async with started(make) as store:
        heard: list[StoreError | None] = []
        store.write([saved(1)])
        store.write([saved(2)], heard.append)
        await store.stop()
        # A callback that is due comes before what is begun now.
        await asyncio.sleep(0)
        assert heard == [None]
