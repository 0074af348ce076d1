"""Why a task waits, from the one who decides: sentences for people."""

from __future__ import annotations

from callboard_scheduler.core.model import Core
from callboard_scheduler.core.workers import Worker
from callboard_scheduler.records import Task
from callboard_scheduler.states import State


def why(core: Core, task: Task) -> list[str]:
    """Return the reasons for a live task's state, the most telling first."""
    if task.state is State.BLOCKED:
        waits_for = sorted(core.blockers.get(task.id, ()))
        return [f"it waits for {_some(waits_for)} to finish"]
    if task.state is State.SCHEDULED:
        seconds = (task.run_at - core.now.wall) / 1000
        after = f", after {task.failures} failed tries" if task.failures else ""
        return [f"it is to run in {seconds:.1f} s{after}"]
    if task.state is State.READY:
        return _why_ready(core, task)
    assignment = core.assignments.get(task.id)
    if assignment is None:
        return []
    if task.state is State.ASSIGNED:
        times = f"{assignment.sends} times" if assignment.sends > 1 else "once"
        return [f"worker {assignment.worker} was given it {times} and has not said a word of it"]
    if task.state is State.STOPPING:
        reason = task.stop_reason.value if task.stop_reason else "cancelled"
        return [f"worker {assignment.worker} was told to stop: {reason}"]
    return [f"worker {assignment.worker} runs it"]


def _why_ready(core: Core, task: Task) -> list[str]:
    spec = task.spec
    reasons = []
    queue = core.queue(spec.queue)
    if queue.paused:
        reasons.append(f"queue {spec.queue} is paused")
    limit = core.limits.get(spec.limit_key) if spec.limit_key is not None else None
    if limit is not None and limit.held >= spec.limit:
        reasons.append(f"{limit.held} tasks of limit_key {spec.limit_key} run, the limit")
    serving = [worker for worker in core.workers.values() if spec.queue in worker.queues]
    fitting = [worker for worker in serving if worker.fits(spec)]
    connected = [worker for worker in fitting if worker.connected]
    if not serving:
        reasons.append(f"no worker serves queue {spec.queue}")
    elif not fitting:
        reasons.append(_misfit(task, serving))
    elif not connected:
        reasons.append(f"the workers that fit it are not connected: {_names(fitting)}")
    elif not any(worker.free for worker in connected):
        reasons.append(f"the workers that fit it are full: {_names(connected)}")
    elif not reasons:
        held = [worker for worker in connected if worker.hold_until > core.hearing]
        draining = [worker for worker in connected if worker.draining]
        if held or draining:
            reasons.append(f"the workers that fit it take nothing now: {_names(held + draining)}")
    if fitting and not reasons:
        reasons.append("tasks of a higher priority, or that came earlier, go first")
    core.tidy(queue)
    return reasons


def _misfit(task: Task, serving: list[Worker]) -> str:
    spec = task.spec
    knowing = [
        worker
        for worker in serving
        if (worker.names is None or spec.name in worker.names) and spec.name not in worker.unknown
    ]
    if not knowing:
        return f"no worker of queue {spec.queue} knows a task named {spec.name}: {_names(serving)}"
    if spec.target is not None and spec.target.worker is not None:
        return f"its target, worker {spec.target.worker}, is not there"
    return f"no worker of queue {spec.queue} has the labels that it asks for: {_names(knowing)}"


def _names(workers: list[Worker]) -> str:
    return _some([worker.id for worker in workers])


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
