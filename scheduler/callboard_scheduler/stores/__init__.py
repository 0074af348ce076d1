"""Where tasks and schedules survive: the contract, and its memory and SQLite implementations.

Only the scheduler touches a store, so there is nothing to claim and nothing to lock. Rules for
every implementation:

1. Changes are applied in the order of :meth:`Store.write`, across all apps; what one call brings
   is applied as a whole or not at all.
2. ``committed(None)`` is called on the loop once the changes survive a power cut, in the order of
   the calls. Whoever passes no ``committed`` does not wait: such changes may be lost with the
   process, but never without those that were written after them. If the store fails they are
   kept, and tried again with the next write; what is waited for is refused, and forgotten.
3. Reads see every change that was written before them; they raise StoreError if they cannot.
4. Nothing is created before the first write: a store of somebody who never submits has no file.

``tests/conformance/store.py`` holds every implementation to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from callboard_scheduler.records import Attempt, Schedule, Task
from callboard_scheduler.states import State


class StoreError(Exception):
    """The store cannot be used; the text says why and what to do."""


class StoreHeld(StoreError):
    """Another process has the store; the text says which."""


class UnfitChange(StoreError):
    """A value of these changes cannot be stored, now or later; the others' can."""


class TermTaken(msgspec.Struct, frozen=True):
    """A scheduler has begun: no earlier one of this app may be believed any more."""

    app: str
    term: int


class TaskSaved(msgspec.Struct, frozen=True, gc=False):
    """The task is as this copy says.

    ``whole`` when the spec, the result or the checkpoint may differ from what is stored, and the
    first time. Else those, ``seq`` and ``created_at`` stay as stored, and without a stored task
    nothing happens.
    """

    app: str
    task: Task
    whole: bool


class AttemptSaved(msgspec.Struct, frozen=True, gc=False):
    """The attempt with this task and fence is as this copy says.

    Nothing happens if its task is neither stored nor saved by the same write.
    """

    app: str
    attempt: Attempt


class ScheduleSaved(msgspec.Struct, frozen=True):
    """The schedule is as this copy says."""

    app: str
    schedule: Schedule


class ScheduleDropped(msgspec.Struct, frozen=True):
    """The schedule is no more; its tasks stay."""

    app: str
    id: str


class QueuePaused(msgspec.Struct, frozen=True):
    """The queue gives out no tasks, or does again."""

    app: str
    queue: str
    paused: bool


Change = TermTaken | TaskSaved | AttemptSaved | ScheduleSaved | ScheduleDropped | QueuePaused

#: Called on the loop with None, or with why nothing of the changes is stored.
Committed = Callable[[StoreError | None], None]


class Loaded(msgspec.Struct):
    """What a scheduler needs to go on: everything of an app that is not finished."""

    #: The last term taken, 0 for none.
    term: int
    #: The highest ``seq`` of any task, 0 for none.
    seq: int
    #: Live tasks by ``seq``.
    tasks: Sequence[Task]
    schedules: Sequence[Schedule]
    paused_queues: Collection[str]
    #: The attempts of the live tasks that have no end yet.
    attempts: Sequence[Attempt]


class StoredTask(msgspec.Struct):
    """A task with all its attempts, oldest first."""

    task: Task
    attempts: Sequence[Attempt]


class TaskFilter(msgspec.Struct, frozen=True):
    """Which tasks are listed: all that have every given property."""

    states: Collection[State] | None = None
    queue: str | None = None
    name: str | None = None
    schedule: str | None = None


class Page(msgspec.Struct):
    """Tasks, newest first; ``cursor`` gets the page behind it, None at the end."""

    tasks: Sequence[Task]
    cursor: str | None


class BadCursor(ValueError):
    """A cursor that no page of this store has given."""


class Store(Protocol):
    """Keeps an app's tasks, attempts, schedules and paused queues."""

    async def start(self) -> None:
        """Open what is there, and take it for this process alone.

        Raises:
            StoreHeld: another living process has it.
            StoreError: it cannot be read or made, or was written by a newer version.
        """

    async def stop(self) -> None:
        """Write what waits and close. Safe to call twice or unstarted."""

    def write(self, changes: Sequence[Change], committed: Committed | None = None) -> None:
        """Apply changes; never waits and never raises."""

    async def load(self, app: str) -> Loaded:
        """Return what is not finished of an app."""

    async def task(self, app: str, task_id: str) -> StoredTask | None:
        """Return a task, finished or not, None if there is none of this id."""

    async def states(self, app: str, task_ids: Collection[str]) -> Mapping[str, State]:
        """Return the states of those of the tasks that exist."""

    async def tasks(
        self, app: str, which: TaskFilter, limit: int, cursor: str | None = None
    ) -> Page:
        """Return up to ``limit`` tasks, newest first.

        Raises:
            BadCursor: not from a page of this store.
        """

    async def prune(self, app: str, finished_before: int, limit: int) -> int:
        """Delete up to ``limit`` tasks that finished before that time, the oldest first.

        Their attempts go with them. Returns how many tasks there were.
        """
