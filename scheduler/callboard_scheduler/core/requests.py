"""What people ask for: submit, cancel, change, move, requeue, pause.

A request that cannot be granted changes nothing and is answered with the error to raise; one that
is granted is answered once its changes survive a power cut.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import msgspec

from callboard_scheduler import wire
from callboard_scheduler.core import ending
from callboard_scheduler.core.assigning import stand
from callboard_scheduler.core.events import (
    Cancel,
    Change,
    DrainWorker,
    Move,
    NewTask,
    Pause,
    Requeue,
    Revoked,
    Submit,
)
from callboard_scheduler.core.hearing import update_message
from callboard_scheduler.core.model import Core
from callboard_scheduler.core.timers import Due
from callboard_scheduler.core.workers import Assignment
from callboard_scheduler.errors import (
    BacklogFull,
    BadField,
    Conflict,
    NoSuchTask,
    SchedulerError,
)
from callboard_scheduler.records import OnConflict, Spec, StopReason, Task
from callboard_scheduler.states import BAD, HELD, State, Trigger
from callboard_scheduler.stores import QueuePaused

#: What a submit is answered with: id and state of each task, in order.
Submitted = tuple[str, State]


def submit(core: Core, event: Submit) -> None:
    """Take in all of the tasks, or none."""
    try:
        _check_backlog(core, event.tasks)
        for place, new in enumerate(event.tasks):
            _check(core, new, event.known, place if len(event.tasks) > 1 else None)
    except SchedulerError as error:
        core.answer(event.ticket, error)
        return
    submitted = [take_in(core, new, event.known) for new in event.tasks]
    core.answer(event.ticket, submitted, after_commit=True)


def _check_backlog(core: Core, tasks: Any) -> None:
    added: dict[str, int] = {}
    for new in tasks:
        added[new.spec.queue] = added.get(new.spec.queue, 0) + 1
    for name, count in added.items():
        queue = core.queues.get(name)
        if (queue.waiting if queue else 0) + count > core.max_backlog:
            raise BacklogFull(core.max_backlog)


def _check(core: Core, new: NewTask, known: Mapping[str, State], place: int | None) -> None:
    spec = new.spec
    if new.on_conflict is OnConflict.ERROR and spec.unique_key is not None:
        existing = core.unique.get(spec.unique_key)
        if existing is not None:
            raise Conflict(existing, f"has the unique_key {spec.unique_key!r} already")
    for other in spec.after:
        if other in core.tasks:
            continue
        state = core.finished.get(other) or known.get(other)
        if state is None:
            field = "after" if place is None else f"batch[{place}].after"
            raise BadField(field, f"expected ids of tasks, but there is no task {other!r}")
        if state in BAD:
            raise Conflict(other, f"is {state.value}, so nothing can run after it")


def take_in(core: Core, new: NewTask, known: Mapping[str, State]) -> Submitted:
    """Take in one task, or do what it says about the live one with its unique key."""
    spec = new.spec
    existing_id = core.unique.get(spec.unique_key) if spec.unique_key is not None else None
    if existing_id is not None and existing_id in core.tasks:
        existing = core.tasks[existing_id]
        if new.on_conflict is OnConflict.KEEP:
            return existing.id, existing.state
        if existing.state not in HELD:
            _respecify(core, existing, spec, timed=True)
            return existing.id, existing.state
        del core.unique[spec.unique_key or ""]
        if existing.state is not State.STOPPING:
            ending.stop(core, core.assignments[existing.id], StopReason.CANCELLED)
    core.seq += 1
    task = Task(new.id, spec, State.READY, core.seq, core.now.wall, run_at=spec.run_at or 0)
    blockers = {other for other in spec.after if other in core.tasks}
    admit(core, task, blockers)
    return task.id, task.state


def admit(core: Core, task: Task, blockers: set[str]) -> None:
    """Let a new task begin its life, blocked by others or not."""
    if blockers:
        task.state = State.BLOCKED
        core.block(task.id, blockers)
    elif task.run_at > core.now.wall:
        task.state = State.SCHEDULED
    core.adopt(task)
    core.save(task, whole=True)
    if task.state is State.SCHEDULED:
        core.timers.at(task.run_at, Due.RUN_AT, task.id)
    elif task.state is State.READY:
        core.enqueue(task)
    if task.spec.start_by is not None:
        core.timers.at(task.spec.start_by, Due.START_BY, task.id)
    core.announce_state(task)


def revoked(core: Core, event: Revoked) -> None:
    """Forget tasks whose submit was refused, as it could not be stored."""
    for task_id in event.tasks:
        task = core.tasks.get(task_id)
        if task is None:
            continue
        assignment = core.assignments.get(task_id)
        if assignment is not None:
            worker = core.workers.get(assignment.worker)
            ending.take(core, assignment, ghost=True)
            if worker is not None:
                why = StopReason.CANCELLED.value
                core.tell(worker, wire.Revoke(task_id, assignment.fence, why, ending.STOP_MS))
        if task.state in HELD:
            task.state = State.STOPPING
            core.move(task, Trigger.STOPPED, State.CANCELLED)
        else:
            core.move(task, Trigger.CANCEL, State.CANCELLED)


def cancel(core: Core, event: Cancel) -> None:
    """End a task: at once if nobody has it, else as soon as its worker has stopped."""
    task = core.tasks.get(event.task)
    if task is None:
        core.answer(event.ticket, _gone(core, event.task))
        return
    if task.state not in HELD:
        core.move(task, Trigger.CANCEL, State.CANCELLED)
        core.announce_state(task, after_commit=True)
    elif task.state is not State.STOPPING or task.stop_reason is not StopReason.CANCELLED:
        ending.stop(core, core.assignments[task.id], StopReason.CANCELLED)
    core.answer(event.ticket, copy.copy(task), after_commit=True)


def change(core: Core, event: Change) -> None:
    """Replace fields of a task's spec, and let whoever holds it know."""
    task = core.tasks.get(event.task)
    if task is None:
        core.answer(event.ticket, _gone(core, event.task))
        return
    key = event.fields.get("unique_key")
    holder = core.unique.get(key) if key is not None else None
    if holder is not None and holder != task.id:
        core.answer(event.ticket, Conflict(holder, f"has the unique_key {key!r} already"))
        return
    for other in event.fields.get("after", ()):
        if other not in core.tasks and core.finished.get(other) is not State.SUCCEEDED:
            error = BadField("after", f"expected ids of tasks not finished; {other!r} is not one")
            core.answer(event.ticket, error)
            return
    spec = msgspec.structs.replace(task.spec, **event.fields)
    timed = "run_at" in event.fields
    assignment = core.assignments.get(task.id)
    if assignment is None:
        _respecify(core, task, spec, timed=timed)
    else:
        _respecify_held(core, task, spec, assignment, timed=timed)
    core.answer(event.ticket, copy.copy(task), after_commit=True)


