"""A scheduler for tests: no server, no network, no waiting, and time that you move yourself.

::

    from callboard_scheduler.testing import VirtualScheduler
    from myapp.tasks import worker

    def test_a_reminder_is_sent_after_an_hour():
        scheduler = VirtualScheduler(worker)
        task = scheduler.submit("remind", {"user": 7}, delay_ms=3_600_000)
        scheduler.assert_submitted("remind", args={"user": 7})
        assert scheduler.run_due() == []
        assert scheduler.advance(3600) == [task]
        assert task.state == "succeeded"

It is the core of the real one, so retries, priorities, limits, dependencies, unique keys and
schedules behave as they do there; what is validated is validated by the same code, and the
functions of your worker get their arguments as they do there. Functions take no virtual time.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, Unpack

import msgspec
import orjson

from callboard_scheduler import schedule_body, submission, wire
from callboard_scheduler.client import bodies
from callboard_scheduler.core import Instant, actions, begin, events, reasons, step
from callboard_scheduler.errors import SchedulerError
from callboard_scheduler.history import history
from callboard_scheduler.ids import task_id as new_id
from callboard_scheduler.names import PUBLISH, PUBLISH_QUEUE
from callboard_scheduler.publishing import DocumentedLimits
from callboard_scheduler.records import Attempt, Raw, Target
from callboard_scheduler.records import Task as Record
from callboard_scheduler.states import State
from callboard_scheduler.stores import AttemptSaved, Loaded, StoredTask, TaskSaved
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.submitted import Books, Task
from callboard_scheduler.transports import OWN
from callboard_scheduler.worker import values
from callboard_scheduler.worker.context import Context
from callboard_scheduler.worker.handlers import Handlers
from callboard_scheduler.worker.running import result_error
from callboard_scheduler.worker.worker import Worker

__all__ = ["MemoryStore", "Task", "VirtualClock", "VirtualScheduler"]

#: Where virtual time begins, unless the test says otherwise: a Monday, 09:00 UTC.
BEGINNING: Final = datetime(2024, 1, 1, 9, tzinfo=UTC)
#: More moments than this within one call are a loop that never ends.
_MOST_MOMENTS: Final = 100_000

Result = TypeVar("Result")


class VirtualClock:
    """Implements :class:`~callboard_scheduler.clock.Clock`; time moves when it is told to."""

    def __init__(self, now: datetime = BEGINNING) -> None:
        if now.tzinfo is None:
            raise ValueError("now has no time zone: use datetime(…, tzinfo=UTC)")
        self._wall_ms = int(now.timestamp() * 1000)
        self._mono_ms = 0

    def wall_ms(self) -> int:
        return self._wall_ms

    def mono_ms(self) -> int:
        return self._mono_ms

    def now(self) -> datetime:
        """Return the virtual time of day, in UTC."""
        return datetime.fromtimestamp(self._wall_ms / 1000, UTC)

    def advance_ms(self, span: int) -> None:
        """Let that much time pass; never back."""
        if span < 0:
            raise ValueError(f"time does not go back: expected 0 or more, got {span}")
        self._wall_ms += span
        self._mono_ms += span


class VirtualScheduler(Books):
    """Tasks, schedules and workers in one object, for one test.

    ``workers`` are yours: their functions run in the test's thread. Without any, tasks only wait.
    """

    def __init__(self, *workers: Worker, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        #: Events that were published later or on a schedule, as trigger bodies.
        self.published: list[dict[str, Any]] = []
        self.reported = {}
        self.logged = {}
        self._finished: dict[str, Record] = {}
        # By task and fence.
        self._attempts: dict[str, dict[int, Attempt]] = {}
        self._submitted: dict[str, None] = {}
        self._assigned: list[tuple[str, wire.Assign]] = []
        self._handlers: dict[str, Handlers] = {}
        self._answers: dict[int, Any] = {}
        self._tickets = 0
        loaded = Loaded(0, 0, (), (), (), ())
        self._core, _ = begin("test", OWN, loaded, self._instant(), max_backlog=1_000_000)
        self._happen(events.Enlist("callboard", PUBLISH_QUEUE, PUBLISH, 100))
        for number, worker in enumerate(workers, start=1):
            self._join(worker, number)

    def _join(self, worker: Worker, number: int) -> None:
        options, handlers = worker.options, worker.handlers
        worker_id = options.id or f"worker-{number}"
        self._handlers[worker_id] = handlers
        hello = wire.Hello(
            worker_id,
            options.slots,
            options.slots,
            list(options.queues),
            handlers.names,
            dict(options.labels),
        )
        self._happen(events.Heard(worker_id, "test", hello))

    # Submitting, as with a Client

    def submit(
        self,
        name: str,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[bodies.SubmitOptions],
    ) -> Task:
        """Submit a task; raises as ``Client.submit`` does, but the error is the server's own."""
        return self.submit_many([{"name": name, "args": args, **options}])[0]

    def submit_many(self, submissions: Iterable[bodies.Submission]) -> list[Task]:
        """Submit all of these tasks, or none."""
        now = self.clock.wall_ms()
        new = []
        for body in bodies.batch_bodies(submissions):
            asked = submission.parse_submit(orjson.dumps(body), now)
            new.append(events.NewTask(new_id(now), asked.spec, asked.on_conflict))
        states = {task_id: record.state for task_id, record in self._finished.items()}
        taken = self.ask(lambda ticket: events.Submit(ticket, new, states))
        return [Task(self, task_id) for task_id, _ in taken]

    def put_schedule(self, schedule_id: str, **options: Unpack[bodies.ScheduleOptions]) -> None:
        """Add a schedule, or replace the one of this id."""
        body = orjson.dumps(bodies.schedule_body(options))
        schedule = schedule_body.parse_schedule(
            schedule_id, body, DocumentedLimits(), self.clock.wall_ms()
        )
        self.ask(lambda ticket: events.PutSchedule(ticket, schedule))

    def cancel(self, task_id: str) -> None:
        self.ask(lambda ticket: events.Cancel(ticket, task_id))

    def move(self, task: Task, worker: str | None) -> None:
        """Give a task to another worker; None is whoever is free."""
        target = None if worker is None else Target(worker)
        self.ask(lambda ticket: events.Move(ticket, task.id, target))

    # Time

    def run_due(self) -> list[Task]:
        """Run every task that is due, and what becomes due by that; return those that ran."""
        return self.advance(0)

    def advance(self, seconds: float) -> list[Task]:
        """Let time pass, running what becomes due at its time; return what ran, in order.

        Raises:
            RuntimeError: a loop is running already: await :meth:`advance_async` there.
        """
        return _run(self.advance_async(seconds))

    async def advance_async(self, seconds: float = 0) -> list[Task]:
        """As :meth:`advance`, for tests that are coroutines themselves."""
        end = self.clock.wall_ms() + round(seconds * 1000)
        ran: list[Task] = []
        for _ in range(_MOST_MOMENTS):
            self._happen(events.Tick())
            await self._run_assigned(ran)
            left = end - self.clock.wall_ms()
            wait = self._core.timers.next_ms(self._instant())
            if wait is None or wait > left:
                self.clock.advance_ms(left)
                self._happen(events.Tick())
                await self._run_assigned(ran)
                return ran
            self.clock.advance_ms(wait)
        raise AssertionError(f"more than {_MOST_MOMENTS} moments passed: a task submits itself?")

    # Looking

    @property
    def tasks(self) -> list[Task]:
        return [Task(self, task_id) for task_id in self._submitted]

    def record(self, task_id: str) -> Record:
        live = self._core.tasks.get(task_id)
        return live if live is not None else self._finished[task_id]

    def why(self, task_id: str) -> list[str]:
        task = self._core.tasks.get(task_id)
        waits = [] if task is None else reasons.why(self._core, task)
        attempts = self._attempts.get(task_id, {})
        stored = StoredTask(self.record(task_id), [attempts[fence] for fence in sorted(attempts)])
        return [*waits, *history(stored)]

    # Inside

    def ask(self, make: Any) -> Any:
        """Let a request happen; return its answer, or raise it."""
        self._tickets += 1
        self._happen(make(self._tickets))
        answer = self._answers.pop(self._tickets)
        if isinstance(answer, SchedulerError):
            raise answer
        return answer

    def _instant(self) -> Instant:
        return Instant(self.clock.mono_ms(), self.clock.wall_ms())

    def _happen(self, event: events.Event) -> None:
        turn = step(self._core, event, self._instant())
        for change in turn.changes:
            if isinstance(change, TaskSaved):
                self._submitted.setdefault(change.task.id)
                if change.task.id not in self._core.tasks:
                    self._finished[change.task.id] = copy.copy(change.task)
            elif isinstance(change, AttemptSaved):
                self._attempts.setdefault(change.attempt.task, {})[change.attempt.fence] = (
                    change.attempt
                )
        for action in turn.actions:
            if isinstance(action, actions.Answer):
                self._answers[action.ticket] = action.value
            elif isinstance(action, actions.Tell) and isinstance(action.message, wire.Assign):
                self._assigned.append((action.worker, action.message))

    async def _run_assigned(self, ran: list[Task]) -> None:
        while self._assigned:
            worker_id, given = self._assigned.pop(0)
            boot = "test" if worker_id in self._handlers else worker_id
            if self._core.tasks[given.id].state is State.STOPPING:
                # Another function has cancelled or moved it before its turn.
                self._happen(events.Heard(worker_id, boot, wire.Released(given.id, given.f)))
                continue
            result = await self._run(worker_id, boot, given)
            self._happen(events.Heard(worker_id, boot, result))
            ran.append(Task(self, given.id))

    async def _run(self, worker_id: str, boot: str, given: wire.Assign) -> wire.Result:
        if worker_id not in self._handlers:
            self.published.append(msgspec.json.decode(given.args or b"{}"))
            return wire.Result(given.id, given.f)
        self._happen(events.Heard(worker_id, boot, wire.Accept(given.id, given.f)))
        handler = self._handlers[worker_id][given.name]
        context = Context(given, _Reports(self, worker_id, given.id))
        try:
            positional, keyword = handler.arguments.bind(given.args or Raw(b"{}"))
            if handler.arguments.takes_context:
                positional = [context, *positional]
            outcome = handler.function(*positional, **keyword)
            value = await outcome if handler.is_async else outcome
            return wire.Result(
                given.id, given.f, val=values.encode(value, f"the result of {given.name!r}")
            )
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                # Not the function, but the test.
                raise
            return wire.Result(given.id, given.f, ok=False, err=result_error(error))

    def heard(self, worker_id: str, message: wire.UpMessage) -> None:
        """Take what a function said while it ran."""
        self._happen(events.Heard(worker_id, "test", message))


class _Reports:
    """Takes what a function says of itself; implements ``worker.context.Reports``."""

    max_bytes = OWN.limits.bytes

    def __init__(self, scheduler: VirtualScheduler, worker_id: str, task_id: str) -> None:
        self._scheduler = scheduler
        self._worker_id = worker_id
        self._task_id = task_id
        self._said = 0

    def progressed(self, fence: int, pct: float | None, msg: str | None, data: Raw | None) -> None:
        self._said += 1
        self._scheduler.reported.setdefault(self._task_id, []).append(pct)
        report = wire.ProgressReport(self._task_id, fence, self._said, pct, msg, data)
        self._scheduler.heard(self._worker_id, report)

    def logged(self, fence: int, level: str, text: str) -> None:
        self._scheduler.logged.setdefault(self._task_id, []).append(text)

    def saved(self, fence: int, checkpoint: Raw) -> None:
        self._scheduler.heard(self._worker_id, wire.Checkpoint(self._task_id, fence, checkpoint))


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    coroutine.close()
    raise RuntimeError("a loop is running already: use `await scheduler.advance_async(…)`")
