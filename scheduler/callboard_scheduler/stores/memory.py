"""The store that survives nothing: plain dictionaries, and the reference for any other."""

from __future__ import annotations

import asyncio
import copy
import heapq
from collections.abc import Collection, Mapping, Sequence

import msgspec

from callboard_scheduler.records import Attempt, Schedule, Task
from callboard_scheduler.states import LIVE, TERMINAL, State
from callboard_scheduler.stores import (
    AttemptSaved,
    Change,
    Committed,
    Loaded,
    Page,
    QueuePaused,
    ScheduleDropped,
    ScheduleSaved,
    StoredTask,
    TaskFilter,
    TaskSaved,
    TermTaken,
    pages,
)
from callboard_scheduler.stores.coalescing import merged


class App(msgspec.Struct):
    """What is kept of an app; records in it are replaced and never changed."""

    term: int = 0
    tasks: dict[str, Task] = {}
    #: By task and fence.
    attempts: dict[str, dict[int, Attempt]] = {}
    schedules: dict[str, Schedule] = {}
    paused: set[str] = set()


class Image:
    """What is stored at a moment, of every app. Calls are those of a store, and never wait."""

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}

    def copy(self) -> Image:
        """Return an image that goes its own way from here."""
        image = Image()
        for name, app in self._apps.items():
            attempts = {task: dict(by_fence) for task, by_fence in app.attempts.items()}
            image._apps[name] = App(
                app.term, dict(app.tasks), attempts, dict(app.schedules), set(app.paused)
            )
        return image

    def apply(self, changes: Sequence[Change]) -> None:
        """Apply the changes of one write."""
        for change in changes:
            if not isinstance(change, AttemptSaved):
                self._apply(change)
        # Last, because they may be those of tasks that come behind them.
        for change in changes:
            if isinstance(change, AttemptSaved):
                app, attempt = self._app(change.app), change.attempt
                if attempt.task in app.tasks:
                    app.attempts.setdefault(attempt.task, {})[attempt.fence] = attempt

    def _apply(self, change: Change) -> None:
        app = self._app(change.app)
        if isinstance(change, TaskSaved):
            task, stored = change.task, app.tasks.get(change.task.id)
            if change.whole:
                app.tasks[task.id] = task
            elif stored is not None:
                app.tasks[task.id] = merged(task, stored)
        elif isinstance(change, ScheduleSaved):
            app.schedules[change.schedule.id] = change.schedule
        elif isinstance(change, ScheduleDropped):
            app.schedules.pop(change.id, None)
        elif isinstance(change, QueuePaused):
            (app.paused.add if change.paused else app.paused.discard)(change.queue)
        elif isinstance(change, TermTaken):
            app.term = change.term

    def load(self, name: str) -> Loaded:
        app = self._app(name)
        live = [task for task in app.tasks.values() if task.state in LIVE]
        return Loaded(
            term=app.term,
            seq=max((task.seq for task in app.tasks.values()), default=0),
            tasks=[copy.copy(task) for task in sorted(live, key=_seq)],
            schedules=[copy.copy(schedule) for schedule in app.schedules.values()],
            paused_queues=set(app.paused),
            attempts=[
                copy.copy(attempt)
                for task in live
                for attempt in app.attempts.get(task.id, {}).values()
                if attempt.ended_at is None
            ],
        )

    def task(self, app: str, task_id: str) -> StoredTask | None:
        task = self._app(app).tasks.get(task_id)
        if task is None:
            return None
        attempts = self._app(app).attempts.get(task_id, {})
        return StoredTask(
            copy.copy(task), [copy.copy(attempts[fence]) for fence in sorted(attempts)]
        )

    def states(self, app: str, task_ids: Collection[str]) -> Mapping[str, State]:
        tasks = self._app(app).tasks
        return {task_id: tasks[task_id].state for task_id in task_ids if task_id in tasks}

    def tasks(self, app: str, which: TaskFilter, limit: int, cursor: str | None) -> Page:
        below = pages.below(cursor)
        found = (
            task
            for task in self._app(app).tasks.values()
            if task.seq < below and _fits(task, which)
        )
        newest = heapq.nlargest(limit + 1, found, key=_seq)
        return pages.page_of([copy.copy(task) for task in newest], limit)

    def prune(self, app: str, finished_before: int, limit: int) -> int:
        kept = self._app(app)
        finished = [
            (task.finished_at, task.seq, task.id)
            for task in kept.tasks.values()
            if task.state in TERMINAL
            and task.finished_at is not None
            and task.finished_at < finished_before
        ]
        oldest = heapq.nsmallest(limit, finished)
        for _, _, task_id in oldest:
            del kept.tasks[task_id]
            kept.attempts.pop(task_id, None)
        return len(oldest)

    def _app(self, name: str) -> App:
        return self._apps.setdefault(name, App())


class MemoryStore:
    """Implements :class:`~callboard_scheduler.stores.Store`; what is written is stored at once."""

    def __init__(self) -> None:
        self._image = Image()

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close: whoever starts it again finds what was written."""

    def write(self, changes: Sequence[Change], committed: Committed | None = None) -> None:
        self._image.apply(changes)
        if committed is not None:
            asyncio.get_running_loop().call_soon(committed, None)

    async def load(self, app: str) -> Loaded:
        return self._image.load(app)

    async def task(self, app: str, task_id: str) -> StoredTask | None:
        return self._image.task(app, task_id)

    async def states(self, app: str, task_ids: Collection[str]) -> Mapping[str, State]:
        return self._image.states(app, task_ids)

    async def tasks(
        self, app: str, which: TaskFilter, limit: int, cursor: str | None = None
    ) -> Page:
        return self._image.tasks(app, which, limit, cursor)

    async def prune(self, app: str, finished_before: int, limit: int) -> int:
        return self._image.prune(app, finished_before, limit)


def _seq(task: Task) -> int:
    return task.seq


def _fits(task: Task, which: TaskFilter) -> bool:
    return (
        (which.states is None or task.state in which.states)
        and (which.queue is None or task.spec.queue == which.queue)
        and (which.name is None or task.spec.name == which.name)
        and (which.schedule is None or task.spec.schedule == which.schedule)
    )
