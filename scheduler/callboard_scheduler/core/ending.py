"""How an assignment ends: by a result, by being stopped, given back, or lost with its worker.

Each function takes an assignment out of its worker's hands exactly once. ``ghost`` says that the
worker may still run it: then it goes on occupying a slot there until the worker says otherwise.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from callboard_scheduler.core.assigning import stand
from callboard_scheduler.core.model import Core, Handover
from callboard_scheduler.core.timers import Due
from callboard_scheduler.core.workers import Assignment, Worker
from callboard_scheduler.records import Attempt, Failure, Outcome, Raw, Retry, StopReason, Task
from callboard_scheduler.states import State, Trigger
from callboard_scheduler.wire import ResultError, Revoke

#: How long a worker has to stop. A cancelled task is cancelled within two seconds.
STOP_MS: Final = 1_500

#: Ten years, whatever a worker asks for: beyond that lies what no store can hold.
_MOST_WAIT_MS: Final = 3_653 * 86_400_000
#: One lost worker says nothing of a task that it was only sent; so many in a row do.
MOST_UNHEARD: Final = 10

_OUTCOMES: Final = {
    StopReason.CANCELLED: Outcome.CANCELLED,
    StopReason.MOVED: Outcome.MOVED,
    StopReason.TIMEOUT: Outcome.TIMEOUT,
}


def succeed(core: Core, assignment: Assignment, value: Raw | None) -> None:
    """It has finished well; what was intended with it meanwhile does not matter any more."""
    task = core.tasks[assignment.task]
    hear(core, assignment)
    take(core, assignment, ghost=False)
    core.close_attempt(assignment, Outcome.SUCCEEDED)
    _conclude(core, task, Trigger.SUCCEED, value)


def succeed_late(core: Core, task: Task, value: Raw | None) -> None:
    """An assignment that was given up has finished after all, and nobody else was heard of."""
    assignment = core.assignments.get(task.id)
    if assignment is not None:
        tell_to_stop(core, assignment, StopReason.SUPERSEDED)
        take(core, assignment, ghost=True)
        core.close_attempt(assignment, Outcome.SUPERSEDED)
    _conclude(core, task, Trigger.LATE_RESULT, value)


def _conclude(core: Core, task: Task, trigger: Trigger, value: Raw | None) -> None:
    task.result = value
    task.error = None
    task.stop_reason = None
    core.move(task, trigger, State.SUCCEEDED)
    core.announce_state(task)


def fail(core: Core, assignment: Assignment, error: ResultError) -> None:
    """It has finished badly."""
    task = core.tasks[assignment.task]
    hear(core, assignment)
    if task.state is State.STOPPING and task.stop_reason is not StopReason.TIMEOUT:
        stopped(core, assignment, error.failure())
        return
    trigger = Trigger.STOPPED if task.state is State.STOPPING else Trigger.FAIL
    take(core, assignment, ghost=False)
    core.close_attempt(assignment, Outcome.FAILED, error.failure())
    task.stop_reason = None
    _try_again(core, task, trigger, error)


def stop(core: Core, assignment: Assignment, reason: StopReason) -> None:
    """Tell the worker to stop; the task is stopped when it has, or when its time to is over."""
    task = core.tasks[assignment.task]
    task.stop_reason = reason
    core.move(task, Trigger.STOP, State.STOPPING)
    assignment.stop_due = core.hearing + STOP_MS
    core.timers.after(assignment.stop_due, Due.STOP, task.id, assignment.fence)
    tell_to_stop(core, assignment, reason)
    core.announce_state(task)


def cancel_held(core: Core, task: Task) -> None:
    """Have a task that a worker has end as cancelled, whatever it was being stopped for."""
    if task.state is not State.STOPPING or task.stop_reason is not StopReason.CANCELLED:
        stop(core, core.assignments[task.id], StopReason.CANCELLED)


def tell_to_stop(core: Core, assignment: Assignment, reason: StopReason) -> None:
    """Tell the worker to stop; it may be told again."""
    worker = core.workers.get(assignment.worker)
    if worker is not None:
        core.tell(worker, Revoke(assignment.task, assignment.fence, reason.value, STOP_MS))


def stopped(
    core: Core, assignment: Assignment, error: Failure | None = None, *, ghost: bool = False
) -> None:
    """What was to be stopped has stopped, or is taken to have."""
    task = core.tasks[assignment.task]
    reason = task.stop_reason or StopReason.CANCELLED
    take(core, assignment, ghost=ghost)
    core.close_attempt(assignment, _OUTCOMES.get(reason, Outcome.RELEASED), error)
    task.stop_reason = None
    if reason is StopReason.MOVED:
        _hand_over(core, assignment, reason)
        core.place(task, Trigger.STOPPED)
        core.announce_state(task)
    elif reason is StopReason.TIMEOUT:
        text = f"it ran longer than its timeout_ms of {task.spec.timeout_ms}"
        _try_again(core, task, Trigger.STOPPED, ResultError("Timeout", text))
    else:
        core.move(task, Trigger.STOPPED, State.CANCELLED)
        core.announce_state(task)


def hand_back(
    core: Core, assignment: Assignment, outcome: Outcome, *, ghost: bool, blame: bool = False
) -> None:
    """The task goes back to its queue, with nothing held against it.

    ``blame`` when the worker did not answer: then its late result still counts.
    """
    task = core.tasks[assignment.task]
    if task.state is State.STOPPING:
        stopped(core, assignment, ghost=ghost)
        return
    take(core, assignment, ghost=ghost)
    core.close_attempt(assignment, outcome)
    if blame:
        _hand_over(core, assignment, StopReason.LOST)
        task.lost_fence = assignment.fence
    core.place(task, Trigger.HANDED_BACK)
    core.announce_state(task)


def lose(core: Core, assignment: Assignment, *, ghost: bool) -> None:
    """Its worker is gone, or has let its lease run out."""
    task = core.tasks[assignment.task]
    if task.state is State.ASSIGNED:
        unheard = core.unheard[task.id] = core.unheard.get(task.id, 0) + 1
        if unheard < MOST_UNHEARD:
            hand_back(core, assignment, Outcome.LOST, ghost=ghost, blame=True)
            return
    if task.state is State.STOPPING:
        stopped(core, assignment, ghost=ghost)
        return
    take(core, assignment, ghost=ghost)
    core.close_attempt(assignment, Outcome.LOST)
    last = f"the last: {assignment.worker}"
    if task.state is State.ASSIGNED:
        text = f"{MOST_UNHEARD} workers in a row were lost before they said a word of it; {last}"
        task.error = Failure("WorkerLost", text)
    else:
        task.losses += 1
        task.lost_fence = assignment.fence
        if task.losses > task.spec.max_losses:
            text = f"{task.losses} workers were lost while they ran it; {last}"
            task.error = Failure("WorkerLost", text)
    if task.state is State.ASSIGNED or task.losses > task.spec.max_losses:
        core.move(task, Trigger.LOSE_WORKER, State.DEAD)
        core.announce_state(task)
        return
    _hand_over(core, assignment, StopReason.LOST)
    core.move(task, Trigger.LOSE_WORKER, State.READY)
    core.enqueue(task)
    core.watch_start(task)
    core.announce_state(task)


def take(core: Core, assignment: Assignment, *, ghost: bool) -> None:
    """Take an assignment out of its worker's hands."""
    del core.assignments[assignment.task]
    worker = core.workers.get(assignment.worker)
    if worker is None:
        return
    worker.give_up(assignment, ghost=ghost)
    if not worker.connected and not worker.held:
        # It was only kept for what it held.
        core.workers.pop(worker.id, None)
    stand(core, worker)


