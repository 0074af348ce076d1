"""How the core goes on after a restart, with what the store has.

What nobody holds runs at once. What somebody held keeps its fence for one lease: the worker may
still be at it, and say so. Whoever says hello and does not claim it gives it up at once.
"""

from __future__ import annotations

from callboard_scheduler.core import scheduling
from callboard_scheduler.core.ending import STOP_MS, watch_lease
from callboard_scheduler.core.model import Core
from callboard_scheduler.core.timers import Due
from callboard_scheduler.core.workers import Assignment, Worker
from callboard_scheduler.records import Attempt, Overlap, StopReason, Task
from callboard_scheduler.states import HELD, State, Trigger
from callboard_scheduler.stores import Loaded


def restore(core: Core, loaded: Loaded) -> None:
    """Take in everything that is not finished."""
    core.seq = loaded.seq
    for name in loaded.paused_queues:
        core.queue(name).paused = True
    for schedule in loaded.schedules:
        scheduling.restore(core, schedule)
    attempts = {(attempt.task, attempt.fence): attempt for attempt in loaded.attempts}
    blocked = []
    for task in loaded.tasks:
        core.adopt(task)
        if task.state in HELD:
            attempt = attempts.get((task.id, task.fence))
            _restore_held(core, task, attempt)
        elif task.state is State.BLOCKED:
            blocked.append(task)
        elif task.state is State.SCHEDULED:
            core.timers.at(task.run_at, Due.RUN_AT, task.id)
        else:
            core.enqueue(task)
        if task.spec.start_by is not None:
            core.timers.at(task.spec.start_by, Due.START_BY, task.id)
    free = [task for task in blocked if not _restore_blockers(core, task)]
    # Only now, for with one that expires here all that wait for it have to end.
    for task in free:
        core.place(task, Trigger.DEPENDENCIES_MET)
        core.announce_state(task)


def _restore_held(core: Core, task: Task, attempt: Attempt | None) -> None:
    worker_id = task.worker or ""
    if attempt is None:
        attempt = Attempt(task.id, task.fence, task.attempt, worker_id, core.now.wall)
    assignment = Assignment(task.id, task.fence, worker_id, attempt, task.rev)
    assignment.recovering = True
    assignment.heard = task.state is not State.ASSIGNED
    assignment.heard_at = core.hearing
    # An update may have been stored and not been sent any more.
    assignment.rev_seen = 1
    core.assignments[task.id] = assignment
    worker = core.workers.get(worker_id)
    if worker is None:
        worker = core.workers[worker_id] = Worker(worker_id, "")
        worker.connected = False
        worker.last_heard = core.hearing
        worker.joined_at = core.now.wall
    worker.held[task.id] = assignment
    watch_lease(core, assignment, core.hearing + core.profile.lease_ms)
    if task.state is State.STOPPING:
        task.stop_reason = task.stop_reason or StopReason.CANCELLED
        assignment.stop_due = core.hearing + STOP_MS
        core.timers.after(assignment.stop_due, Due.STOP, task.id, task.fence)
    elif task.spec.timeout_ms is not None:
        due = core.hearing + task.spec.timeout_ms
        core.timers.after(due, Due.TIMEOUT, task.id, task.fence)


def _restore_blockers(core: Core, task: Task) -> bool:
    """Find again what a task waits for; whether there is anything left of it.

    A task named in ``after`` that ended badly would have taken this one along in the same
    commit. What a schedule lets wait for an earlier tick waits for whatever is left of those.
    """
    blockers = {other for other in task.spec.after if other in core.tasks}
    schedule = task.spec.schedule
    if schedule is not None and _queues(core, schedule):
        ticks = core.ticks[schedule].values()
        blockers.update(other.id for other in ticks if other.seq < task.seq)
    if blockers:
        core.block(task.id, blockers)
    return bool(blockers)


def _queues(core: Core, schedule_id: str) -> bool:
    schedule = core.schedules.get(schedule_id)
    return schedule is None or schedule.overlap is Overlap.QUEUE
