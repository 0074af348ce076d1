"""Every store held to the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard_scheduler.records import Outcome, Raw
from callboard_scheduler.states import State
from callboard_scheduler.stores import (
    AttemptSaved,
    Change,
    QueuePaused,
    ScheduleDropped,
    ScheduleSaved,
    Store,
    StoreError,
    TaskFilter,
    TaskSaved,
    TermTaken,
)
from callboard_scheduler.stores.faulty import FaultyStore
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.stores.sqlite import SqliteStore
from conformance import store as conformance
from conformance.store_suite import (
    APP,
    EVERY,
    attempt,
    saved,
    schedule,
    seqs,
    started,
    task,
    write,
)

checks = pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)


@asynccontextmanager
async def memory() -> AsyncIterator[MemoryStore]:
    yield MemoryStore()


@asynccontextmanager
async def faulty() -> AsyncIterator[FaultyStore]:
    yield FaultyStore()


@checks
async def test_memory(check: conformance.Check) -> None:
    await check(memory)


@checks
async def test_memory_with_a_disk(check: conformance.Check) -> None:
    await check(faulty)


@checks
async def test_sqlite(check: conformance.Check, tmp_path: Path) -> None:
    @asynccontextmanager
    async def sqlite() -> AsyncIterator[SqliteStore]:
        yield SqliteStore(tmp_path / "data")

    await check(sqlite)


# Random changes: SQLite's store is what the reference is

seq = st.integers(1, 4)
small = st.integers(0, 3)
states = st.sampled_from(State)
some_bytes = st.sampled_from([None, Raw(b"1"), Raw(b'{"a": []}')])


@st.composite
def task_saves(draw: st.DrawFn) -> Change:
    kept = task(
        draw(seq),
        draw(states),
        queue=draw(st.sampled_from(["q1", "q2"])),
        name=draw(st.sampled_from(["n1", "n2"])),
        schedule=draw(st.sampled_from([None, "s1"])),
        fence=draw(small),
        result=draw(some_bytes),
        checkpoint=draw(some_bytes),
        finished_at=draw(st.one_of(st.none(), small)),
    )
    return TaskSaved(draw(apps), kept, draw(st.booleans()))


apps = st.sampled_from([APP, "other"])
attempts = st.builds(
    attempt,
    seq,
    small,
    ended_at=st.one_of(st.none(), small),
    outcome=st.sampled_from([None, Outcome.LOST]),
)
schedules = st.builds(schedule, st.sampled_from(["a", "b"]), rev=small)
changes = st.one_of(
    task_saves(),
    task_saves(),
    st.builds(AttemptSaved, apps, attempts),
    st.builds(ScheduleSaved, apps, schedules),
    st.builds(ScheduleDropped, apps, st.sampled_from(["a", "b"])),
    st.builds(QueuePaused, apps, st.sampled_from(["q1", "q2"]), st.booleans()),
    st.builds(TermTaken, apps, small),
)
steps = st.one_of(
    st.tuples(st.just("write"), st.lists(changes, min_size=1, max_size=5)),
    st.tuples(st.just("write"), st.lists(changes, min_size=1, max_size=5)),
    st.tuples(st.just("wait"), st.lists(changes, max_size=3)),
    st.tuples(st.just("prune"), st.tuples(apps, small, small)),
    st.tuples(st.just("reopen"), st.none()),
)
FILTERS = [
    EVERY,
    TaskFilter(states={State.SUCCEEDED, State.READY}, queue="q1"),
    TaskFilter(states={State.DEAD, State.BLOCKED}),
    TaskFilter(queue="q2"),
    TaskFilter(name="n1", schedule="s1"),
    TaskFilter(name="n2", queue="q2"),
]


async def everything(store: Store) -> object:
    """Return all that can be read."""
    found: list[object] = []
    for app in (APP, "other"):
        loaded = await store.load(app)
        loaded.schedules = sorted(loaded.schedules, key=lambda kept: kept.id)
        loaded.attempts = sorted(loaded.attempts, key=lambda kept: (kept.task, kept.fence))
        loaded.paused_queues = sorted(loaded.paused_queues)
        found.append(loaded)
        found.append(await store.states(app, [f"task-{n}" for n in range(6)]))
        found += [await store.task(app, f"task-{n}") for n in range(6)]
        found += [await seqs(store, which, app=app) for which in FILTERS]
    return found


async def as_a_scheduler_writes(reference: Store, written: Sequence[Change]) -> list[Change]:
    """Make the first save of a task whole, and leave out attempts of tasks that there are not."""
    there = {
        (app, kept)
        for app in (APP, "other")
        for kept in await reference.states(app, [f"task-{n}" for n in range(6)])
    }
    there |= {(one.app, one.task.id) for one in written if isinstance(one, TaskSaved)}
    result: list[Change] = []
    first = set(there)
    for change in written:
        if isinstance(change, TaskSaved):
            known = await reference.task(change.app, change.task.id)
            if known is None and (change.app, change.task.id) in first:
                first.discard((change.app, change.task.id))
                change = TaskSaved(change.app, change.task, True)
        elif isinstance(change, AttemptSaved) and (change.app, change.attempt.task) not in there:
            continue
        result.append(change)
    return result


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, max_size=12))
def test_whatever_is_written_sqlite_reads_as_memory_does(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("store")

    async def run() -> None:
        reference, store = MemoryStore(), SqliteStore(folder / "data")
        await store.start()
        try:
            for step, what in sequence:
                if step in ("write", "wait"):
                    assert isinstance(what, list)
                    written = await as_a_scheduler_writes(reference, what)
                    reference.write(written)
                    if step == "wait":
                        await write(store, *written)
                    else:
                        store.write(written)
                elif step == "prune":
                    assert isinstance(what, tuple)
                    assert await store.prune(*what) == await reference.prune(*what)
                else:
                    await store.stop()
                    await store.start()
            assert await everything(store) == await everything(reference)
        finally:
            await store.stop()

    asyncio.run(run())


# The disk of FaultyStore


async def test_a_failing_disk_refuses_what_is_waited_for_and_keeps_the_rest() -> None:
    async with started(faulty) as store:
        assert isinstance(store, FaultyStore)
        store.failure = StoreError("the disk is full")
        with pytest.raises(StoreError, match="full"):
            await write(store, saved(1))
        store.write([saved(2)])
        store.failure = None
        await write(store, saved(3))
        assert await seqs(store) == [3, 2]


async def test_a_stalled_disk_acknowledges_when_it_goes_on_and_in_order() -> None:
    async with started(faulty) as store:
        assert isinstance(store, FaultyStore)
        heard: list[int] = []
        store.stall()
        store.write([saved(1)], lambda _: heard.append(1))
        store.write([saved(2)], lambda _: heard.append(2))
        await asyncio.sleep(0)
        assert heard == []
        store.resume()
        await write(store)
        assert heard == [1, 2]


async def test_a_power_cut_takes_what_was_not_acknowledged() -> None:
    async with started(faulty) as store:
        assert isinstance(store, FaultyStore)
        store.write([saved(1)])
        await write(store, saved(2))
        store.write([saved(3)])
        store.write([saved(4)], lambda _: pytest.fail("nobody is there to be told"))
        store.cut_power()
        await asyncio.sleep(0)
        assert await seqs(store) == [2, 1]
        await write(store, saved(5))
        assert await seqs(store) == [5, 2, 1]