def hear(core: Core, assignment: Assignment) -> None:
    """The worker has named the assignment: its lease begins anew, and it runs."""
    worker = core.workers.get(assignment.worker)
    beats = worker is not None and worker.beats
    assignment.lease_due = core.hearing + core.profile.lease_ms if beats else None
    assignment.recovering = False
    if assignment.heard:
        return
    assignment.heard = True
    assignment.heard_at = core.hearing
    if core.tasks[assignment.task].state is State.ASSIGNED:
        # Else it was to be stopped before it was heard of.
        _run(core, assignment, Trigger.HEARD)


def remember(core: Core, worker: Worker, task: Task, fence: int) -> None:
    """The worker runs a ready task by an assignment that was not on the disk before a crash."""
    attempt = Attempt(task.id, fence, task.attempt + 1, worker.id, core.now.wall)
    assignment = Assignment(task.id, fence, worker.id, attempt, task.rev)
    # Which one it was given is forgotten too.
    assignment.rev_seen = 1
    core.assignments[task.id] = worker.held[task.id] = assignment
    task.fence, task.attempt, task.worker = fence, attempt.n, worker.id
    assignment.heard = True
    assignment.heard_at = core.hearing
    _run(core, assignment, Trigger.REMEMBER)


def _run(core: Core, assignment: Assignment, trigger: Trigger) -> None:
    task = core.tasks[assignment.task]
    task.started_at = assignment.attempt.started_at = core.now.wall
    core.handovers.pop(task.id, None)
    core.unheard.pop(task.id, None)
    core.move(task, trigger, State.RUNNING)
    core.save_attempt(assignment.attempt)
    if task.spec.timeout_ms is not None:
        due = core.hearing + task.spec.timeout_ms
        core.timers.after(due, Due.TIMEOUT, task.id, assignment.fence)
    core.announce_state(task)


