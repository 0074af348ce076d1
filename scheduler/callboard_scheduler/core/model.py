"""The core's whole state, and the few operations that every rule is made of.

:meth:`Core.move` is the only place where a task changes its state: it holds the move to the table
and keeps what is derived from states (how much waits, how many of a limit key are held, who
depends on whom) true in the same moment. What becomes possible by a move is noted, and done at
the end of the step by :mod:`assigning`.
"""

from __future__ import annotations

import copy
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from callboard_scheduler.core.actions import Action, Announce, Answer, Tell, Turn
from callboard_scheduler.core.instant import Instant
from callboard_scheduler.core.queues import Limit, Queue, Ready
from callboard_scheduler.core.timers import Due, Timers
from callboard_scheduler.core.workers import Assignment, Worker
from callboard_scheduler.records import Attempt, Failure, Outcome, Schedule, Spec, Task
from callboard_scheduler.states import HELD, TERMINAL, WAITING, State, Trigger, check
from callboard_scheduler.stores import AttemptSaved, Change, TaskSaved
from callboard_scheduler.transports import Profile
from callboard_scheduler.wire import DownMessage

#: Fences of one term are below those of the next; both fit a double's 53 bits.
FENCES_PER_TERM: Final = 2**33
#: How many finished tasks are remembered, to answer repeated results.
_FINISHED_KEPT: Final = 10_000


class Handover(NamedTuple):
    """A task that has lost its worker, until another has it."""

    worker: str
    fence: int
    why: str
    #: By the monotonic clock.
    since: int


class Ended(NamedTuple):
    """How a task that is not live any more has ended."""

    state: State
    gen: int


