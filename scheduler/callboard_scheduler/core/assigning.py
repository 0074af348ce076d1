"""Who gets what: the end of every step, when all that happened in it is known.

1. A free worker is given the best ready task that fits it; ties go to the one that came first.
2. A task goes to a worker with nothing to do before one that is busy, and to the one that has
   been idle longest; among busy ones to the least loaded.
3. When a step ends, no ready task is left that a free worker could run, unless its queue is
   paused or its limit reached.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from callboard_scheduler.core.model import Core
from callboard_scheduler.core.queues import Lane, Limit, Queue
from callboard_scheduler.core.timers import Due
from callboard_scheduler.core.workers import Assignment, Worker
from callboard_scheduler.records import Attempt, Task
from callboard_scheduler.states import State, Trigger
from callboard_scheduler.wire import Assign


def dispatch(core: Core) -> None:
    """Give out everything that can be given out."""
    if core.suspended:
        return
    while core.loosened or core.freed or core.offered:
        if core.loosened:
            _release(core, core.loosened.popitem()[0])
        elif core.offered:
            task = core.tasks.get(next(iter(core.offered)))
            if task is None or task.state is not State.READY or not _offer(core, task):
                del core.offered[next(iter(core.offered))]
        else:
            _fill(core)


def stand(core: Core, worker: Worker) -> None:
    """Put a worker among those that may be given tasks, or take it out, as its slots say."""
    open_to_tasks = _is_open(core, worker) and worker.free > 0
    for name in worker.queues:
        queue = core.queue(name)
        if not open_to_tasks:
            queue.idle.pop(worker.id, None)
            queue.busy.pop(worker.id, None)
            core.tidy(queue)
        elif worker.held:
            queue.idle.pop(worker.id, None)
            queue.busy[worker.id] = worker
        else:
            queue.busy.pop(worker.id, None)
            queue.idle.setdefault(worker.id, worker)
    if open_to_tasks:
        core.freed[worker.id] = None


def _fill(core: Core) -> None:
    """Let those who have room choose, one task each time, whoever has least to do first."""
    freed = [core.workers[name] for name in core.freed if name in core.workers]
    core.freed.clear()
    turns = [
        (_load(worker), place, worker)
        for place, worker in enumerate(freed)
        if worker.free > 0 and _is_open(core, worker)
    ]
    heapify(turns)
    while turns:
        _, place, worker = heappop(turns)
        task = _best(core, worker)
        if task is None:
            continue
        assign(core, task, worker)
        if worker.free > 0:
            heappush(turns, (_load(worker), place, worker))
        while core.loosened:
            _release(core, core.loosened.popitem()[0])


def assign(core: Core, task: Task, worker: Worker) -> None:
    """Put a ready task into a worker's hands."""
    task.fence = core.next_fence()
    task.attempt += 1
    task.worker = worker.id
    core.move(task, Trigger.ASSIGN, State.ASSIGNED)
    attempt = Attempt(task.id, task.fence, task.attempt, worker.id, core.now.wall)
    assignment = Assignment(task.id, task.fence, worker.id, attempt, task.rev)
    core.assignments[task.id] = worker.held[task.id] = assignment
    core.save_attempt(attempt)
    core.timers.after(core.hearing + core.profile.accept_ms, Due.ACCEPT, task.id, task.fence)
    core.tell(worker, assign_message(core, task))
    handover = core.handovers.get(task.id)
    if handover is not None:
        core.announce(
            task,
            "moved",
            {
                "from": handover.worker,
                "to": worker.id,
                "why": handover.why,
                "ms": core.now.mono - handover.since,
            },
        )
    core.announce_state(task)
    # What room is left was there before: it only has to be filled if that is to be done anyhow.
    freed = worker.id in core.freed
    stand(core, worker)
    if not freed:
        core.freed.pop(worker.id, None)


def assign_message(core: Core, task: Task) -> Assign:
    """Return what a worker is told of a task, also when it is told again."""
    spec = task.spec
    return Assign(
        task.id,
        task.fence,
        task.attempt,
        spec.name,
        args=spec.args,
        lease_ms=core.profile.lease_ms,
        timeout_ms=spec.timeout_ms,
        left_ms=max(0, spec.start_by - core.now.wall) if spec.start_by is not None else None,
        prio=spec.priority,
        prog_ms=core.profile.progress_ms,
        ck=task.checkpoint,
        rev=task.rev,
    )


def _is_open(core: Core, worker: Worker) -> bool:
    return worker.connected and not worker.draining and worker.hold_until <= core.hearing


def _offer(core: Core, task: Task) -> bool:
    """Let a worker that fits a ready task choose; whether it chose another, so try again."""
    queue = core.queue(task.spec.queue)
    if queue.paused:
        return False
    if _limited(core, task):
        _set_aside(core, task)
        return False
    worker = _worker_for(queue, task)
    if worker is None:
        return False
    best = _best(core, worker)
    if best is None:
        return False
    assign(core, best, worker)
    return best is not task


def _worker_for(queue: Queue, task: Task) -> Worker | None:
    for worker in queue.idle.values():
        if worker.fits(task.spec):
            return worker
    fitting = [worker for worker in queue.busy.values() if worker.fits(task.spec)]
    return min(fitting, key=_load) if fitting else None


def _load(worker: Worker) -> float:
    return len(worker.held) / worker.cap


def _best(core: Core, worker: Worker) -> Task | None:
    """Return the first in order of the tasks that a worker could be given now."""
    best: Task | None = None
    for name in worker.queues:
        queue = core.queues.get(name)
        if queue is None or queue.paused:
            continue
        empty: list[Lane] = []
        for lane in queue.lanes_for(worker):
            task = _head(core, lane)
            if task is None:
                empty.append(lane)
            elif best is None or _order(task) < _order(best):
                best = task
        for lane in empty:
            queue.discard(lane)
    return best


def _head(core: Core, lane: Lane) -> Task | None:
    """Return the lane's first task that no limit holds back, having set those aside."""
    while (entry := lane.entries.head()) is not None:
        task = core.tasks[entry[2]]
        if not _limited(core, task):
            return task
        _set_aside(core, task)
    return None


def _set_aside(core: Core, task: Task) -> None:
    """Take a task out of its lane until its limit has room."""
    core.limits.setdefault(task.spec.limit_key or "", Limit(core.ready)).wait(task)


def _limited(core: Core, task: Task) -> bool:
    key = task.spec.limit_key
    if key is None:
        return False
    limit = core.limits.get(key)
    return (limit.held if limit is not None else 0) >= task.spec.limit


def _release(core: Core, key: str) -> None:
    """Put back into their lanes those who may run now that the key has room."""
    limit = core.limits.get(key)
    if limit is None:
        return
    for task_id in limit.release():
        task = core.tasks[task_id]
        core.enqueue(task)
        limit.let_go(task)
    if limit.vacant:
        del core.limits[key]


def _order(task: Task) -> tuple[int, int]:
    return -task.spec.priority, task.seq
