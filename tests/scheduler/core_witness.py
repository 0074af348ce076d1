"""What has been seen of a scheduler over all its crashes, and what must hold of it.

Always:

1. A generation of a task ends once.
2. No fence is given out twice, and those of a task grow.
3. Only the current assignment changes a task; a late result is the one exception.
4. A task takes no step that is not in the table (the core sees to that itself).
5. What has ended stays so until it is requeued.
6. Nothing starts before its time, after its ``start_by``, in a paused queue, or before what it
   comes after.
7. Whatever was acknowledged is on the disk after a crash.
8. Once an update is acknowledged nothing is sent as it was before.
9. Once a cancel is acknowledged nothing is sent at all.
10. A worker is never sent more than it has slots for, as far as the scheduler can know.
11. No more tasks of a limit key are held than the one that is given out allows.
12. Whoever is given out was first in order of all that the worker could run.
13. A loss is counted for a task that ran, one at a time, and never beyond ``max_losses``.
14. No lease ends before its span has passed in which the worker could be heard.
15. A tick is one task.
16. No worker changes what another has.
18. What is over leaves nothing behind.

In the end, if the network works and a worker stays:

19. Every task is given out, and every assignment is answered for.
20. Every task ends.
21. A ready task never waits beside a worker that could run it (:mod:`core_books`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callboard_scheduler import wire
from callboard_scheduler.core import Core, Instant, events
from callboard_scheduler.records import Attempt, Outcome, Task
from callboard_scheduler.states import HELD, TERMINAL, WAITING, State
from callboard_scheduler.stores import AttemptSaved, Change, TaskSaved
from callboard_scheduler.stores.memory import Image
from callboard_scheduler.transports import OWN

APP = "app"


@dataclass(frozen=True)
class Before:
    """The books before a step."""

    states: dict[str, tuple[State, int, str | None]]
    losses: dict[str, int]
    connected: frozenset[str]


class Witness:
    """Sees every commit, every answer and every assignment."""

    def __init__(self) -> None:
        #: Task and generation to how it ended, once that is on the disk.
        self.ends: dict[tuple[str, int], State] = {}
        self.seqs: dict[str, int] = {}
        #: Every fence that was ever sent, with its task and worker.
        self.fences: dict[int, tuple[str, str]] = {}
        self.highest: dict[str, int] = {}
        self.seen: set[int] = set()
        self.latest_wall = 0
        # Acknowledged
        self.submitted: set[str] = set()
        self.revs: dict[str, int] = {}
        self.cancelled: set[tuple[str, int]] = set()
        self.recorded: set[tuple[str, int]] = set()
        #: Fences that a worker's process runs or may run, as far as the scheduler can know.
        self.outstanding: dict[str, set[int]] = {}
        #: Workers whose last list is of another capacity than the one that was heard last.
        self.unsure: set[str] = set()
        #: Fences of which it was heard that they are over; an older list may still have them.
        self.over: set[int] = set()
        self.succeeded: set[str] = set()
        #: When each fence was named last, in time in which workers could be heard.
        self.named: dict[int, int] = {}
        self._deaf_since: int | None = None
        self._deaf_ms = 0

    # Hearing

    def hears(self, now: Instant, hearing: bool) -> None:
        """From now on workers can be heard, or not."""
        if not hearing and self._deaf_since is None:
            self._deaf_since = now.mono
        elif hearing and self._deaf_since is not None:
            self._deaf_ms += now.mono - self._deaf_since
            self._deaf_since = None

    def heard_ms(self, now: Instant) -> int:
        return (now.mono if self._deaf_since is None else self._deaf_since) - self._deaf_ms

    def lost_by_time(self, before: Before, changes: Sequence[Change], now: Instant) -> None:
        """Time has passed, and nothing else has happened."""
        for change in changes:
            if isinstance(change, AttemptSaved) and change.attempt.outcome is Outcome.LOST:
                attempt = change.attempt
                named = self.named.get(attempt.fence)
                if named is not None and attempt.worker in before.connected:
                    silence = self.heard_ms(now) - named
                    assert silence >= OWN.lease_ms, f"14: {attempt.task} after {silence} ms"

    # The disk

    def committed(self, changes: Sequence[Change], disk: Image) -> None:
        """These are on the disk now; ``disk`` is what was there before."""
        for change in changes:
            if isinstance(change, TaskSaved):
                self._committed(change.task, disk)

    def _committed(self, task: Task, disk: Image) -> None:
        seq = self.seqs.setdefault(task.id, task.seq)
        assert seq == task.seq, f"15: {task.id} is two tasks"
        stored = disk.task(APP, task.id)
        if stored is not None and stored.task.state in TERMINAL:
            assert task.gen == stored.task.gen + 1, f"5: {task.id} goes on after its end"
        if task.state in TERMINAL:
            end = (task.id, task.gen)
            assert end not in self.ends, f"1: {task.id} ends twice"
            self.ends[end] = task.state

    def restarted(self, core: Core, disk: Image) -> None:
        """A scheduler has begun with what is on the disk."""
        self.seen.clear()
        self.named.clear()
        self._deaf_since = None
        self.outstanding.clear()
        for task_id in self.submitted:
            known = core.tasks.get(task_id) or _stored(disk, task_id)
            assert known is not None, f"7: the submit of {task_id} was forgotten"
            assert known.rev >= self.revs.get(task_id, 1), (
                f"7: an update of {task_id} was forgotten"
            )
        for task_id, gen in self.cancelled:
            task = core.tasks.get(task_id) or _stored(disk, task_id)
            assert task is not None
            ended = task.gen > gen or task.state in TERMINAL or task.state is State.STOPPING
            assert ended, f"7: the cancel of {task_id} was forgotten"
        for task_id, fence in self.recorded:
            attempts = _attempts(disk, task_id)
            ended = any(each.fence == fence and each.outcome is not None for each in attempts)
            assert ended, f"7: the end of {task_id} under {fence} was forgotten"

    # Answers

    def done(self, done: wire.Done, image: Image) -> None:
        """A worker is told that its ends are recorded."""
        for task_id, fence, outcome in done.r:
            attempts = {each.fence for each in _attempts(image, task_id)}
            # Of a late result the attempt had ended before.
            if outcome == "recorded" and fence in attempts:
                self.recorded.add((task_id, fence))

    # Steps

    def before(self, core: Core, now: Instant) -> Before:
        self.latest_wall = max(self.latest_wall, now.wall)
        return Before(
            {task.id: (task.state, task.fence, task.worker) for task in core.tasks.values()},
            {task.id: task.losses for task in core.tasks.values()},
            frozenset(worker.id for worker in core.workers.values() if worker.connected),
        )

    def after(self, before: Before, core: Core, changes: Sequence[Change]) -> None:
        """A step has been made."""
        for change in changes:
            if not isinstance(change, TaskSaved):
                continue
            task = change.task
            if task.state is State.SUCCEEDED:
                self.succeeded.add(task.id)
            known = before.losses.get(task.id)
            if known is not None and task.losses > known:
                assert task.losses == known + 1, f"13: {task.id} lost two at once"
                assert before.states[task.id][0] is State.RUNNING, f"13: {task.id} was not running"
                assert task.losses <= task.spec.max_losses + 1, f"13: {task.id} goes on"

    def assigned(self, worker_id: str, given: wire.Assign, core: Core) -> None:
        """An assignment is sent, for the first time or once more."""
        task = core.tasks.get(given.id)
        assert (given.id, task.gen if task else 0) not in self.cancelled, f"9: {given.id}"
        assert given.rev >= self.revs.get(given.id, 1), f"8: {given.id} as it was before"
        known = self.fences.get(given.f)
        if known is not None:
            assert known == (given.id, worker_id), f"2: {given.f} is given out twice"
            return
        assert given.f > self.highest.get(given.id, 0), f"2: {given.id} has had a higher one"
        self.fences[given.f] = (given.id, worker_id)
        self.highest[given.id] = given.f

    def decided(self, worker_id: str, given: wire.Assign, core: Core, now: Instant) -> None:
        """A step has led to this assignment, for the first time or once more."""
        task = core.tasks.get(given.id)
        if given.f in self.seen or task is None or task.fence != given.f:
            # What was repeated may have come to an end in the same step.
            return
        self.seen.add(given.f)
        spec = task.spec
        assert task.run_at <= self.latest_wall, f"6: {task.id} starts before its time"
        assert spec.start_by is None or spec.start_by > now.wall, f"6: {task.id} starts too late"
        assert not core.queues[spec.queue].paused, f"6: {task.id} starts in a paused queue"
        waited_for = [each for each in spec.after if each in core.tasks]
        assert self.succeeded.issuperset(waited_for) or task.gen > 1, f"6: {task.id} should wait"
        if spec.limit_key is not None:
            held = [
                other
                for other in core.tasks.values()
                if other.spec.limit_key == spec.limit_key
                and other.state in HELD
                and other.fence <= given.f
            ]
            assert len(held) <= spec.limit, f"11: {spec.limit_key}"
        worker = core.workers[worker_id]
        outstanding = self.outstanding.setdefault(worker_id, set())
        outstanding.add(given.f)
        fits = len(outstanding) <= worker.cap or worker_id in self.unsure
        assert fits, f"10: {worker_id} has {outstanding}"
        better = [
            other.id
            for other in core.tasks.values()
            if other.state is State.READY
            and (-other.spec.priority, other.seq) < (-spec.priority, task.seq)
            and other.spec.queue in worker.queues
            and not core.queues[other.spec.queue].paused
            and worker.fits(other.spec)
            and not _limited(core, other)
        ]
        assert not better, f"12: {better} should have gone before {task.id}"

    # Workers

    def ended(self, worker_id: str, fence: int) -> None:
        """A worker has said that it does not run this any more."""
        self.outstanding.get(worker_id, set()).discard(fence)
        self.over.add(fence)

    def _note_named(self, heard: events.Heard, core: Core) -> None:
        """Renew what was named; what a hello leaves out is not owed a whole lease any more."""
        worker, message = core.workers.get(heard.worker), heard.message
        if worker is None or worker.boot != heard.boot:
            return
        fences = {each.fence for each in worker.held.values()}
        if isinstance(message, wire.Hello | wire.Heartbeat):
            named = {fence for _, fence in message.run}
        else:
            named = {getattr(message, "f", 0)}
        for fence in named & fences:
            self.named[fence] = self.heard_ms(core.now)
        if isinstance(message, wire.Hello):
            for fence in fences - named:
                self.named.pop(fence, None)

    def spoke(self, heard: events.Heard, before: Before, core: Core) -> None:
        """A word of a worker has been taken."""
        self._note_named(heard, core)
        worker_id, message = heard.worker, heard.message
        task_id, fence = getattr(message, "id", None), getattr(message, "f", None)
        if task_id is None or task_id not in before.states:
            return
        state, current, owner = before.states[task_id]
        if state in (State.RUNNING, State.STOPPING) and (owner, current) != (worker_id, fence):
            task = core.tasks.get(task_id)
            after = (task.state, task.fence, task.worker) if task is not None else None
            assert after == before.states[task_id], f"3, 16: {worker_id} has moved {task_id}"
        if state is State.ASSIGNED and (owner, current) != (worker_id, fence):
            task = core.tasks.get(task_id)
            assert task is None or task.state in HELD | WAITING
            if task is None and not isinstance(message, wire.Result):
                raise AssertionError(f"3: {task_id} was ended by {message}")


def _limited(core: Core, task: Task) -> bool:
    limit = core.limits.get(task.spec.limit_key or "")
    return task.spec.limit_key is not None and limit is not None and limit.held >= task.spec.limit


def _stored(disk: Image, task_id: str) -> Task | None:
    stored = disk.task(APP, task_id)
    return None if stored is None else stored.task


def _attempts(disk: Image, task_id: str) -> Sequence[Attempt]:
    stored = disk.task(APP, task_id)
    return () if stored is None else stored.attempts
