"""What becomes of changes: all of them, in order, and told when they are stored."""

from __future__ import annotations

import asyncio

import msgspec

from callboard_scheduler.records import (
    Failure,
    OnDisconnect,
    Outcome,
    Progress,
    Raw,
    Retry,
    StopReason,
    Target,
)
from callboard_scheduler.states import State
from callboard_scheduler.stores import (
    AttemptSaved,
    QueuePaused,
    ScheduleDropped,
    ScheduleSaved,
    StoredTask,
    StoreError,
    TaskSaved,
    TermTaken,
)
from conformance.store_suite import (
    APP,
    PATIENCE_SECONDS,
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

FULL = task(
    7,
    State.STOPPING,
    name="résumé 💾",
    args=Raw(b'{"path": "/tmp/x",  "n": 1}'),
    queue="q",
    priority=-3,
    start_by=5_000,
    timeout_ms=10,
    retry=Retry(5, 10, 1.5, 100, 0.5),
    unique_key="k",
    target=Target("w1", {"gpu": True, "zone": ["a", "b"]}),
    after=("task-1", "task-2"),
    limit_key="l",
    limit=4,
    on_disconnect=OnDisconnect.LEASE,
    max_losses=9,
    schedule="nightly",
    fire_at=99,
    rev=2,
    gen=3,
    run_at=4,
    attempt=5,
    failures=6,
    losses=7,
    fence=2**53 - 1,
    lost_fence=8,
    worker="w1",
    stop_reason=StopReason.MOVED,
    progress=Progress(12.5, "half", Raw(b"[1]")),
    checkpoint=Raw(b'{"at":3}'),
    result=Raw(b"null"),
    error=Failure("ValueError", "no\x00 \u2028 such thing"),
    started_at=10,
    finished_at=11,
)


@SUITE.check
async def every_field_of_a_task_is_kept(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, TaskSaved(APP, FULL, True), saved(8))
        assert await store.task(APP, FULL.id) == StoredTask(FULL, [])
        assert await store.task(APP, "task-8") == StoredTask(task(8), [])
        assert (await store.load(APP)).tasks == [FULL, task(8)]


@SUITE.check
async def every_field_of_an_attempt_is_kept(make: MakeStore) -> None:
    ended = attempt(
        1, 5, started_at=3, ended_at=4, outcome=Outcome.FAILED, error=Failure("E", "why")
    )
    async with started(make) as store:
        await write(store, saved(1), AttemptSaved(APP, attempt(1, 6)), AttemptSaved(APP, ended))
        # Fences grow, so the oldest has the lowest.
        assert await store.task(APP, "task-1") == StoredTask(task(1), [ended, attempt(1, 6)])


@SUITE.check
async def the_last_copy_of_a_record_counts(make: MakeStore) -> None:
    async with started(make) as store:
        for n in range(5):
            store.write(
                [
                    saved(1, priority=n, checkpoint=Raw(b"%d" % n)),
                    AttemptSaved(APP, attempt(1, 5, started_at=n)),
                    ScheduleSaved(APP, schedule("s", rev=n)),
                    TermTaken(APP, n),
                ]
            )
        loaded = await store.load(APP)
        assert loaded.tasks == [task(1, priority=4, checkpoint=Raw(b"4"))]
        assert loaded.attempts == [attempt(1, 5, started_at=4)]
        assert loaded.schedules == [schedule("s", rev=4)]
        assert loaded.term == 4


@SUITE.check
async def a_save_that_is_not_whole_leaves_the_rest_as_it_was(make: MakeStore) -> None:
    first = saved(1, priority=5, result=Raw(b"1"), checkpoint=Raw(b"2"))
    running = {
        "state": State.RUNNING,
        "rev": 2,
        "gen": 2,
        "run_at": 3,
        "attempt": 4,
        "failures": 5,
        "losses": 6,
        "fence": 7,
        "lost_fence": 8,
        "worker": "w",
        "stop_reason": StopReason.TIMEOUT,
        "progress": Progress(1.0),
        "error": Failure("E"),
        "started_at": 9,
        "finished_at": 10,
    }
    later = msgspec.structs.replace(task(1, priority=6, created_at=99), **running)
    expected = msgspec.structs.replace(first.task, **running)
    async with started(make) as store:
        await write(store, first)
        await write(store, TaskSaved(APP, later, False))
        assert await store.task(APP, "task-1") == StoredTask(expected, [])
        # And back to nothing.
        await write(store, TaskSaved(APP, task(1), False))
        assert await store.task(APP, "task-1") == StoredTask(first.task, [])


@SUITE.check
async def a_whole_save_is_not_undone_by_a_later_one_that_is_not(make: MakeStore) -> None:
    """However many of them a store writes at once."""
    async with started(make) as store:
        running = task(1, State.RUNNING, priority=2, queue="other", result=Raw(b"1"))
        store.write([saved(1)])
        store.write([TaskSaved(APP, msgspec.structs.replace(running), True)])
        store.write([TaskSaved(APP, running, False)])
        assert await store.task(APP, "task-1") == StoredTask(running, [])


@SUITE.check
async def a_whole_save_moves_a_task_to_where_its_spec_says(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, saved(1, queue="a", name="x"))
        await write(store, saved(1, queue="b", name="y", schedule="s"))
        stored = await store.task(APP, "task-1")
        assert stored is not None
        assert (stored.task.spec.queue, stored.task.spec.name) == ("b", "y")


@SUITE.check
async def what_belongs_to_no_task_is_dropped(make: MakeStore) -> None:
    async with started(make) as store:
        await write(
            store, TaskSaved(APP, task(1), False), AttemptSaved(APP, attempt(2, 5)), saved(3)
        )
        assert [stored.seq for stored in (await store.load(APP)).tasks] == [3]
        await write(store, saved(1), saved(2))
        assert await store.task(APP, "task-1") == StoredTask(task(1), [])
        assert await store.task(APP, "task-2") == StoredTask(task(2), [])


@SUITE.check
async def an_attempt_may_come_before_its_task_in_the_same_write(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, AttemptSaved(APP, attempt(1, 5)), saved(1))
        assert await store.task(APP, "task-1") == StoredTask(task(1), [attempt(1, 5)])


@SUITE.check
async def schedules_queues_and_terms_are_kept_and_changed(make: MakeStore) -> None:
    other = schedule("b", timezone="Europe/Berlin", event=Raw(b'{"name":"e"}'), next_at=5)
    async with started(make) as store:
        await write(
            store,
            TermTaken(APP, 3),
            ScheduleSaved(APP, schedule("a")),
            ScheduleSaved(APP, other),
            ScheduleDropped(APP, "never there"),
            QueuePaused(APP, "q1", True),
            QueuePaused(APP, "q2", True),
            QueuePaused(APP, "q3", False),
        )
        loaded = await store.load(APP)
        assert sorted(loaded.schedules, key=lambda kept: kept.id) == [schedule("a"), other]
        assert (loaded.term, set(loaded.paused_queues)) == (3, {"q1", "q2"})
        store.write([ScheduleDropped(APP, "a"), QueuePaused(APP, "q1", False), TermTaken(APP, 4)])
        loaded = await store.load(APP)
        assert (loaded.term, loaded.schedules, set(loaded.paused_queues)) == (4, [other], {"q2"})


@SUITE.check
async def a_schedule_that_is_dropped_and_saved_in_one_go_is_there(make: MakeStore) -> None:
    async with started(make) as store:
        await write(
            store,
            ScheduleSaved(APP, schedule("a")),
            ScheduleDropped(APP, "a"),
            ScheduleSaved(APP, schedule("a", rev=2)),
            ScheduleSaved(APP, schedule("b")),
            ScheduleDropped(APP, "b"),
        )
        assert (await store.load(APP)).schedules == [schedule("a", rev=2)]


@SUITE.check
async def apps_share_nothing(make: MakeStore) -> None:
    async with started(make) as store:
        await write(
            store,
            saved(1),
            TaskSaved("other", task(1, State.DEAD, finished_at=1), True),
            AttemptSaved("other", attempt(1, 5)),
            TermTaken("other", 9),
            ScheduleSaved("other", schedule("a")),
            QueuePaused("other", "q", True),
        )
        loaded = await store.load(APP)
        assert (loaded.tasks, loaded.attempts, loaded.term) == ([task(1)], [], 0)
        assert (loaded.schedules, set(loaded.paused_queues)) == ([], set())
        assert await store.prune(APP, 100, 10) == 0
        assert await store.states("other", ["task-1"]) == {"task-1": State.DEAD}
        assert await store.prune("other", 100, 10) == 1
        assert await store.task(APP, "task-1") == StoredTask(task(1), [])


@SUITE.check
async def callbacks_are_called_on_the_loop_in_the_order_of_writing(make: MakeStore) -> None:
    async with started(make) as store:
        heard: list[tuple[int, StoreError | None]] = []
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def note(n: int, error: StoreError | None) -> None:
            assert asyncio.get_running_loop() is loop
            heard.append((n, error))
            if n == 29:
                done.set_result(None)

        for n in range(30):
            if n % 3 == 2:
                store.write([saved(n)], lambda error, n=n: note(n, error))  # type: ignore[misc]
            else:
                store.write([saved(n)])
        assert not heard, "nothing is called before write returns"
        await asyncio.wait_for(done, PATIENCE_SECONDS)
        assert heard == [(n, None) for n in range(2, 30, 3)]
        assert len((await store.load(APP)).tasks) == 30


@SUITE.check
async def a_callback_may_write(make: MakeStore) -> None:
    async with started(make) as store:
        done = asyncio.get_running_loop().create_future()
        store.write([saved(1)], lambda _: store.write([saved(2)], done.set_result))
        assert await asyncio.wait_for(done, PATIENCE_SECONDS) is None
        assert len((await store.load(APP)).tasks) == 2


@SUITE.check
async def writing_nothing_is_told_behind_what_was_written(make: MakeStore) -> None:
    async with started(make) as store:
        heard: list[str] = []
        done = asyncio.get_running_loop().create_future()
        store.write([saved(1)], lambda _: heard.append("something"))
        store.write([], done.set_result)
        assert await asyncio.wait_for(done, PATIENCE_SECONDS) is None
        assert heard == ["something"]


@SUITE.check
async def a_write_of_thousands_is_one(make: MakeStore) -> None:
    async with started(make) as store:
        await write(store, *(saved(n) for n in range(2_000)))
        assert [stored.seq for stored in (await store.load(APP)).tasks] == [*range(2_000)]
