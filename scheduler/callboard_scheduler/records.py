"""Tasks, attempts and schedules: the records that core, store and API share.

Times are Unix milliseconds (``…_at``), spans milliseconds (``…_ms``); both are integers. Values
of users (arguments, results, progress data, checkpoints) are JSON text that is never decoded here.

What there is one of for each task is left out of garbage collection: nothing in it can refer back
to it, and a backlog would be walked through again and again.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import msgspec

from callboard_scheduler.states import State

Raw = msgspec.Raw
if TYPE_CHECKING:
    MaybeRaw = Raw | None
else:
    # As one type of several msgspec does not decode Raw; a default may be None all the same.
    MaybeRaw = Raw

DEFAULT_QUEUE = "default"
DEFAULT_NAMESPACE = "default"


class OnConflict(enum.Enum):
    """What a submit does when a live task has its unique key."""

    KEEP = "keep"
    REPLACE = "replace"
    ERROR = "error"


class OnDisconnect(enum.Enum):
    """When a task counts as lost after its worker's connection has ended."""

    #: At once, unless the worker has said that it resumes; then like ``grace``.
    AUTO = "auto"
    NOW = "now"
    GRACE = "grace"
    LEASE = "lease"


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """How often and when a failed task runs again.

    The wait before try ``n + 1`` is ``min(max_ms, initial_ms * factor ** (n - 1))``, of which a
    share ``jitter`` (0 to 1) is left to chance.
    """

    max_attempts: int = 3
    initial_ms: int = 1_000
    factor: float = 2.0
    max_ms: int = 300_000
    jitter: float = 1.0


DEFAULT_RETRY = Retry()


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Which workers may run a task: one by id, or all whose labels have these values."""

    worker: str | None = None
    #: Label to the value it must have, or to a list of values of which it must have one.
    labels: dict[str, Any] | None = None


class Spec(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What was asked for: replaced as a whole by an update, never changed by running."""

    name: str
    #: JSON text of an object (keyword arguments) or an array.
    args: Raw = Raw(b"{}")
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    run_at: int | None = None
    start_by: int | None = None
    timeout_ms: int | None = None
    retry: Retry = DEFAULT_RETRY
    unique_key: str | None = None
    target: Target | None = None
    after: tuple[str, ...] = ()
    limit_key: str | None = None
    limit: int = 1
    on_disconnect: OnDisconnect = OnDisconnect.AUTO
    max_losses: int = 3
    #: The schedule whose tick this is, and that tick's nominal time.
    schedule: str | None = None
    fire_at: int | None = None


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The last a worker said of how far it is; ``pct`` is 0 to 100."""

    pct: float | None = None
    msg: str | None = None
    data: MaybeRaw = None


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why a task or an attempt ended badly; ``type`` is an exception's name or one of ours."""

    type: str
    msg: str = ""


class StopReason(enum.Enum):
    """Why a worker is told to stop."""

    CANCELLED = "cancelled"
    MOVED = "moved"
    TIMEOUT = "timeout"
    #: The task is somebody else's by now.
    LOST = "lost"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Task(msgspec.Struct, gc=False):
    """A task as the core has it and as the store keeps it."""

    id: str
    spec: Spec
    state: State
    #: Order of arrival within the app; ties of priority are broken by it.
    seq: int
    created_at: int
    #: Grows with each update of the spec.
    rev: int = 1
    #: Grows with each requeue of a finished task.
    gen: int = 1
    #: When it may run: the spec's time, or later after a failure.
    run_at: int = 0
    #: Assignments so far, as people count them.
    attempt: int = 0
    #: Tries that failed, and workers that were lost while it ran.
    failures: int = 0
    losses: int = 0
    #: The current or last assignment: unique for ever, and growing.
    fence: int = 0
    #: The last assignment that was given up as lost.
    lost_fence: int = 0
    worker: str | None = None
    stop_reason: StopReason | None = None
    progress: Progress | None = None
    checkpoint: MaybeRaw = None
    result: MaybeRaw = None
    error: Failure | None = None
    started_at: int | None = None
    finished_at: int | None = None


class Outcome(enum.Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    UNANSWERED = "unanswered"
    LOST = "lost"
    RELEASED = "released"
    CANCELLED = "cancelled"
    MOVED = "moved"
    TIMEOUT = "timeout"
    SUPERSEDED = "superseded"


class Attempt(msgspec.Struct, omit_defaults=True, gc=False):
    """One assignment of a task: the answer to «why did it run twice?»."""

    task: str
    fence: int
    n: int
    worker: str
    assigned_at: int
    started_at: int | None = None
    ended_at: int | None = None
    outcome: Outcome | None = None
    error: Failure | None = None


class Misfire(enum.Enum):
    """What becomes of ticks that were missed while nobody was there to fire them."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(enum.Enum):
    """What a tick does while an earlier tick's task is not finished."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"


class Schedule(msgspec.Struct, omit_defaults=True):
    """When, and what: one of ``cron``, ``every_ms`` and ``at``, and one of ``task`` and ``event``.

    ``task`` is a submit body and ``event`` a trigger body, both JSON text that was validated.
    """

    id: str
    cron: str | None = None
    timezone: str = "UTC"
    every_ms: int | None = None
    at: int | None = None
    misfire: Misfire = Misfire.LATEST
    overlap: Overlap = Overlap.ALLOW
    jitter_ms: int = 0
    paused: bool = False
    task: MaybeRaw = None
    event: MaybeRaw = None
    rev: int = 1
    created_at: int = 0
    #: From where ``every_ms`` counts.
    anchor_at: int = 0
    #: The nominal time of the next tick (without jitter), None when there is none.
    next_at: int | None = None
    last_at: int | None = None
    last_task: str | None = None