def _respecify(core: Core, task: Task, spec: Spec, *, timed: bool) -> None:
    """Let a waiting task wait anew, by another spec; ``timed`` if for another time."""
    core.respecify(task, spec)
    if timed:
        task.run_at = spec.run_at or 0
    core.unblock(task.id)
    blockers = {other for other in spec.after if other in core.tasks} - {task.id}
    if blockers:
        core.move(task, Trigger.UPDATE, State.BLOCKED)
        core.block(task.id, blockers)
    else:
        core.place(task, Trigger.UPDATE)
    if spec.start_by is not None:
        core.timers.at(spec.start_by, Due.START_BY, task.id)
    core.save(task, whole=True)
    core.announce_state(task, after_commit=True)


def _respecify_held(
    core: Core, task: Task, spec: Spec, assignment: Assignment, *, timed: bool
) -> None:
    """Change a task in a worker's hands; it is taken from one that may not have it any more."""
    core.respecify(task, spec)
    core.save(task, whole=True)
    later = timed and (spec.run_at or 0) > core.now.wall
    if timed:
        task.run_at = spec.run_at or 0
    worker = core.workers.get(assignment.worker)
    fits = worker is not None and spec.queue in worker.queues and worker.fits(spec)
    if task.state is State.STOPPING:
        return
    if later or not fits:
        ending.stop(core, assignment, StopReason.MOVED)
    elif worker is not None:
        assignment.rev_sent = task.rev
        core.tell(worker, update_message(core, task, assignment), after_commit=True)
        if spec.timeout_ms is not None and assignment.heard:
            due = assignment.heard_at + spec.timeout_ms
            core.timers.after(due, Due.TIMEOUT, task.id, assignment.fence)
    core.announce_state(task, after_commit=True)


def move(core: Core, event: Move) -> None:
    """Give a task another target; a worker that is not it stops."""
    task = core.tasks.get(event.task)
    if task is None:
        core.answer(event.ticket, _gone(core, event.task))
        return
    spec = msgspec.structs.replace(task.spec, target=event.target)
    assignment = core.assignments.get(task.id)
    if assignment is None:
        _respecify(core, task, spec, timed=False)
    else:
        _respecify_held(core, task, spec, assignment, timed=False)
    core.answer(event.ticket, copy.copy(task), after_commit=True)


def requeue(core: Core, event: Requeue) -> None:
    """Begin a finished task anew, with its tries and losses forgotten."""
    if event.stored.id in core.tasks:
        core.answer(event.ticket, Conflict(event.stored.id, "is not finished"))
        return
    task = event.stored
    key = task.spec.unique_key
    if key is not None and key in core.unique:
        core.answer(event.ticket, Conflict(core.unique[key], f"has the unique_key {key!r} now"))
        return
    task.gen += 1
    task.failures = task.losses = task.run_at = 0
    task.worker = task.error = task.result = task.progress = task.finished_at = None
    task.started_at = task.stop_reason = None
    core.finished.pop(task.id, None)
    core.adopt(task)
    core.place(task, Trigger.REQUEUE)
    core.save(task, whole=True)
    core.announce_state(task, after_commit=True)
    core.answer(event.ticket, copy.copy(task), after_commit=True)


def pause(core: Core, event: Pause) -> None:
    """Give out no more tasks of a queue, or do so again."""
    queue = core.queue(event.queue)
    queue.paused = event.paused
    core.change(QueuePaused(core.app, event.queue, event.paused))
    if not event.paused:
        for worker in (*queue.idle.values(), *queue.busy.values()):
            core.freed[worker.id] = None
    core.tidy(queue)
    core.answer(event.ticket, event.paused, after_commit=True)


def drain_worker(core: Core, event: DrainWorker) -> None:
    """Ask a worker to finish what it has and to leave."""
    worker = core.workers.get(event.worker)
    if worker is not None:
        worker.draining = True
        stand(core, worker)
        core.tell(worker, wire.Drain(event.within_ms))
    core.answer(event.ticket, worker is not None)


def _gone(core: Core, task_id: str) -> SchedulerError:
    state = core.finished.get(task_id)
    if state is None:
        return NoSuchTask(task_id)
    return Conflict(task_id, f"has finished ({state.value})")
