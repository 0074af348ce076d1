"""Benchmarks of the scheduler: the core's steps, its calendar, and its stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from callboard_bench.micro.benchmark import Benchmark, Body
from callboard_scheduler import wire
from callboard_scheduler.core import Core, Instant, actions, begin, events, step
from callboard_scheduler.records import Attempt, Outcome, Raw, Spec, Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import AttemptSaved, Loaded, Store, StoreError, TaskSaved
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.stores.sqlite import SqliteStore
from callboard_scheduler.transports import OWN
from callboard_scheduler.triggers import cron

_APP: Final = "bench"
_WORKER: Final = "worker"
_BOOT: Final = "boot"
_NOW_MS: Final = 1_700_000_000_000
#: Tasks that a store keeps: then each write replaces one, and the store stays as large as it is.
_KEPT: Final = 1_000


def benchmarks() -> Sequence[Benchmark]:
    """Return the benchmarks of :mod:`callboard_scheduler`."""
    change = "a finished task and its attempt committed, one at a time"
    return [
        Benchmark(
            "scheduler-step",
            "one of the core's steps for a no-op task: submitted, accepted, succeeded",
            _steps,
            operations=3,
        ),
        Benchmark("cron-next", "the next tick of a cron expression in a time zone", _ticks),
        Benchmark("store-commit-memory", f"{change}, in memory", _commits(_memory)),
        Benchmark("store-commit-sqlite", f"{change}, on the disk", _commits(_sqlite), waits=True),
    ]


@contextmanager
def _steps() -> Iterator[Body]:
    nothing = Loaded(0, 0, [], [], set(), [])
    now = Instant(1_000, _NOW_MS)
    core, _ = begin(_APP, OWN, nothing, now, max_backlog=1_000)
    step(core, _heard(wire.Hello(_WORKER, hb=True, cap=1, free=1)), now)
    lives = 0

    def body(turns: int) -> None:
        nonlocal lives
        for number in range(lives, lives + turns):
            _live(core, f"task-{number}", now)
        lives += turns

    yield body


def _live(core: Core, task_id: str, now: Instant) -> None:
    task = events.NewTask(task_id, Spec("work"))
    fence = _fence(step(core, events.Submit(1, [task]), now).actions)
    step(core, _heard(wire.Accept(task_id, fence)), now)
    step(core, _heard(wire.Result(task_id, fence, val=Raw(b"null"))), now)


def _heard(message: wire.UpMessage) -> events.Heard:
    return events.Heard(_WORKER, _BOOT, message)


def _fence(found: Sequence[actions.Action]) -> int:
    for action in found:
        if isinstance(action, actions.Tell) and isinstance(action.message, wire.Assign):
            return action.message.f
    raise AssertionError(f"a task was not given out, but: {found}")


@contextmanager
def _ticks() -> Iterator[Body]:
    parsed = cron.parse("*/15 8-17 * * MON-FRI", "Europe/Berlin")

    def body(turns: int) -> None:
        after = _NOW_MS
        for _ in range(turns):
            found = parsed.next_after(after)
            # From the end of the calendar back to its beginning.
            after = _NOW_MS if found is None else found

    yield body


# Stores


@contextmanager
def _memory() -> Iterator[Store]:
    yield MemoryStore()


@contextmanager
def _sqlite() -> Iterator[Store]:
    with TemporaryDirectory(prefix="callboard-bench-") as folder:
        yield SqliteStore(Path(folder) / "data")


def _commits(
    make: Callable[[], AbstractContextManager[Store]],
) -> Callable[[], AbstractContextManager[Body]]:
    @contextmanager
    def prepare() -> Iterator[Body]:
        with make() as store, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(store.start())
            loop = runner.get_loop()
            try:
                yield lambda turns: loop.run_until_complete(_commit(store, turns))
            finally:
                runner.run(store.stop())

    return prepare


async def _commit(store: Store, times: int) -> None:
    loop = asyncio.get_running_loop()
    for number in range(times):
        stored: asyncio.Future[StoreError | None] = loop.create_future()
        store.write(_finished(f"task-{number % _KEPT}", number), stored.set_result)
        if (error := await stored) is not None:
            raise error


def _finished(task_id: str, number: int) -> list[TaskSaved | AttemptSaved]:
    task = Task(task_id, Spec("work"), State.SUCCEEDED, number, _NOW_MS, result=Raw(b"null"))
    task.started_at = task.finished_at = _NOW_MS
    attempt = Attempt(
        task_id, 1, 1, _WORKER, _NOW_MS, _NOW_MS, ended_at=_NOW_MS, outcome=Outcome.SUCCEEDED
    )
    return [TaskSaved(_APP, task, whole=True), AttemptSaved(_APP, attempt)]
