"""What time brings: every timer that is due, before anything else in a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from callboard_scheduler.core import attendance, ending, scheduling
from callboard_scheduler.core.assigning import stand
from callboard_scheduler.core.model import Core
from callboard_scheduler.core.timers import Due, Timer
from callboard_scheduler.core.workers import Assignment
from callboard_scheduler.records import StopReason
from callboard_scheduler.states import WAITING, State, Trigger

_OF_WORKERS: Final = frozenset({Due.GRACE, Due.SILENCE, Due.HOLD})


def advance(core: Core) -> None:
    """Deal with everything that is due by the step's moment."""
    while (timer := core.timers.pop(core.now)) is not None:
        _, what, key, which = timer
        _DUE[what](core, key, which)
    if core.timers.outgrown:
        core.timers.sweep(lambda timer: _matters(core, timer))


def _matters(core: Core, timer: Timer) -> bool:
    """Whether what a timer is about is still there, and still due then."""
    due, what, key, which = timer
    if what in _OF_WORKERS:
        worker = core.workers.get(key)
        return worker is not None and worker.session == which
    if what is Due.SCHEDULE:
        schedule = core.schedules.get(key)
        return schedule is not None and schedule.rev == which
    task = core.tasks.get(key)
    if task is None:
        return False
    if what is Due.RUN_AT:
        return task.state is State.SCHEDULED and task.run_at == due
    if what is Due.START_BY:
        return task.state in WAITING and task.spec.start_by == due
    return _current(core, key, which) is not None


def _current(core: Core, task_id: str, fence: int) -> Assignment | None:
    assignment = core.assignments.get(task_id)
    return assignment if assignment is not None and assignment.fence == fence else None


def _accept(core: Core, task_id: str, fence: int) -> None:
    if (assignment := _current(core, task_id, fence)) is not None:
        attendance.unanswered(core, assignment)


def _lease(core: Core, task_id: str, fence: int) -> None:
    if (assignment := _current(core, task_id, fence)) is not None:
        ending.lease_over(core, assignment)


def _stop(core: Core, task_id: str, fence: int) -> None:
    assignment = _current(core, task_id, fence)
    if (
        assignment is not None
        and core.tasks[task_id].state is State.STOPPING
        and assignment.stop_due is not None
        and assignment.stop_due <= core.hearing
    ):
        ending.stopped(core, assignment, ghost=True)


def _timeout(core: Core, task_id: str, fence: int) -> None:
    assignment = _current(core, task_id, fence)
    task = core.tasks.get(task_id)
    if assignment is None or task is None or task.state is not State.RUNNING:
        return
    timeout_ms = task.spec.timeout_ms
    if timeout_ms is not None and core.hearing - assignment.heard_at >= timeout_ms:
        ending.stop(core, assignment, StopReason.TIMEOUT)


def _hold(core: Core, worker_id: str, session: int) -> None:
    worker = core.workers.get(worker_id)
    if worker is not None and worker.session == session:
        stand(core, worker)


def _run_at(core: Core, task_id: str, _: int) -> None:
    task = core.tasks.get(task_id)
    if task is not None and task.state is State.SCHEDULED and task.run_at <= core.now.wall:
        core.move(task, Trigger.DUE, State.READY)
        core.enqueue(task)
        core.announce_state(task)


def _start_by(core: Core, task_id: str, _: int) -> None:
    task = core.tasks.get(task_id)
    if task is None or task.state not in WAITING or task.spec.start_by is None:
        return
    if task.spec.start_by <= core.now.wall:
        core.move(task, Trigger.EXPIRE, State.EXPIRED)
        core.announce_state(task)


_DUE: Final[Mapping[Due, Callable[[Core, str, int], None]]] = {
    Due.ACCEPT: _accept,
    Due.LEASE: _lease,
    Due.STOP: _stop,
    Due.TIMEOUT: _timeout,
    Due.GRACE: attendance.grace_over,
    Due.SILENCE: attendance.silence,
    Due.HOLD: _hold,
    Due.RUN_AT: _run_at,
    Due.START_BY: _start_by,
    Due.SCHEDULE: scheduling.look,
}
