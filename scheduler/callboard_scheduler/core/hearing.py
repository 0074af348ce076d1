"""What workers say: one function per message, each harmless when it comes twice or late.

Only messages that name the current fence change a task. The exceptions: a *result* by the last
assignment that was given up counts as long as nobody else has been heard; and after a crash a
worker may still hold an assignment whose record was not on the disk yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from callboard_scheduler import wire
from callboard_scheduler.core import attendance, claims, ending
from callboard_scheduler.core.assigning import stand
from callboard_scheduler.core.events import Heard
from callboard_scheduler.core.model import Core
from callboard_scheduler.core.workers import Assignment, Worker
from callboard_scheduler.records import Outcome, Progress, Task

#: How long a worker that rejected a task is given no other, unless it says how long itself.
_REJECT_HOLD_MS: Final = 1_000
_LONGEST_HOLD_MS: Final = 86_400_000


def heard(core: Core, event: Heard) -> None:
    """Take one message of a worker."""
    message = event.message
    if isinstance(message, wire.Hello):
        attendance.greet(core, event.worker, event.boot, message)
        return
    worker = core.workers.get(event.worker)
    if worker is None or worker.boot != event.boot:
        core.refused_messages += 1
        if isinstance(message, wire.Heartbeat | wire.Result | wire.Released):
            stranger = worker or Worker(event.worker, event.boot)
            core.tell(stranger, wire.Resync())
        return
    worker.last_heard = core.hearing
    if worker.hold_until and not worker.hold_is_own:
        worker.hold_until = 0
        stand(core, worker)
    _HEARD[type(message)](core, worker, message)


def _named(core: Core, worker: Worker, task_id: str, fence: int) -> Assignment | None:
    """Return the worker's assignment of this fence, heard of from now on."""
    assignment = worker.held.get(task_id)
    if assignment is None or assignment.fence != fence:
        core.refused_messages += 1
        return None
    ending.hear(core, assignment)
    return assignment


def _accept(core: Core, worker: Worker, message: wire.Accept) -> None:
    _named(core, worker, message.id, message.f)


def _reject(core: Core, worker: Worker, message: wire.Reject) -> None:
    worker.has_ended(message.f)
    assignment = worker.held.get(message.id)
    if assignment is None or assignment.fence != message.f:
        _lay_ghost(core, worker, message.f)
        return
    if message.why == wire.UNKNOWN_NAME:
        worker.unknown.add(core.tasks[message.id].spec.name)
        worker.fitting.clear()
    else:
        span = message.after_ms if message.after_ms > 0 else _REJECT_HOLD_MS
        attendance.hold(core, worker, min(span, _LONGEST_HOLD_MS), own=True)
    ending.hand_back(core, assignment, Outcome.REJECTED, ghost=False)


def _progress(core: Core, worker: Worker, message: wire.ProgressReport) -> None:
    assignment = _named(core, worker, message.id, message.f)
    # Whoever does not count its reports is taken at its last word.
    if assignment is None or (message.s and message.s <= assignment.progress_s):
        return
    assignment.progress_s = message.s
    task = core.tasks[message.id]
    task.progress = Progress(message.pct, message.msg, message.data)
    said: dict[str, Any] = {}
    if message.pct is not None:
        said["pct"] = message.pct
    if message.msg is not None:
        said["msg"] = message.msg
    if message.data is not None:
        said["data"] = message.data
    core.announce(task, "progress", said)


def _log(core: Core, worker: Worker, message: wire.Log) -> None:
    if _named(core, worker, message.id, message.f) is not None:
        core.announce(core.tasks[message.id], "log", {"lvl": message.lvl, "txt": message.txt})


def _checkpoint(core: Core, worker: Worker, message: wire.Checkpoint) -> None:
    if _named(core, worker, message.id, message.f) is not None:
        task = core.tasks[message.id]
        task.checkpoint = message.ck
        core.save(task, whole=True)


