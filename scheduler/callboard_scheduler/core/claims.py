"""What a worker may claim though the books say otherwise."""

from __future__ import annotations

from callboard_scheduler.core.model import FENCES_PER_TERM, Core
from callboard_scheduler.core.workers import Worker
from callboard_scheduler.records import Task
from callboard_scheduler.states import State


def holds_on(core: Core, worker: Worker, task: Task, fence: int) -> bool:
    """Whether the worker goes on with an assignment that the crash made the scheduler forget."""
    limit = core.limits.get(task.spec.limit_key) if task.spec.limit_key is not None else None
    return (
        # One that has been given another time since is to run then.
        task.state is State.READY
        and forgotten(core, worker, task, fence)
        and (limit is None or limit.held < task.spec.limit)
    )


def counts_late(core: Core, worker: Worker, task: Task, fence: int) -> bool:
    """Whether a result by an assignment that is not current is the task's all the same."""
    assignment = core.assignments.get(task.id)
    if task.state not in (State.READY, State.SCHEDULED, State.ASSIGNED) or (
        assignment is not None and assignment.heard
    ):
        return False
    handover = core.handovers.get(task.id)
    if handover is not None and handover.fence == fence == task.lost_fence:
        return handover.worker == worker.id
    return forgotten(core, worker, task, fence)


def forgotten(core: Core, worker: Worker, task: Task, fence: int) -> bool:
    """Whether a fence is of an earlier term, and newer than anything that was stored of the task.

    The crash that ended that term came before the assignment was on the disk; nobody else has
    been given the task since.
    """
    return (
        max(task.fence, FENCES_PER_TERM) < fence < core.term * FENCES_PER_TERM
        and task.id not in core.assignments
        and task.spec.queue in worker.queues
        and worker.fits(task.spec)
    )