class Core:
    """One app's tasks, queues, workers and schedules."""

    def __init__(
        self, app: str, profile: Profile, *, term: int, max_backlog: int = 1_000_000
    ) -> None:
        self.app = app
        self.profile = profile
        self.term = term
        #: Waiting tasks that one queue takes before submits are refused.
        self.max_backlog = max_backlog
        self.seq = 0
        self.tasks: dict[str, Task] = {}
        self.assignments: dict[str, Assignment] = {}
        self.workers: dict[str, Worker] = {}
        self.queues: dict[str, Queue] = {}
        self.limits: dict[str, Limit] = {}
        self.schedules: dict[str, Schedule] = {}
        self.ready = Ready()
        self.timers = Timers()
        #: Unique key to the live task that has it.
        self.unique: dict[str, str] = {}
        #: Blocked task to the tasks it waits for, and the reverse.
        self.blockers: dict[str, set[str]] = {}
        #: Not a set, whose order would not be the same in every process.
        self.dependents: dict[str, dict[str, None]] = {}
        self.handovers: dict[str, Handover] = {}
        #: Task to how many workers in a row were lost before they said a word of it.
        self.unheard: dict[str, int] = {}
        #: Schedule to its ticks' tasks that are not finished.
        self.ticks: dict[str, dict[str, Task]] = {}
        self.finished: OrderedDict[str, Ended] = OrderedDict()
        self.refused_messages = 0
        #: While the store does not take what is decided, nothing new is given out.
        self.suspended = False
        # Of the current step
        self.now = Instant(0, 0)
        self.hearing = 0
        #: Tasks that became ready, workers and limits that may have room.
        self.offered: dict[str, None] = {}
        self.freed: dict[str, None] = {}
        self.loosened: dict[str, None] = {}
        self._dirty: dict[str, tuple[Task, bool]] = {}
        self._changes: list[Change] = []
        self._actions: list[Action] = []
        #: Tasks that have ended, each with one that waited for it and has not been told.
        self._ended: deque[tuple[Task, str]] = deque()
        self._telling = False
        self._fence = 0
        self._said = 0
        self._session = 0

    # A step

    def begin(self, now: Instant) -> None:
        """Begin a step at this moment."""
        self.now = now
        self.hearing = self.timers.hearing(now)

    def finish(self) -> Turn:
        """End the step: return what it leads to."""
        changes = self._changes
        for task, whole in self._dirty.values():
            changes.append(TaskSaved(self.app, copy.copy(task), whole))
        turn = Turn(changes, self._actions)
        self._dirty, self._changes, self._actions = {}, [], []
        return turn

    # What a step leads to

    def save(self, task: Task, *, whole: bool = False) -> None:
        """Have the task stored as it is at the end of the step."""
        known = self._dirty.get(task.id)
        self._dirty[task.id] = (task, whole or (known is not None and known[1]))

    def change(self, change: Change) -> None:
        """Have something else stored."""
        self._changes.append(change)

    def tell(self, worker: Worker, message: DownMessage, *, after_commit: bool = False) -> None:
        """Send a message to a worker."""
        self._actions.append(Tell(worker.id, message, after_commit))

    def answer(self, ticket: int, value: Any, *, after_commit: bool = False) -> None:
        """Answer a request."""
        self._actions.append(Answer(ticket, value, after_commit))

    def act(self, action: Action) -> None:
        """Have something else done."""
        self._actions.append(action)

    def announce(
        self, task: Task, event: str, data: Mapping[str, Any], *, after_commit: bool = False
    ) -> None:
        """Publish an event on the task's feed, in order with what was published before."""
        self._said += 1
        s = self.term * FENCES_PER_TERM + self._said
        self._actions.append(
            Announce(task.id, event, {"id": task.id, **data, "s": s}, after_commit)
        )

    def announce_state(self, task: Task, *, after_commit: bool = False) -> None:
        """Publish the task's state, or its result once it is finished and that is on the disk."""
        finished = task.state in TERMINAL
        event = "result" if finished else "state"
        self.announce(task, event, summary(task), after_commit=after_commit or finished)

    def next_fence(self) -> int:
        """Return a fence above all that were ever given out."""
        self._fence += 1
        return self.term * FENCES_PER_TERM + self._fence

    def next_session(self) -> int:
        """Return a number that no session of any worker had before in this term."""
        self._session += 1
        return self._session

    # Places

    def queue(self, name: str) -> Queue:
        """Return the queue of this name, made if it is new."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name)
        return queue

    def tidy(self, queue: Queue) -> None:
        """Forget a queue that nothing is left of."""
        if queue.vacant:
            self.queues.pop(queue.name, None)

    # Moves

    def move(self, task: Task, trigger: Trigger, after: State) -> None:
        """Change a task's state, and everything that follows from states."""
        before = task.state
        check(before, trigger, after)
        task.state = after
        if before is State.READY:
            self.ready.void(task.id)
        self._count(task, before, after)
        if after in TERMINAL:
            self._retire(task)
        self.save(task)

    def enter(self, task: Task, state: State) -> None:
        """Take in a new task, which begins its life in this state."""
        check(None, Trigger.SUBMIT, state)
        task.state = state
        self.adopt(task)

    def adopt(self, task: Task) -> None:
        """Take in a live task that is new to the core, in the state that it has."""
        self.tasks[task.id] = task
        self._count(task, None, task.state)
        if task.spec.unique_key is not None:
            self.unique[task.spec.unique_key] = task.id
        if task.spec.schedule is not None:
            self.ticks.setdefault(task.spec.schedule, {})[task.id] = task

    def place(self, task: Task, trigger: Trigger) -> None:
        """Let a task wait for its time, or for a worker if that has come."""
        if task.run_at > self.now.wall:
            self.move(task, trigger, State.SCHEDULED)
            self.timers.at(task.run_at, Due.RUN_AT, task.id)
        else:
            self.move(task, trigger, State.READY)
            self.enqueue(task)
        self.watch_start(task)

    def watch_start(self, task: Task) -> None:
        """Let a waiting task expire once it must not be started any more."""
        start_by = task.spec.start_by
        if start_by is None:
            return
        if start_by <= self.now.wall:
            self.move(task, Trigger.EXPIRE, State.EXPIRED)
        else:
            self.timers.at(start_by, Due.START_BY, task.id)

    def enqueue(self, task: Task) -> None:
        """Put a ready task into its queue, in place of any entry it has there."""
        self.queue(task.spec.queue).put(task, self.ready)
        self.offered[task.id] = None

    def block(self, task_id: str, blockers: set[str]) -> None:
        """Let a task wait for others."""
        self.blockers[task_id] = blockers
        for blocker in blockers:
            self.dependents.setdefault(blocker, {})[task_id] = None

    def unblock(self, task_id: str) -> None:
        """Let a task wait for no others any more."""
        for blocker in self.blockers.pop(task_id, ()):
            dependents = self.dependents.get(blocker)
            if dependents is not None:
                dependents.pop(task_id, None)
                if not dependents:
                    del self.dependents[blocker]

    def close_attempt(
        self, assignment: Assignment, outcome: Outcome, error: Failure | None = None
    ) -> None:
        """Record how an attempt ended."""
        attempt = assignment.attempt
        attempt.ended_at = self.now.wall
        attempt.outcome = outcome
        attempt.error = error
        self.save_attempt(attempt)

    def save_attempt(self, attempt: Attempt) -> None:
        """Have an attempt stored as it is now."""
        self.change(AttemptSaved(self.app, copy.copy(attempt)))

    def respecify(self, task: Task, spec: Spec) -> None:
        """Give a task another spec, and what is counted by it another place."""
        self._count(task, task.state, None)
        self._give_up_key(task)
        task.spec = spec
        task.rev += 1
        self._count(task, None, task.state)
        if spec.unique_key is not None:
            self.unique[spec.unique_key] = task.id

    def _give_up_key(self, task: Task) -> None:
        key = task.spec.unique_key
        if key is not None and self.unique.get(key) == task.id:
            del self.unique[key]

    def _count(self, task: Task, before: State | None, after: State | None) -> None:
        spec = task.spec
        queue = self.queue(spec.queue)
        queue.count(before, after)
        if after not in WAITING:
            self.tidy(queue)
        held = after in HELD
        if spec.limit_key is not None:
            if (before in HELD) is not held:
                limit = self.limits.setdefault(spec.limit_key, Limit(self.ready))
                limit.held += 1 if held else -1
            if before is State.READY or (before in HELD and not held):
                self.loosened[spec.limit_key] = None

    def _retire(self, task: Task) -> None:
        """Forget a task that has finished, and let those go on that waited for it."""
        task.finished_at = self.now.wall
        self.save(task, whole=True)
        del self.tasks[task.id]
        self.handovers.pop(task.id, None)
        self.unheard.pop(task.id, None)
        if task.spec.schedule is not None:
            ticks = self.ticks[task.spec.schedule]
            del ticks[task.id]
            if not ticks:
                del self.ticks[task.spec.schedule]
        self.finished[task.id] = Ended(task.state, task.gen)
        if len(self.finished) > _FINISHED_KEPT:
            self.finished.popitem(last=False)
        self._give_up_key(task)
        self.unblock(task.id)
        self._ended.extend((task, each) for each in self.dependents.pop(task.id, ()))
        if self._telling:
            return
        # Not one within the other: a chain may be longer than the stack is deep.
        self._telling = True
        while self._ended:
            self._lose_blocker(*self._ended.popleft())
        self._telling = False

    def _lose_blocker(self, blocker: Task, dependent_id: str) -> None:
        dependent = self.tasks.get(dependent_id)
        blockers = self.blockers.get(dependent_id)
        if dependent is None or blockers is None:
            return
        blockers.discard(blocker.id)
        # What a schedule lets wait for its earlier tick only wants that one out of the way.
        wanted = blocker.id in dependent.spec.after
        if wanted and blocker.state is not State.SUCCEEDED:
            self.unblock(dependent.id)
            dependent.error = Failure(
                "DependencyFailed", f"task {blocker.id}, named in after, is {blocker.state.value}"
            )
            self.move(dependent, Trigger.DEPENDENCY_FAILED, State.CANCELLED)
            self.announce_state(dependent)
        elif not blockers:
            del self.blockers[dependent.id]
            self.place(dependent, Trigger.DEPENDENCIES_MET)
            self.announce_state(dependent)


def summary(task: Task) -> dict[str, Any]:
    """Return what a feed says of a task's state."""
    said: dict[str, Any] = {
        "name": task.spec.name,
        "queue": task.spec.queue,
        "state": task.state.value,
        "rev": task.rev,
        "attempt": task.attempt,
    }
    if task.worker is not None:
        said["worker"] = task.worker
    if task.state is State.SCHEDULED:
        said["run_at"] = task.run_at
    if task.progress is not None:
        said["progress"] = task.progress
    if task.result is not None:
        said["result"] = task.result
    if task.error is not None:
        said["error"] = task.error
    return said