def _result(core: Core, worker: Worker, message: wire.Result) -> None:
    worker.has_ended(message.f)
    assignment = worker.held.get(message.id)
    task = core.tasks.get(message.id)
    if assignment is not None and assignment.fence == message.f:
        if message.ok:
            ending.succeed(core, assignment, message.val)
        else:
            ending.fail(core, assignment, message.err or wire.ResultError())
        outcome = "recorded"
    elif task is not None and message.ok and claims.counts_late(core, worker, task, message.f):
        _lay_ghost(core, worker, message.f)
        ending.succeed_late(core, task, message.val)
        outcome = "recorded"
    else:
        _lay_ghost(core, worker, message.f)
        core.refused_messages += 1
        outcome = "stale"
    core.tell(worker, wire.Done([(message.id, message.f, outcome)]), after_commit=True)


def _released(core: Core, worker: Worker, message: wire.Released) -> None:
    worker.has_ended(message.f)
    assignment = worker.held.get(message.id)
    if assignment is None or assignment.fence != message.f:
        _lay_ghost(core, worker, message.f)
        outcome = "stale"
    else:
        task = core.tasks[message.id]
        if message.ck is not None:
            task.checkpoint = message.ck
            core.save(task, whole=True)
        ending.hand_back(core, assignment, Outcome.RELEASED, ghost=False)
        outcome = "recorded"
    core.tell(worker, wire.Done([(message.id, message.f, outcome)]), after_commit=True)


def _heartbeat(core: Core, worker: Worker, message: wire.Heartbeat) -> None:
    if not worker.beats:
        worker.beats = True
        attendance.begin_watch(core, worker)
    stop, named = [], set()
    for task_id, fence in message.run:
        named.add(task_id)
        assignment = worker.held.get(task_id)
        if assignment is not None and assignment.fence == fence:
            ending.hear(core, assignment)
        else:
            stop.append((task_id, fence))
    for task_id, rev in message.rev.items():
        assignment = worker.held.get(task_id)
        if assignment is not None:
            assignment.rev_seen = max(assignment.rev_seen, rev)
    lost = [
        (assignment.task, assignment.fence)
        for assignment in worker.held.values()
        if assignment.task not in named
    ]
    for assignment in worker.held.values():
        if assignment.heard and assignment.rev_seen < assignment.rev_sent:
            core.tell(worker, update_message(core, core.tasks[assignment.task], assignment))
    worker.believe(message.free, {fence: task_id for task_id, fence in message.run})
    core.tell(worker, wire.HeartbeatAck(message.n, stop, lost))
    stand(core, worker)


def update_message(core: Core, task: Task, assignment: Assignment) -> wire.Update:
    """Return what a worker is told of a task that changed in its hands."""
    spec = task.spec
    left = max(0, spec.start_by - core.now.wall) if spec.start_by is not None else None
    return wire.Update(
        task.id,
        assignment.fence,
        task.rev,
        left_ms=left,
        timeout_ms=spec.timeout_ms,
        args=spec.args,
        prio=spec.priority,
    )


def _capacity(core: Core, worker: Worker, message: wire.Capacity) -> None:
    worker.cap = min(max(0, message.cap), attendance.MOST_SLOTS)
    worker.elsewhere = max(0, worker.cap - message.free - len(worker.held) - len(worker.ghosts))
    if message.q is not None:
        attendance.serve(core, worker, message.q)
    stand(core, worker)


def _bye(core: Core, worker: Worker, message: wire.Bye) -> None:
    attendance.say_goodbye(core, worker)


def _lay_ghost(core: Core, worker: Worker, fence: int) -> None:
    if worker.ghosts.pop(fence, None) is not None:
        stand(core, worker)


_HEARD: Final[Mapping[type[wire.UpMessage], Callable[[Core, Worker, Any], None]]] = {
    wire.Accept: _accept,
    wire.Reject: _reject,
    wire.ProgressReport: _progress,
    wire.Log: _log,
    wire.Checkpoint: _checkpoint,
    wire.Result: _result,
    wire.Released: _released,
    wire.Heartbeat: _heartbeat,
    wire.Capacity: _capacity,
    wire.Bye: _bye,
}
