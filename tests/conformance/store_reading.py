"""What is read: all that was written before, and nothing that its reader could change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from callboard_scheduler.records import Outcome
from callboard_scheduler.states import LIVE, TERMINAL, State
from callboard_scheduler.stores import (
    AttemptSaved,
    BadCursor,
    Store,
    StoredTask,
    TaskFilter,
    TaskSaved,
)
from conformance.store_suite import (
    APP,
    EVERY,
    MakeStore,
    Suite,
    attempt,
    saved,
    seqs,
    started,
    task,
    write,
)

SUITE = Suite()


@SUITE.check
async def an_empty_store_has_nothing(make: MakeStore) -> None:
    async with started(make) as store:
        loaded = await store.load(APP)
        assert (loaded.term, loaded.seq, len(loaded.tasks), len(loaded.attempts)) == (0, 0, 0, 0)
        assert (len(loaded.schedules), len(loaded.paused_queues)) == (0, 0)
        assert await store.task(APP, "task-1") is None
        assert await store.states(APP, ["task-1"]) == {}
        assert await seqs(store) == []
        assert await store.prune(APP, 10, 10) == 0


@SUITE.check
async def each_read_sees_what_was_written_before_it(make: MakeStore) -> None:
    """Though nobody waited for it."""
    reads: list[Callable[[Store, int], Awaitable[bool]]] = [_loaded, _read, _stated, _listed]
    async with started(make) as store:
        for seq in range(12):
            store.write([saved(seq)])
            assert await reads[seq % len(reads)](store, seq)
        store.write([saved(1, State.DEAD, finished_at=5)])
        assert await store.prune(APP, 6, 10) == 1


async def _loaded(store: Store, seq: int) -> bool:
    return len((await store.load(APP)).tasks) == seq + 1


async def _read(store: Store, seq: int) -> bool:
    return await store.task(APP, f"task-{seq}") is not None


async def _stated(store: Store, seq: int) -> bool:
    return len(await store.states(APP, [f"task-{seq}"])) == 1


async def _listed(store: Store, seq: int) -> bool:
    return len((await store.tasks(APP, EVERY, 100)).tasks) == seq + 1


@SUITE.check
async def what_is_not_finished_is_loaded_in_the_order_of_arrival(make: MakeStore) -> None:
    states = [*State]
    async with started(make) as store:
        await write(store, *(saved(n, states[n]) for n in reversed(range(len(states)))))
        loaded = await store.load(APP)
        assert [kept.state for kept in loaded.tasks] == [state for state in states if state in LIVE]
        # Of all tasks: the next must not come before one that is finished.
        assert loaded.seq == len(states) - 1


@SUITE.check
async def attempts_of_live_tasks_are_loaded_until_they_end(make: MakeStore) -> None:
    ended = attempt(1, 5, ended_at=9, outcome=Outcome.LOST)
    async with started(make) as store:
        await write(store, saved(1, State.RUNNING), saved(2, State.DEAD), saved(3))
        await write(
            store,
            AttemptSaved(APP, ended),
            AttemptSaved(APP, attempt(1, 6)),
            AttemptSaved(APP, attempt(2, 7)),
        )
        assert (await store.load(APP)).attempts == [attempt(1, 6)]


@SUITE.check
async def states_are_told_of_the_tasks_that_there_are(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, *(saved(n, State.DEAD) for n in range(1_200)), saved(1_200))
        ids = [f"task-{n}" for n in range(1_300)]
        found = await store.states(APP, ids)
        assert found == dict.fromkeys(ids[:1_200], State.DEAD) | {"task-1200": State.READY}
        assert await store.states(APP, []) == {}


@SUITE.check
async def tasks_are_listed_newest_first_and_page_by_page(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, *(saved(n, [*State][n % len(State)]) for n in range(25)))
        assert await seqs(store) == [*reversed(range(25))]
        page = await store.tasks(APP, EVERY, 10)
        assert [kept.seq for kept in page.tasks] == [*range(24, 14, -1)]
        # What comes meanwhile does not move what is behind the cursor.
        await write(store, saved(100))
        page = await store.tasks(APP, EVERY, 15, page.cursor)
        assert ([kept.seq for kept in page.tasks], page.cursor) == ([*range(14, -1, -1)], None)


@SUITE.check
async def tasks_are_listed_by_any_of_their_properties(make: MakeStore) -> None:
    properties = [
        (seq, state, queue, name, schedule)
        for seq, (state, queue, name, schedule) in enumerate(
            (state, queue, name, schedule)
            for state in (State.READY, State.SUCCEEDED, State.DEAD)
            for queue in ("q1", "q2")
            for name in ("n1", "n2")
            for schedule in (None, "s1")
        )
    ]
    async with started(make) as store:
        await write(
            store,
            *(
                saved(seq, state, queue=queue, name=name, schedule=schedule)
                for seq, state, queue, name, schedule in properties
            ),
        )
        for states in (None, {State.READY}, {State.DEAD, State.SUCCEEDED}, {State.BLOCKED}, set()):
            for queue in (None, "q1", "none"):
                for name in (None, "n2"):
                    for schedule in (None, "s1"):
                        which = TaskFilter(states, queue, name, schedule)
                        expected = [
                            seq
                            for seq, state, in_queue, called, of in reversed(properties)
                            if (states is None or state in states)
                            and queue in (None, in_queue)
                            and name in (None, called)
                            and schedule in (None, of)
                        ]
                        assert await seqs(store, which) == expected, which


@SUITE.check
async def a_cursor_of_nobody_is_refused(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, saved(1))
        for cursor in ("", "x", "-1", "1.5", " 1", "1_0", "١", "9" * 30):
            with pytest.raises(BadCursor, match="cursor"):
                await store.tasks(APP, EVERY, 10, cursor)


@SUITE.check
async def who_reads_may_change_what_was_read(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, saved(1), AttemptSaved(APP, attempt(1, 5)))
        loaded = await store.load(APP)
        stored = await store.task(APP, "task-1")
        assert stored is not None
        page = await store.tasks(APP, EVERY, 1)
        for kept in (loaded.tasks[0], stored.task, page.tasks[0]):
            kept.state = State.DEAD
        for held in (loaded.attempts[0], stored.attempts[0]):
            held.ended_at = 1
        assert await store.task(APP, "task-1") == StoredTask(task(1), [attempt(1, 5)])
        assert len((await store.load(APP)).attempts) == 1


@SUITE.check
async def what_finished_before_a_time_is_pruned_oldest_first(make: MakeStore) -> None:
    async with started(make) as store:
        for seq, state in enumerate(sorted(TERMINAL, key=lambda state: state.value), 1):
            await write(store, saved(seq, state, finished_at=100 - seq))
            await write(store, AttemptSaved(APP, attempt(seq, seq)))
        # Not finished, whatever it says; and finished too late.
        await write(store, saved(5, finished_at=1), saved(6, State.DEAD, finished_at=100))
        assert await store.prune(APP, 100, 3) == 3
        assert await seqs(store) == [6, 5, 1]
        assert await store.prune(APP, 100, 3) == 1
        assert await store.prune(APP, 100, 3) == 0
        assert await seqs(store) == [6, 5]
        # The same task, come again, does not find the attempts of the old one.
        await write(store, saved(2))
        assert await store.task(APP, "task-2") == StoredTask(task(2), [])


@SUITE.check
async def a_finished_task_stays_readable_and_may_begin_again(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, saved(1, State.DEAD, finished_at=5))
        assert (await store.load(APP)).tasks == []
        assert await store.states(APP, ["task-1"]) == {"task-1": State.DEAD}
        await write(store, TaskSaved(APP, task(1, gen=2), True))
        assert (await store.load(APP)).tasks == [task(1, gen=2)]
        assert await store.prune(APP, 100, 3) == 0