def watch_lease(core: Core, assignment: Assignment, due: int | None = None) -> None:
    """See to it that the lease ends when it is over; at ``due`` at the latest if that is given."""
    if due is not None:
        assignment.lease_due = due
    elif assignment.lease_watched or assignment.lease_due is None:
        return
    assignment.lease_watched = True
    core.timers.after(assignment.lease_due or 0, Due.LEASE, assignment.task, assignment.fence)


def lease_over(core: Core, assignment: Assignment) -> None:
    """A lease may be over, if it was not renewed meanwhile."""
    assignment.lease_watched = False
    if assignment.lease_due is None:
        return
    if assignment.lease_due > core.hearing:
        watch_lease(core, assignment)
        return
    tell_to_stop(core, assignment, StopReason.LOST)
    lose(core, assignment, ghost=True)


def backoff_ms(retry: Retry, failures: int, task_id: str) -> int:
    """Return the wait after so many failures, its chance a hash so that nothing else decides it."""
    try:
        full = min(float(retry.max_ms), retry.initial_ms * retry.factor ** (failures - 1))
    except OverflowError:
        full = float(retry.max_ms)
    digest = blake2b(f"{task_id}:{failures}".encode(), digest_size=8).digest()
    chance = int.from_bytes(digest, "big") / 2**64
    return round(full * (1 - retry.jitter * chance))


def _try_again(core: Core, task: Task, trigger: Trigger, error: ResultError) -> None:
    task.failures += 1
    task.error = error.failure()
    retry = task.spec.retry
    if not error.retry or task.failures >= retry.max_attempts:
        core.move(task, trigger, State.DEAD)
        core.announce_state(task)
        return
    wait = error.after_ms
    if wait is None:
        wait = backoff_ms(retry, task.failures, task.id)
    task.run_at = core.now.wall + min(max(0, wait), _MOST_WAIT_MS)
    core.place(task, trigger)
    core.announce_state(task)


def _hand_over(core: Core, assignment: Assignment, why: StopReason) -> None:
    core.handovers[assignment.task] = Handover(
        assignment.worker, assignment.fence, why.value, core.now.mono
    )
