"""What can happen to the core; each event is one call of :func:`~callboard_scheduler.core.step`.

Events with a ``ticket`` are requests: exactly one :class:`~callboard_scheduler.core.actions.Answer`
with the same ticket follows in the same step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from callboard_scheduler.records import OnConflict, Schedule, Spec, Target, Task
from callboard_scheduler.states import State
from callboard_scheduler.wire import UpMessage


class Event(msgspec.Struct, gc=False):
    """Something that happened."""


# Workers


class Heard(Event):
    """A worker sent a message on its own channel; ``boot`` is its process."""

    worker: str
    boot: str
    message: UpMessage


class Left(Event):
    """The connection of a worker's process has gone from its channel.

    ``lost`` when it was cut off, as by the end of the process.
    """

    worker: str
    boot: str
    lost: bool = True


class Enlist(Event):
    """The scheduler itself runs the tasks of this name in this queue, under a worker's id."""

    worker: str
    queue: str
    name: str
    slots: int


class Deaf(Event):
    """No worker can be heard since then (of the monotonic clock): leases stand still."""

    since: int


class Hearing(Event):
    """Workers can be heard again."""


class Tick(Event):
    """Time has passed: something may be due."""


# Requests


class NewTask(msgspec.Struct, frozen=True, gc=False):
    """A task to be submitted under an id that nobody else has."""

    id: str
    spec: Spec
    on_conflict: OnConflict = OnConflict.KEEP


class Submit(Event):
    """Take all of these tasks, or none.

    ``known`` has the states of tasks named in ``after`` that are not live any more.
    """

    ticket: int
    tasks: Sequence[NewTask]
    known: Mapping[str, State] = {}


class Cancel(Event):
    """End a task that is not finished."""

    ticket: int
    task: str


class Change(Event):
    """Replace fields of a task's spec; ``fields`` are those of Spec by name."""

    ticket: int
    task: str
    fields: Mapping[str, Any]


class Move(Event):
    """Give a task another target, also while it runs."""

    ticket: int
    task: str
    target: Target | None


class Requeue(Event):
    """Begin a finished task anew; ``stored`` is its record."""

    ticket: int
    stored: Task


class PutSchedule(Event):
    """Add a schedule or replace the one of this id; ``schedule`` was checked."""

    ticket: int
    schedule: Schedule


class DropSchedule(Event):
    """Remove a schedule; its tasks stay."""

    ticket: int
    id: str


class Pause(Event):
    """Give out no more tasks of a queue, or do so again."""

    ticket: int
    queue: str
    paused: bool


class DrainWorker(Event):
    """Ask a worker to finish and leave."""

    ticket: int
    worker: str
    within_ms: int


class Suspend(Event):
    """Give out nothing new, or do so again: the store does not take what is decided."""

    suspended: bool


class Revoked(Event):
    """What these submits said is not stored, and was refused: forget it."""

    tasks: Sequence[str]
