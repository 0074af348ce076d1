"""Who is there: hello, farewell, silence, and what happens to the tasks of those who go.

A worker's connection is watched by the transport, its life by the lease: whichever ends first.
Two processes of one id hear one another's messages, so the second is only welcomed once the
first is gone or silent.
"""

from __future__ import annotations

from typing import Final

from callboard_scheduler import wire
from callboard_scheduler.core import claims, ending
from callboard_scheduler.core.actions import CutOff
from callboard_scheduler.core.assigning import assign_message, stand
from callboard_scheduler.core.events import Left
from callboard_scheduler.core.model import Core
from callboard_scheduler.core.timers import Due
from callboard_scheduler.core.workers import Assignment, Worker
from callboard_scheduler.records import OnDisconnect, Outcome, StopReason
from callboard_scheduler.states import State

#: How long a worker's finished results may take to arrive behind its hello.
_CLAIM_MS: Final = 1_000
#: What one worker may say it can run at once.
MOST_SLOTS: Final = 10_000
#: What no worker but the scheduler's own may serve begins so.
OWN_QUEUES: Final = "callboard."


def greet(core: Core, worker_id: str, boot: str, hello: wire.Hello) -> None:
    """Welcome a worker, or one that is back, and say of each claim whether it goes on."""
    worker = core.workers.get(worker_id)
    if worker is not None and worker.boot != boot and not _replaceable(core, worker):
        why = f"another process is worker {worker_id}; give this one an id of its own"
        core.tell(Worker(worker_id, boot), wire.Refused(why, boot))
        return
    if hello.w != worker_id:
        why = f"this is the channel of worker {worker_id}, not of {hello.w[:100]}"
        core.tell(Worker(worker_id, boot), wire.Refused(why, boot))
        return
    fresh = worker is None or worker.boot != boot
    if worker is None:
        worker = core.workers[worker_id] = Worker(worker_id, boot)
        worker.joined_at = core.now.wall
    _introduce(core, worker, boot, hello)
    verdicts = [(task, f, _verdict(core, worker, task, f)) for task, f in hello.run]
    worker.believe(hello.free, {f: task for task, f in hello.run})
    profile = core.profile
    core.tell(
        worker,
        wire.Welcome(
            sid=f"{core.term}.{worker.session}",
            boot=boot,
            hb_ms=profile.hb_ms,
            lease_ms=profile.lease_ms,
            grace_ms=profile.grace_ms,
            lim=profile.limits,
            run=verdicts,
            now=core.now.wall,
        ),
    )
    _settle_unclaimed(core, worker, {f for _, f in hello.run}, fresh=fresh)
    stand(core, worker)
    if worker.beats:
        begin_watch(core, worker)


def enlist(core: Core, worker_id: str, queue: str, name: str, slots: int) -> None:
    """Count the scheduler itself among the workers, for tasks that it runs."""
    before = core.workers.get(worker_id)
    if before is not None:
        # It ended with the process that it was part of.
        forget(core, before)
    worker = core.workers[worker_id] = Worker(worker_id, worker_id)
    worker.internal = True
    worker.cap = slots
    worker.names = frozenset({name})
    worker.joined_at = core.now.wall
    serve(core, worker, [queue])
    stand(core, worker)


def _replaceable(core: Core, worker: Worker) -> bool:
    """Whether a new process may take the worker's place: the old one is gone, or seems to be.

    One that never beats may well be silent for as long as its task takes.
    """
    if worker.internal:
        return False
    silent = core.hearing - worker.last_heard > 2 * core.profile.hb_ms
    return not worker.connected or (silent and (worker.beats or not worker.held))


def _introduce(core: Core, worker: Worker, boot: str, hello: wire.Hello) -> None:
    if worker.boot != boot:
        worker.draining = False
        worker.reported = set()
    worker.boot = boot
    worker.session = core.next_session()
    worker.connected = True
    worker.hold_until = 0
    worker.last_heard = core.hearing
    worker.cap = min(max(0, hello.cap), MOST_SLOTS)
    worker.names = frozenset(hello.names) if hello.names is not None else None
    worker.unknown = set()
    worker.labels = hello.labels
    worker.sdk, worker.host, worker.pool = hello.sdk[:100], hello.host[:100], hello.pool
    worker.resume = hello.resume
    worker.beats = hello.hb
    worker.fitting = {}
    serve(core, worker, hello.q)


def serve(core: Core, worker: Worker, queues: list[str]) -> None:
    """Let the worker serve these queues and no others."""
    for name in worker.queues:
        queue = core.queue(name)
        queue.idle.pop(worker.id, None)
        queue.busy.pop(worker.id, None)
        core.tidy(queue)
    if not worker.internal:
        queues = [name for name in queues if not name.startswith(OWN_QUEUES)]
    worker.queues = tuple(dict.fromkeys(queues))


def _verdict(core: Core, worker: Worker, task_id: str, fence: int) -> str:
    """Say whether what the worker runs is still its task: ``go`` or ``stop``."""
    task = core.tasks.get(task_id)
    assignment = core.assignments.get(task_id)
    if assignment is not None and assignment.worker == worker.id and assignment.fence == fence:
        ending.hear(core, assignment)
        if task is not None and task.state is not State.STOPPING:
            return "go"
        return "stop"
    if task is not None and claims.holds_on(core, worker, task, fence):
        ending.remember(core, worker, task, fence)
        return "go"
    return "stop"


