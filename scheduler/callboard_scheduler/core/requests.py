"""What people ask for: submit, cancel, change, move, requeue, pause.

A request that cannot be granted changes nothing and is answered with the error to raise; one that
is granted is answered once its changes survive a power cut.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
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
        keys: dict[str, str] = {}
        for place, new in enumerate(event.tasks):
            path = f"batch[{place}]." if len(event.tasks) > 1 else ""
            _check_key(core, new, keys)
            _check_after(core, new, event.known, path)
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


def _check_key(core: Core, new: NewTask, keys: dict[str, str]) -> None:
    """Refuse a unique key that is taken; ``keys`` are those of the tasks before it in the batch."""
    key = new.spec.unique_key
    if key is None:
        return
    holder = core.unique.get(key) or keys.get(key)
    if holder is None:
        keys[key] = new.id
    elif new.on_conflict is OnConflict.ERROR:
        raise Conflict(holder, f"has the unique_key {key!r} already")


def _check_after(core: Core, new: NewTask, known: Mapping[str, State], path: str) -> None:
    spec = new.spec
    for other in spec.after:
        if other in core.tasks:
            continue
        ended = core.finished.get(other)
        state = ended.state if ended is not None else known.get(other)
        if state is None:
            raise BadField(f"{path}after", f"expected ids of tasks, but there is no task {other!r}")
        if state in BAD:
            raise Conflict(other, f"is {state.value}, so nothing can run after it")
    if new.on_conflict is OnConflict.REPLACE and spec.unique_key is not None:
        _check_circle(core, core.unique.get(spec.unique_key), spec.after, path)


def _check_circle(core: Core, task_id: str | None, after: Iterable[str], path: str = "") -> None:
    """Refuse to let a task wait for others of which one waits for it."""
    seen: set[str] = set()
    left = list(after)
    while left:
        other = left.pop()
        if other == task_id:
            raise BadField(
                f"{path}after", f"expected tasks that do not wait for {task_id} themselves"
            )
        if other not in seen:
            seen.add(other)
            left += core.blockers.get(other, ())


def take_in(core: Core, new: NewTask, known: Mapping[str, State]) -> Submitted:
    """Take in one task, or do what it says about the live one with its unique key."""
    spec = new.spec
    existing_id = core.unique.get(spec.unique_key) if spec.unique_key is not None else None
    if existing_id is not None and existing_id in core.tasks:
        existing = core.tasks[existing_id]
        if new.on_conflict is OnConflict.KEEP:
            return existing.id, existing.state
        if existing.state not in HELD:
            tick = existing.spec
            spec = msgspec.structs.replace(spec, schedule=tick.schedule, fire_at=tick.fire_at)
            _respecify(core, existing, spec, timed=True)
            return existing.id, existing.state
        del core.unique[spec.unique_key or ""]
        ending.cancel_held(core, existing)
    core.seq += 1
    task = Task(new.id, spec, State.READY, core.seq, core.now.wall, run_at=spec.run_at or 0)
    blockers = {other for other in spec.after if other in core.tasks}
    admit(core, task, blockers)
    return task.id, task.state


def admit(core: Core, task: Task, blockers: set[str]) -> None:
    """Let a new task begin its life, blocked by others or not."""
    core.save(task, whole=True)
    if blockers:
        core.enter(task, State.BLOCKED)
        core.block(task.id, blockers)
    elif task.run_at > core.now.wall:
        core.enter(task, State.SCHEDULED)
        core.timers.at(task.run_at, Due.RUN_AT, task.id)
    else:
        core.enter(task, State.READY)
        core.enqueue(task)
    core.watch_start(task)
    core.announce_state(task)


def revoked(core: Core, event: Revoked) -> None:
    """Forget tasks whose submit was refused, as it could not be stored."""
    for task_id in event.tasks:
        task = core.tasks.get(task_id)
        if task is None:
            continue
        assignment = core.assignments.get(task_id)
        if assignment is None:
            core.move(task, Trigger.CANCEL, State.CANCELLED)
        else:
            ending.cancel_held(core, task)
            ending.stopped(core, assignment, ghost=True)


def cancel(core: Core, event: Cancel) -> None:
    """End a task: at once if nobody has it, else as soon as its worker has stopped."""
    task = core.tasks.get(event.task)
    if task is None:
        core.answer(event.ticket, _gone(core, event.task))
        return
    end(core, task)
    core.answer(event.ticket, copy.copy(task), after_commit=True)


def end(core: Core, task: Task) -> None:
    """Cancel a live task, or begin to."""
    if task.state in HELD:
        ending.cancel_held(core, task)
    else:
        core.move(task, Trigger.CANCEL, State.CANCELLED)
        core.announce_state(task)


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
    spec = msgspec.structs.replace(task.spec, **event.fields)
    try:
        _check_new_after(core, task, spec.after)
    except SchedulerError as error:
        core.answer(event.ticket, error)
        return
    timed = "run_at" in event.fields
    assignment = core.assignments.get(task.id)
    if assignment is None:
        _respecify(core, task, spec, timed=timed)
    else:
        _respecify_held(core, task, spec, assignment, timed=timed)
    core.answer(event.ticket, copy.copy(task), after_commit=True)


def _check_new_after(core: Core, task: Task, after: Sequence[str]) -> None:
    if after == task.spec.after:
        return
    if task.state in HELD:
        raise Conflict(task.id, f"is {task.state.value}, so its after cannot be changed any more")
    for other in after:
        ended = core.finished.get(other)
        if other not in core.tasks and (ended is None or ended.state is not State.SUCCEEDED):
            raise BadField("after", f"expected ids of tasks not finished; {other!r} is not one")
    _check_circle(core, task.id, after)


def _respecify(core: Core, task: Task, spec: Spec, *, timed: bool) -> None:
    """Let a waiting task wait anew, by another spec; ``timed`` if for another time."""
    # What a schedule lets it wait for is not the spec's.
    blockers = core.blockers.get(task.id, set()).difference(task.spec.after)
    core.respecify(task, spec)
    if timed:
        task.run_at = spec.run_at or 0
    core.unblock(task.id)
    blockers.update(other for other in spec.after if other in core.tasks)
    if blockers:
        core.move(task, Trigger.UPDATE, State.BLOCKED)
        core.block(task.id, blockers)
        core.watch_start(task)
    else:
        core.place(task, Trigger.UPDATE)
    core.save(task, whole=True)
    core.announce_state(task, after_commit=True)


def _respecify_held(
    core: Core, task: Task, spec: Spec, assignment: Assignment, *, timed: bool
) -> None:
    """Change a task in a worker's hands; it is taken from one that may not have it any more."""
    renamed = spec.name != task.spec.name
    core.respecify(task, spec)
    core.save(task, whole=True)
    later = timed and (spec.run_at or 0) > core.now.wall
    if timed:
        task.run_at = spec.run_at or 0
    worker = core.workers.get(assignment.worker)
    fits = worker is not None and spec.queue in worker.queues and worker.fits(spec)
    if task.state is State.STOPPING:
        return
    if later or renamed or not fits:
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
    ended = core.finished.get(task.id)
    if ended is not None and ended.gen > task.gen:
        core.answer(event.ticket, Conflict(task.id, "was begun anew meanwhile"))
        return
    if task.spec.start_by is not None and task.spec.start_by <= core.now.wall:
        # Whoever asks for it now does not mind.
        task.spec = msgspec.structs.replace(task.spec, start_by=None)
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
    ended = core.finished.get(task_id)
    if ended is None:
        return NoSuchTask(task_id)
    return Conflict(task_id, f"has finished ({ended.state.value})")
