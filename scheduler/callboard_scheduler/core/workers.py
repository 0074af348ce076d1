"""Workers as the scheduler sees them: what they can run, what they hold, and whether they live.

``gone`` workers are forgotten. A worker's free slots are counted here and never taken on trust
alone: what was sent and is not finished, what the worker runs though it was told to stop
(``ghosts``), and what it says is taken by others (``elsewhere``) all occupy one.

A heartbeat lists fences and says how many slots are taken, which may be fewer: what has ended is
listed until that is acknowledged. Which of them take the slots it does not say, so of what it
lists as many as it says are taken to do so for as long as they are not known to have ended.
"""

from __future__ import annotations

import enum
from typing import Any

from callboard_scheduler.records import Attempt, Spec


class WorkerState(enum.Enum):
    """What a worker is doing; the value is what the API and the feeds say."""

    IDLE = "idle"
    BUSY = "busy"
    FULL = "full"
    #: Its connection is gone, and it may come back to its tasks.
    SUSPECT = "suspect"
    DRAINING = "draining"


class Assignment:
    """A task in a worker's hands, or sent to it."""

    __slots__ = (
        "attempt",
        "fence",
        "heard",
        "heard_at",
        "lease_due",
        "lease_watched",
        "listed",
        "progress_s",
        "recovering",
        "rev_seen",
        "rev_sent",
        "sends",
        "stop_due",
        "task",
        "worker",
    )

    def __init__(self, task: str, fence: int, worker: str, attempt: Attempt, rev: int) -> None:
        self.task = task
        self.fence = fence
        self.worker = worker
        self.attempt = attempt
        #: Whether the worker has named it.
        self.heard = False
        #: When it first did, by the hearing clock.
        self.heard_at = 0
        #: By the hearing clock, in milliseconds; None for a worker that never beats.
        self.lease_due: int | None = None
        #: Whether a timer looks after it.
        self.lease_watched = False
        #: Whether the worker's last list has it.
        self.listed = False
        self.sends = 1
        self.rev_sent = rev
        self.rev_seen = rev
        #: The highest ``s`` of a progress report.
        self.progress_s = -1
        self.stop_due: int | None = None
        #: From before a restart, and not claimed yet.
        self.recovering = False


class Worker:
    """One worker that has said hello."""

    __slots__ = (
        "beats",
        "boot",
        "cap",
        "connected",
        "draining",
        "elsewhere",
        "fitting",
        "ghosts",
        "held",
        "hold_is_own",
        "hold_until",
        "host",
        "id",
        "internal",
        "joined_at",
        "labels",
        "last_heard",
        "listed",
        "names",
        "pool",
        "queues",
        "reported",
        "resume",
        "sdk",
        "session",
        "taken",
        "unknown",
    )

    def __init__(self, worker_id: str, boot: str) -> None:
        self.id = worker_id
        self.boot = boot
        #: Unlike that of any other hello that was welcomed: tells whose timers are whose.
        self.session = 0
        self.cap = 1
        self.queues: tuple[str, ...] = ()
        self.names: frozenset[str] | None = None
        #: Names that it turned out not to know.
        self.unknown: set[str] = set()
        self.labels: dict[str, Any] = {}
        self.sdk = ""
        self.host = ""
        self.pool = ""
        self.resume = False
        #: Whether it sends heartbeats: then silence is death.
        self.beats = False
        self.connected = True
        self.draining = False
        #: By the hearing clock; no new task before.
        self.hold_until = 0
        #: Whether it asked for that itself: then hearing from it does not end it.
        self.hold_is_own = False
        self.last_heard = 0
        self.joined_at = 0
        self.held: dict[str, Assignment] = {}
        #: Fences that it runs, or may run, though they are not its any more.
        self.ghosts: dict[int, str] = {}
        #: How many of those held its last list has.
        self.listed = 0
        #: How many slots these and the ghosts take at most, and how many others do.
        self.taken = 0
        self.elsewhere = 0
        #: Fences of which it has said that they ended, as long as it goes on listing them.
        self.reported: set[int] = set()
        #: Whether the scheduler itself runs its tasks, as those that publish events.
        self.internal = False
        #: Lane to whether this worker can run what is in it.
        self.fitting: dict[Any, bool] = {}

    @property
    def free(self) -> int:
        """Slots that a task can be sent to."""
        free = self.cap - len(self.held) - self.elsewhere
        if self.ghosts:
            listed = self.listed
            free -= max(0, min(self.taken, listed + len(self.ghosts)) - listed)
        return max(0, free)

    def believe(self, free: int, claims: dict[int, str]) -> None:
        """Take its word for how many slots are free while these claims, by fence, are its list."""
        taken = max(0, self.cap - free)
        self.listed = 0
        for assignment in self.held.values():
            assignment.listed = assignment.fence in claims
            self.listed += assignment.listed
        held = {assignment.fence for assignment in self.held.values()}
        self.ghosts = {
            fence: task
            for fence, task in claims.items()
            if fence not in held and fence not in self.reported
        }
        self.reported &= claims.keys()
        self.taken = min(taken, self.listed + len(self.ghosts))
        self.elsewhere = taken - self.taken

    def give_up(self, assignment: Assignment, *, ghost: bool) -> None:
        """Let an assignment be its no more, but for its slot if it may still run."""
        if self.held.pop(assignment.task, None) is None:
            return
        if ghost:
            self.ghosts[assignment.fence] = assignment.task
        if assignment.listed:
            self.listed -= 1
        elif ghost:
            self.taken += 1

    def has_ended(self, fence: int) -> None:
        """Note that it has said so itself; not of one that never says what it still has."""
        if self.beats:
            self.reported.add(fence)

    @property
    def state(self) -> WorkerState:
        """What it is doing."""
        if not self.connected:
            return WorkerState.SUSPECT
        if self.draining:
            return WorkerState.DRAINING
        if self.free == 0:
            return WorkerState.FULL
        return WorkerState.BUSY if self.held else WorkerState.IDLE

    def fits(self, spec: Spec) -> bool:
        """Whether it can run a task of this spec, wherever that is queued."""
        if self.names is not None and spec.name not in self.names:
            return False
        if spec.name in self.unknown:
            return False
        target = spec.target
        if target is None:
            return True
        if target.worker is not None and target.worker != self.id:
            return False
        return all(
            name in self.labels and _matches(self.labels[name], wanted)
            for name, wanted in (target.labels or {}).items()
        )


def _matches(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)