def _settle_unclaimed(core: Core, worker: Worker, claimed: set[int], *, fresh: bool) -> None:
    """Deal with what the books say the worker holds and it does not name."""
    for assignment in list(worker.held.values()):
        if assignment.fence in claimed:
            continue
        if assignment.recovering:
            # It may have finished, and the result be on its way.
            _shorten_lease(core, assignment, _CLAIM_MS)
        elif fresh:
            ending.lose(core, assignment, ghost=False)
        elif assignment.heard:
            # So it may; or this hello is older than the assignment, as a heartbeat will show.
            _shorten_lease(core, assignment, core.profile.hb_ms + _CLAIM_MS)
        else:
            say_again(core, worker, assignment)


def _shorten_lease(core: Core, assignment: Assignment, span_ms: int) -> None:
    due = core.hearing + span_ms
    if assignment.lease_due is None or due < assignment.lease_due:
        ending.watch_lease(core, assignment, due)


def say_again(core: Core, worker: Worker, assignment: Assignment) -> None:
    """Repeat what a worker was told of an assignment that it has not been heard of."""
    task = core.tasks[assignment.task]
    if task.state is State.STOPPING:
        ending.tell_to_stop(core, assignment, task.stop_reason or StopReason.CANCELLED)
    else:
        core.tell(worker, assign_message(core, task))


def leave(core: Core, event: Left) -> None:
    """Its connection is gone: give its tasks to others now, or when its grace is over."""
    worker = core.workers.get(event.worker)
    if worker is None or worker.internal or worker.boot != event.boot:
        return
    worker.connected = False
    stand(core, worker)
    kept = False
    for assignment in list(worker.held.values()):
        policy = core.tasks[assignment.task].spec.on_disconnect
        if policy is OnDisconnect.LEASE or (
            event.lost and (policy is OnDisconnect.GRACE or (_auto(policy) and worker.resume))
        ):
            kept = True
        else:
            ending.lose(core, assignment, ghost=False)
    if kept:
        due = core.hearing + core.profile.grace_ms
        core.timers.after(due, Due.GRACE, worker.id, worker.session)
    else:
        forget(core, worker)


def _auto(policy: OnDisconnect) -> bool:
    return policy is OnDisconnect.AUTO


def grace_over(core: Core, worker_id: str, session: int) -> None:
    """Whoever has not come back by now has lost the tasks that waited for it."""
    worker = core.workers.get(worker_id)
    if worker is None or worker.session != session or worker.connected:
        return
    for assignment in list(worker.held.values()):
        if core.tasks[assignment.task].spec.on_disconnect is not OnDisconnect.LEASE:
            ending.lose(core, assignment, ghost=False)
    if not worker.held:
        forget(core, worker)


def forget(core: Core, worker: Worker) -> None:
    """The worker is gone, and whatever it still holds is lost."""
    worker.connected = False
    stand(core, worker)
    if core.workers.get(worker.id) is worker:
        del core.workers[worker.id]
    for assignment in list(worker.held.values()):
        ending.lose(core, assignment, ghost=False)


def say_goodbye(core: Core, worker: Worker) -> None:
    """The worker leaves by its own will: what it has goes back, with nothing held against it."""
    worker.connected = False
    for assignment in list(worker.held.values()):
        ending.hand_back(core, assignment, Outcome.RELEASED, ghost=False)
    forget(core, worker)


def begin_watch(core: Core, worker: Worker) -> None:
    """The worker has begun to beat: from now on silence is death, and leases run out."""
    watch_silence(core, worker)
    for assignment in worker.held.values():
        if assignment.heard:
            if assignment.lease_due is None:
                assignment.lease_due = core.hearing + core.profile.lease_ms
            ending.watch_lease(core, assignment)


def watch_silence(core: Core, worker: Worker) -> None:
    """Look after a lease whether a worker that beats was heard meanwhile."""
    due = worker.last_heard + core.profile.lease_ms
    core.timers.after(due, Due.SILENCE, worker.id, worker.session)


def silence(core: Core, worker_id: str, session: int) -> None:
    """A worker that beats may have been silent for a whole lease: then it is gone."""
    worker = core.workers.get(worker_id)
    if worker is None or worker.session != session or not worker.beats:
        return
    if core.hearing - worker.last_heard < core.profile.lease_ms:
        watch_silence(core, worker)
        return
    if worker.connected:
        # Frozen, not gone: if it thaws it has to say hello, and hears what to stop.
        core.act(CutOff(worker.id))
    forget(core, worker)


def hold(core: Core, worker: Worker, span_ms: int, *, own: bool = False) -> None:
    """Give a worker no new task for a while, at its ``own`` wish or because it does not answer."""
    until = core.hearing + span_ms
    if worker.hold_until > until and worker.hold_is_own:
        return
    worker.hold_until = until
    worker.hold_is_own = own
    stand(core, worker)
    core.timers.after(worker.hold_until, Due.HOLD, worker.id, worker.session)


def unanswered(core: Core, assignment: Assignment) -> None:
    """An assignment was not heard of in time: send it again, or give it to somebody else."""
    worker = core.workers.get(assignment.worker)
    if assignment.heard:
        ending.watch_lease(core, assignment)
        return
    if worker is None:
        return
    task = core.tasks[assignment.task]
    if assignment.sends < core.profile.sends and worker.connected:
        assignment.sends += 1
        say_again(core, worker, assignment)
        due = core.hearing + core.profile.accept_ms
        core.timers.after(due, Due.ACCEPT, task.id, assignment.fence)
        return
    hold(core, worker, 5 * core.profile.accept_ms)
    # It may run all the same, as its next heartbeat will say. Who sends none never would.
    ghost = worker.beats
    ending.hand_back(core, assignment, Outcome.UNANSWERED, ghost=ghost, blame=True)
