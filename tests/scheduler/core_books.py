"""What the core derives from its tasks, worked out once more from nothing but the tasks.

:func:`check_books` is called after every step of a test: what is counted must be true at every
moment, and what is over must have left nothing behind.
"""

from __future__ import annotations

from collections import Counter

from callboard_scheduler.core import Core
from callboard_scheduler.core.queues import Limit
from callboard_scheduler.states import HELD, LIVE, WAITING, State


def check_books(core: Core) -> None:
    """Fail if anything that is derived is not what the tasks say."""
    _check_tasks(core)
    _check_queues(core)
    _check_limits(core)
    _check_dependencies(core)
    _check_workers(core)


def _check_tasks(core: Core) -> None:
    tasks = core.tasks
    assert all(task_id == task.id and task.state in LIVE for task_id, task in tasks.items())
    assert set(core.assignments) == {task.id for task in tasks.values() if task.state in HELD}
    ready = {task.id for task in tasks.values() if task.state is State.READY}
    assert set(core.ready.stamps) == ready
    assert set(core.handovers) <= set(tasks)
    assert set(core.unheard) <= set(tasks)
    assert not set(core.finished) & set(tasks)
    assert all(tasks[task_id].spec.unique_key == key for key, task_id in core.unique.items())
    for task in tasks.values():
        key = task.spec.unique_key
        # One that is being replaced has given up its key.
        assert key is None or key in core.unique or task.state is State.STOPPING
    ticks = {
        schedule: {task.id for task in tasks.values() if task.spec.schedule == schedule}
        for schedule in {task.spec.schedule for task in tasks.values()} - {None}
    }
    assert {schedule: set(held) for schedule, held in core.ticks.items()} == ticks


def _check_queues(core: Core) -> None:
    counts: dict[str, Counter[State]] = {}
    for task in core.tasks.values():
        counts.setdefault(task.spec.queue, Counter())[task.state] += 1
    for name, queue in core.queues.items():
        assert queue.counts == {state: counts.get(name, Counter())[state] for state in LIVE}
        assert not queue.vacant, f"queue {name} is kept though nothing is left of it"
        assert queue.waiting == sum(counts.get(name, Counter())[state] for state in WAITING)
    assert set(counts) <= set(core.queues)


def _check_limits(core: Core) -> None:
    held = Counter(
        task.spec.limit_key
        for task in core.tasks.values()
        if task.spec.limit_key is not None and task.state in HELD
    )
    waiting = {task.spec.limit_key for task in core.tasks.values() if task.state is State.READY}
    for key, limit in core.limits.items():
        assert limit.held == held[key]
        needed = held[key] or key in waiting or key in core.loosened
        assert needed, f"limit {key} is kept though nobody needs it"
    assert set(held) <= set(core.limits)


def _check_dependencies(core: Core) -> None:
    blocked = {task.id for task in core.tasks.values() if task.state is State.BLOCKED}
    assert set(core.blockers) == blocked
    dependents: dict[str, set[str]] = {}
    for task_id, blockers in core.blockers.items():
        assert blockers, f"{task_id} is blocked by nothing"
        assert blockers <= set(core.tasks)
        for blocker in blockers:
            dependents.setdefault(blocker, set()).add(task_id)
    assert {blocker: set(each) for blocker, each in core.dependents.items()} == dependents


def _check_workers(core: Core) -> None:
    for task_id, assignment in core.assignments.items():
        task = core.tasks[task_id]
        assert (assignment.task, assignment.fence) == (task_id, task.fence)
        assert assignment.worker == task.worker
        assert core.workers[assignment.worker].held[task_id] is assignment
        assert (task.state is State.STOPPING) == (task.stop_reason is not None)
        if task.state is not State.STOPPING:
            assert assignment.heard == (task.state is State.RUNNING)
    assert sum(len(worker.held) for worker in core.workers.values()) == len(core.assignments)
    for worker in core.workers.values():
        assert worker.connected or worker.held, f"{worker.id} is kept though it is gone"
        assert min(worker.elsewhere, worker.taken) >= 0
        assert worker.listed == sum(each.listed for each in worker.held.values())
        assert not set(worker.ghosts) & {each.fence for each in worker.held.values()}
        is_open = (
            worker.connected
            and not worker.draining
            and worker.hold_until <= core.hearing
            and worker.free > 0
        )
        for name in worker.queues:
            queue = core.queues.get(name)
            idle = queue is not None and worker.id in queue.idle
            busy = queue is not None and worker.id in queue.busy
            assert idle == (is_open and not worker.held)
            assert busy == (is_open and bool(worker.held))
    for name, queue in core.queues.items():
        for worker_id, worker in (*queue.idle.items(), *queue.busy.items()):
            assert core.workers.get(worker_id) is worker
            assert name in worker.queues


def check_nothing_waits_in_vain(core: Core) -> None:
    """Fail if a ready task could be given to a worker that is free (invariant 21)."""
    if core.suspended:
        return
    for task in core.tasks.values():
        queue = core.queues[task.spec.queue]
        if task.state is not State.READY or queue.paused:
            continue
        key = task.spec.limit_key
        limit = core.limits.get(key, Limit(core.ready)) if key is not None else None
        if limit is not None and limit.held >= task.spec.limit:
            continue
        free = [*queue.idle.values(), *queue.busy.values()]
        fitting = [worker.id for worker in free if worker.fits(task.spec)]
        assert not fitting, f"{task.id} waits, and {fitting} could run it"
