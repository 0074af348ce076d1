"""One app's scheduler as its callers see it: every method runs on the loop that started it.

What changes something returns once that survives a power cut. StoreUnavailable is raised before
anything is done, unless the store fails meanwhile: then a submit is taken back, and any other
change may hold all the same.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from callboard_scheduler import names, wire
from callboard_scheduler.clock import Clock, SystemClock
from callboard_scheduler.core import Instant, begin, events, reasons
from callboard_scheduler.engine.driver import Driver
from callboard_scheduler.engine.feeds import Feeds
from callboard_scheduler.engine.incoming import Incoming
from callboard_scheduler.engine.outgoing import Outgoing
from callboard_scheduler.errors import Conflict, NoSuchTask, TooManyResults
from callboard_scheduler.ids import task_id
from callboard_scheduler.records import DEFAULT_NAMESPACE, Schedule, Target, Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import Page, Store, StoredTask, StoreError, TaskFilter
from callboard_scheduler.submission import Submission
from callboard_scheduler.tokens import WorkerGrant
from callboard_scheduler.transports import Sent, Transport
from callboard_scheduler.views import QueueView, WorkerView

logger = logging.getLogger("callboard.scheduler")

#: Waiting tasks that one queue takes.
MAX_BACKLOG: Final = 200_000
#: Who publishes events whose time has come.
_PUBLISHER: Final = "callboard"
_PUBLISHER_SLOTS: Final = 100
#: Finished tasks are kept so long, and those to be deleted looked for so often.
KEEP_MS: Final = 7 * 86_400_000
_PRUNE_SECONDS: Final = 60.0
_PRUNED_AT_ONCE: Final = 1_000
#: Large results that are kept until they are reported; a worker puts again what was dropped.
_VALUES_KEPT: Final = 64


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A task that was taken in, or the live one with its unique key."""

    id: str
    state: State


