"""What the API answers of tasks, schedules, workers and queues.

Every field is always there, null where there is nothing, so that typed clients can rely on it.
Values of users stay the JSON text that they were sent as.

A list has no ``attempts``, and of each task's values only those up to MAX_LISTED_BYTES; what is
left out of a task is named in its ``left_out``, and ``GET tasks/{id}`` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from callboard_scheduler.core.workers import WorkerState
from callboard_scheduler.records import Attempt, Failure, Progress, Schedule, Spec, Target, Task
from callboard_scheduler.states import LIVE, State
from callboard_scheduler.stores import StoredTask

#: Bytes of JSON text that each value of a listed task may have.
MAX_LISTED_BYTES: Final = 16_384

View = dict[str, Any]

#: In the order of a task's life.
_LIVE: Final = tuple(state for state in State if state in LIVE)


class WorkerView(msgspec.Struct, kw_only=True, frozen=True):
    """A worker as the scheduler sees it at this moment."""

    id: str
    state: WorkerState
    slots: int
    #: Slots that a task can be sent to.
    free: int
    queues: Sequence[str]
    #: Task names that it runs, None for all.
    names: Sequence[str] | None = None
    labels: Mapping[str, Any] = {}
    pool: str = ""
    sdk: str = ""
    host: str = ""
    #: Ids of the tasks that it has.
    tasks: Sequence[str] = ()
    joined_at: int = 0
    #: Since when nothing was heard of it, in milliseconds.
    silent_ms: int = 0


class QueueView(msgspec.Struct, kw_only=True, frozen=True):
    """A queue at this moment: how many of its tasks are in each live state, and who serves it."""

    name: str
    paused: bool = False
    counts: Mapping[State, int] = {}
    workers: int = 0
    #: Slots of these workers that a task can be sent to.
    free: int = 0


def encode(value: object) -> bytes:
    """Return a view as JSON."""
    return _encoder.encode(value)


_encoder = msgspec.json.Encoder()


def task_view(stored: StoredTask) -> View:
    """Return a task with all there is of it."""
    view = _task(stored.task)
    view["attempts"] = [_attempt(attempt) for attempt in stored.attempts]
    return view


def listed_task_view(task: Task) -> View:
    """Return a task as one of many."""
    view = _task(task)
    left_out = [name for name in ("args", "result", "checkpoint") if _is_large(view[name])]
    for name in left_out:
        view[name] = None
    progress = view["progress"]
    if progress is not None and _is_large(progress["data"]):
        progress["data"] = None
        left_out.append("progress.data")
    view["left_out"] = left_out
    return view


def worker_view(worker: WorkerView) -> View:
    """Return a worker."""
    return {
        "id": worker.id,
        "state": worker.state.value,
        "slots": worker.slots,
        "free": worker.free,
        "queues": list(worker.queues),
        "names": None if worker.names is None else list(worker.names),
        "labels": dict(worker.labels),
        "pool": worker.pool,
        "sdk": worker.sdk,
        "host": worker.host,
        "tasks": list(worker.tasks),
        "joined_at": worker.joined_at,
        "silent_ms": worker.silent_ms,
    }


def queue_view(queue: QueueView) -> View:
    """Return a queue."""
    counts = {state.value: queue.counts.get(state, 0) for state in _LIVE}
    return {
        "name": queue.name,
        "paused": queue.paused,
        **counts,
        "workers": queue.workers,
        "free": queue.free,
    }


def schedule_view(schedule: Schedule, text: str, next_runs: Iterable[int]) -> View:
    """Return a schedule; ``text`` are its times in words, ``next_runs`` the ticks ahead."""
    return {
        "id": schedule.id,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "every_ms": schedule.every_ms,
        "at": schedule.at,
        "text": text,
        "misfire": schedule.misfire.value,
        "overlap": schedule.overlap.value,
        "jitter_ms": schedule.jitter_ms,
        "paused": schedule.paused,
        "task": schedule.task,
        "event": schedule.event,
        "rev": schedule.rev,
        "created_at": schedule.created_at,
        "next_at": schedule.next_at,
        "next_runs": list(next_runs),
        "last_at": schedule.last_at,
        "last_task": schedule.last_task,
    }


def _task(task: Task) -> View:
    spec = task.spec
    return {
        "id": task.id,
        "name": spec.name,
        "queue": spec.queue,
        "state": task.state.value,
        "priority": spec.priority,
        "args": spec.args,
        "progress": _progress(task.progress),
        "result": task.result,
        "error": _failure(task.error),
        "worker": task.worker,
        "attempt": task.attempt,
        "failures": task.failures,
        "losses": task.losses,
        "stop_reason": task.stop_reason and task.stop_reason.value,
        "checkpoint": task.checkpoint,
        "created_at": task.created_at,
        "run_at": _run_at(task, spec),
        "start_by": spec.start_by,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "timeout_ms": spec.timeout_ms,
        "retry": msgspec.structs.asdict(spec.retry),
        "unique_key": spec.unique_key,
        "target": _target(spec.target),
        "after": list(spec.after),
        "limit_key": spec.limit_key,
        "limit": spec.limit,
        "on_disconnect": spec.on_disconnect.value,
        "max_losses": spec.max_losses,
        "schedule": spec.schedule,
        "fire_at": spec.fire_at,
        "rev": task.rev,
        "gen": task.gen,
    }


def _run_at(task: Task, spec: Spec) -> int | None:
    """A failure moves the time in the task, and nothing the time that was asked for."""
    return task.run_at or spec.run_at


def _attempt(attempt: Attempt) -> View:
    return {
        "n": attempt.n,
        "fence": attempt.fence,
        "worker": attempt.worker,
        "outcome": attempt.outcome and attempt.outcome.value,
        "error": _failure(attempt.error),
        "assigned_at": attempt.assigned_at,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
    }


def _progress(progress: Progress | None) -> View | None:
    if progress is None:
        return None
    return {"pct": progress.pct, "msg": progress.msg, "data": progress.data}


def _failure(failure: Failure | None) -> View | None:
    return None if failure is None else {"type": failure.type, "msg": failure.msg}


def _target(target: Target | None) -> View | None:
    if target is None:
        return None
    return {"worker": target.worker, "labels": target.labels}


def _is_large(value: Raw | None) -> bool:
    return value is not None and len(memoryview(value)) > MAX_LISTED_BYTES