class Scheduler:
    """Gives an app's tasks to its workers; ``start`` and ``stop`` once each."""

    def __init__(
        self,
        app_id: str,
        store: Store,
        transport: Transport,
        *,
        secret: str,
        clock: Clock | None = None,
        signing_clock: Clock | None = None,
        self_timed: bool = True,
        namespace: str = DEFAULT_NAMESPACE,
        max_backlog: int = MAX_BACKLOG,
        keep_ms: int = KEEP_MS,
        address: str = "",
    ) -> None:
        """``max_backlog`` tasks may wait in a queue; finished ones are kept for ``keep_ms``.

        ``address`` is where large values are fetched and put, if not at that of the service.
        ``signing_clock`` is by which tokens and signed paths expire, if not ``clock``. Who moves
        ``clock`` himself is not ``self_timed``, and calls :meth:`tick` each time.
        """
        self.app_id = app_id
        self.namespace = namespace
        self.secret = secret
        self.transport = transport
        self.clock = clock or SystemClock()
        self._signing_clock = signing_clock or self.clock
        self._self_timed = self_timed
        self._store = store
        self._max_backlog = max_backlog
        self._keep_ms = keep_ms
        self._address = address
        self._pruning: asyncio.Task[None] | None = None
        #: Large results that were put and are not reported yet, the oldest first.
        self._values: dict[tuple[str, int], msgspec.Raw] = {}

    async def start(self) -> None:
        """Go on with what is stored, and listen to workers.

        Raises:
            StoreError: what is stored cannot be read.
        """
        loop = asyncio.get_running_loop()
        loaded = await self._store.load(self.app_id)
        now = Instant(self.clock.mono_ms(), self.clock.wall_ms())
        self.core, turn = begin(
            self.app_id,
            self.transport.profile,
            loaded,
            now,
            max_backlog=self._max_backlog,
        )
        self._outgoing = Outgoing(
            self.core,
            self.transport,
            namespace=self.namespace,
            secret=self.secret,
            address=self._address,
            clock=self._signing_clock,
            call_soon=loop.call_soon,
            internal=self._publish,
        )
        self._feeds = Feeds(
            self.core, self.transport, namespace=self.namespace, find=self.stored_task
        )
        effects = _Effects(self._outgoing, self._feeds)
        self._driver = Driver(
            self.core, self._store, effects, self.clock, self_timed=self._self_timed
        )
        self._incoming = Incoming(
            self._driver,
            self._outgoing,
            self._signing_clock,
            namespace=self.namespace,
            secret=self.secret,
            watching=self._feeds.watching,
            values=self._values,
            hears_late=self.transport.hears_late,
        )
        self._driver.start(turn, lazily=loaded.term == 0)
        self._driver.happen(
            events.Enlist(_PUBLISHER, names.PUBLISH_QUEUE, names.PUBLISH, _PUBLISHER_SLOTS)
        )
        try:
            await self.transport.start(self._incoming)
        except BaseException:
            # Or it would go on with what is due, beside the one that is started next.
            await self._feeds.stop()
            await self._driver.stop()
            raise
        self._pruning = loop.create_task(self._prune())

    async def stop(self) -> None:
        """Give out nothing more; what runs goes on, and is asked for at the next start."""
        if self._pruning is None:
            return
        pruning, self._pruning = self._pruning, None
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)
        await self._feeds.stop()
        await self._driver.stop()
        self._outgoing.flush()
        await self.transport.stop()

    # Time

    def tick(self) -> None:
        """Deal with what is due by now."""
        self._driver.happen(events.Tick())

    def next_ms(self) -> int | None:
        """Return in how many milliseconds something may be due, None when nothing will be."""
        return self.core.timers.next_ms(self._driver.instant())

    # Tasks

    async def submit(self, submissions: Sequence[Submission]) -> list[Submitted]:
        """Take in all of these tasks, or none; returns them in order.

        Raises:
            BacklogFull, Conflict, BadField, StoreUnavailable: none was taken in.
        """
        wall = self.clock.wall_ms()
        new = [
            events.NewTask(task_id(wall), submission.spec, submission.on_conflict)
            for submission in submissions
        ]
        known = await self._states_of(
            {other for submission in submissions for other in submission.spec.after}
        )
        ids = [each.id for each in new]
        answer = await self._driver.ask(lambda ticket: events.Submit(ticket, new, known), ids)
        return [Submitted(*each) for each in answer]

    async def task(self, task_id: str) -> StoredTask | None:
        """Return a task with its attempts as it is now, None if there is none of this id."""
        stored = await self._store.task(self.app_id, task_id)
        live = self.core.tasks.get(task_id)
        if live is None:
            return stored
        return StoredTask(copy.copy(live), stored.attempts if stored is not None else ())

    async def stored_task(self, task_id: str) -> StoredTask | None:
        """Return a task as it is stored."""
        return await self._store.task(self.app_id, task_id)

    async def tasks(self, which: TaskFilter, limit: int, cursor: str | None = None) -> Page:
        """Return up to ``limit`` tasks, newest first.

        Raises:
            BadCursor: ``cursor`` is not from an earlier page.
        """
        page = await self._store.tasks(self.app_id, which, limit, cursor)
        tasks = [copy.copy(self.core.tasks.get(task.id, task)) for task in page.tasks]
        return Page(tasks, page.cursor)

    async def cancel(self, task_id: str) -> Task:
        """End a task; one that runs is told to stop, and has two seconds.

        Raises:
            NoSuchTask, Conflict (it has finished): nothing changed.
            StoreUnavailable: it is not stored.
        """
        return await self._ask_of(task_id, lambda ticket: events.Cancel(ticket, task_id))

    async def update(self, task_id: str, fields: Mapping[str, Any]) -> Task:
        """Replace fields of a task's spec, and tell its worker.

        Raises:
            NoSuchTask, Conflict, BadField: nothing changed.
            StoreUnavailable: it is not stored.
        """
        return await self._ask_of(task_id, lambda ticket: events.Change(ticket, task_id, fields))

    async def move(self, task_id: str, target: Target | None) -> Task:
        """Give a task to another worker, also while it runs; None is whoever is free.

        Raises:
            NoSuchTask, Conflict (it has finished): nothing changed.
            StoreUnavailable: it is not stored.
        """
        return await self._ask_of(task_id, lambda ticket: events.Move(ticket, task_id, target))

    async def requeue(self, task_id: str) -> Task:
        """Begin a finished task anew.

        Raises:
            NoSuchTask, Conflict (it has not finished): nothing changed.
            StoreUnavailable: it is not stored.
        """
        if task_id in self.core.tasks:
            raise Conflict(task_id, "is not finished")
        stored = await self.stored_task(task_id)
        if stored is None:
            raise NoSuchTask(task_id)
        task: Task = await self._driver.ask(lambda ticket: events.Requeue(ticket, stored.task))
        return task

    def why(self, task_id: str) -> list[str] | None:
        """Return why a live task is where it is; None if it is not live."""
        task = self.core.tasks.get(task_id)
        return None if task is None else reasons.why(self.core, task)

    # Schedules

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        """Add a schedule that was checked, or replace the one of its id.

        Raises:
            StoreUnavailable: it is not stored.
        """
        put: Schedule = await self._driver.ask(
            lambda ticket: events.PutSchedule(ticket, copy.copy(schedule))
        )
        return put

    async def drop_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; its tasks stay.

        Raises:
            NoSuchSchedule: nothing changed.
            StoreUnavailable: it is not stored.
        """
        await self._driver.ask(lambda ticket: events.DropSchedule(ticket, schedule_id))

    def schedule(self, schedule_id: str) -> Schedule | None:
        """Return a schedule."""
        schedule = self.core.schedules.get(schedule_id)
        return None if schedule is None else copy.copy(schedule)

    def schedules(self) -> list[Schedule]:
        """Return every schedule, by id."""
        return [copy.copy(schedule) for _, schedule in sorted(self.core.schedules.items())]

    # Workers and queues

    def workers(self) -> list[WorkerView]:
        """Return the workers that are there, by id."""
        hearing = self.core.timers.hearing(self._driver.instant())
        return [
            WorkerView(
                id=worker.id,
                state=worker.state,
                slots=worker.cap,
                free=worker.free,
                queues=worker.queues,
                names=sorted(worker.names) if worker.names is not None else None,
                labels=worker.labels,
                pool=worker.pool,
                sdk=worker.sdk,
                host=worker.host,
                tasks=list(worker.held),
                joined_at=worker.joined_at,
                silent_ms=max(0, hearing - worker.last_heard),
            )
            for _, worker in sorted(self.core.workers.items())
            if not worker.internal
        ]

    def queues(self) -> list[QueueView]:
        """Return the queues that have tasks or workers, or are paused, by name."""
        core = self.core
        serving: dict[str, list[Any]] = {name: [] for name in core.queues}
        for worker in core.workers.values():
            for name in worker.queues:
                serving.setdefault(name, []).append(worker)
        views = []
        for name, workers in sorted(serving.items()):
            if name == names.PUBLISH_QUEUE:
                continue
            queue = core.queues.get(name)
            views.append(
                QueueView(
                    name=name,
                    paused=queue is not None and queue.paused,
                    counts=dict(queue.counts) if queue is not None else {},
                    workers=len(workers),
                    free=sum(worker.free for worker in workers if worker.connected),
                )
            )
        return views

    async def pause(self, queue: str, paused: bool) -> None:
        """Give out no tasks of a queue, or do so again.

        Raises:
            StoreUnavailable: it is not stored.
        """
        await self._driver.ask(lambda ticket: events.Pause(ticket, queue, paused))

    def granted(self, worker_id: str, socket_id: str, grant: WorkerGrant) -> None:
        """Hold a connection to what its token allows: a worker's channel is opened with it."""
        self._incoming.granted(worker_id, socket_id, grant)

    # Blobs

    def current_args(self, task_id: str, fence: int) -> msgspec.Raw | None:
        """Return the arguments of an assignment that is current, None for any other."""
        task = self.core.tasks.get(task_id)
        return task.spec.args if task is not None and task.fence == fence else None

    def put_result(self, task_id: str, fence: int, value: msgspec.Raw) -> bool:
        """Keep a large result until its assignment reports it; False if that is not current.

        Raises:
            TooManyResults: it may be put again in a moment.
        """
        if not self._is_current(task_id, fence):
            return False
        if len(self._values) >= _VALUES_KEPT and (task_id, fence) not in self._values:
            for other in [each for each in self._values if not self._is_current(*each)]:
                del self._values[other]
            # None that may still be reported is given up: its worker would not put it again.
            if len(self._values) >= _VALUES_KEPT:
                raise TooManyResults(_VALUES_KEPT)
        self._values[(task_id, fence)] = value
        return True

    def _is_current(self, task_id: str, fence: int) -> bool:
        assignment = self.core.assignments.get(task_id)
        return assignment is not None and assignment.fence == fence

    # Inside

    async def _ask_of(self, task_id: str, make: Any) -> Task:
        """Ask something of a live task; one that is not live is looked up, to say why not."""
        if task_id not in self.core.tasks and task_id not in self.core.finished:
            stored = await self.stored_task(task_id)
            if stored is None:
                raise NoSuchTask(task_id)
            if task_id not in self.core.tasks:
                raise Conflict(task_id, f"has finished ({stored.task.state.value})")
        task: Task = await self._driver.ask(make)
        return task

    async def _states_of(self, task_ids: set[str]) -> Mapping[str, State]:
        unknown = [
            each
            for each in task_ids
            if each not in self.core.tasks and each not in self.core.finished
        ]
        return await self._store.states(self.app_id, unknown) if unknown else {}

    def _publish(self, message: wire.DownMessage) -> None:
        """Run a task of the scheduler's own: publish the event that it is about."""
        if not isinstance(message, wire.Assign) or self._driver.stopped:
            return
        body = msgspec.json.decode(message.args or b"{}")
        sent = self.transport.publish(body)
        error = None
        if sent is Sent.REFUSED:
            error = wire.ResultError("Refused", "the service did not take the event")
        result = wire.Result(message.id, message.f, ok=error is None, err=error)
        self._driver.happen(events.Heard(_PUBLISHER, _PUBLISHER, result))

    async def _prune(self) -> None:
        """Delete finished tasks that were kept long enough."""
        while True:
            await asyncio.sleep(_PRUNE_SECONDS)
            before = self.clock.wall_ms() - self._keep_ms
            pruned = _PRUNED_AT_ONCE
            try:
                while pruned == _PRUNED_AT_ONCE:
                    pruned = await self._store.prune(self.app_id, before, _PRUNED_AT_ONCE)
            except StoreError as error:
                logger.warning("finished tasks were not deleted app=%s: %s", self.app_id, error)


class _Effects:
    """Where the driver's actions go."""

    def __init__(self, outgoing: Outgoing, feeds: Feeds) -> None:
        self.tell = outgoing.tell
        self.cut_off = outgoing.cut_off
        self.announce = feeds.announce
