"""One assignment in this worker's hands: its stages as a table, and what is to be said of it.

1. Progress is merged: what was not sent yet is replaced by what is newer, and two reports of one
   assignment are at least ``prog_ms`` apart. The last one goes out ahead of the result.
2. A checkpoint replaces the one before; it is said again in each new session, for nothing
   acknowledges it.
3. ``accept`` waits a moment where the last function of that name was done at once: the result
   that follows implies it. Before the function begins there is none: the scheduler gives what it
   does not hear of to another worker.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from callboard_scheduler.records import Raw
from callboard_scheduler.wire import Accept, Assign, Checkpoint, ProgressReport


class Stage(enum.Enum):
    #: Handed on, but nothing has taken it yet: nobody is told that it is here.
    GIVEN = "given"
    RUNNING = "running"
    #: Told to stop, and not ended yet.
    STOPPING = "stopping"
    #: Reported as released although the function goes on: it only holds its slot.
    ABANDONED = "abandoned"
    OVER = "over"


class Step(enum.Enum):
    #: Its function begins.
    BEGIN = "begin"
    STOP = "stop"
    #: It has had long enough to stop.
    OVERDUE = "overdue"
    #: The function has really ended.
    END = "end"


#: What is not in a stage's row leaves the stage as it is.
STAGES: Final[Mapping[Stage, Mapping[Step, Stage]]] = {
    Stage.GIVEN: {
        Step.BEGIN: Stage.RUNNING,
        Step.STOP: Stage.STOPPING,
        Step.END: Stage.OVER,
    },
    Stage.RUNNING: {Step.STOP: Stage.STOPPING, Step.END: Stage.OVER},
    Stage.STOPPING: {Step.OVERDUE: Stage.ABANDONED, Step.END: Stage.OVER},
    Stage.ABANDONED: {Step.END: Stage.OVER},
    Stage.OVER: {},
}


class Assignment:
    """What the session knows of one assignment; times are seconds."""

    __slots__ = (
        "_checkpoint_unsaid",
        "_next_progress",
        "_progress",
        "_said",
        "accept_at",
        "checkpoint",
        "fence",
        "name",
        "progress_seconds",
        "rev",
        "stage",
        "started_at",
        "stop_by",
        "task_id",
    )

    def __init__(self, given: Assign, now: float) -> None:
        self.task_id = given.id
        self.fence = given.f
        self.name = given.name
        self.rev = given.rev
        self.stage = Stage.GIVEN
        self.started_at = now
        self.progress_seconds = given.prog_ms / 1000
        #: When ``accept`` is to be sent, None before it begins and once it is sent or implied.
        self.accept_at: float | None = None
        #: When it is abandoned, None unless it was told to stop.
        self.stop_by: float | None = None
        self.checkpoint: Raw | None = None
        self._checkpoint_unsaid = False
        self._progress: ProgressReport | None = None
        self._next_progress = now
        self._said = 0

    def step(self, step: Step) -> bool:
        """Move on; True if that changed the stage."""
        before = self.stage
        self.stage = STAGES[before].get(step, before)
        return self.stage is not before

    def number(self) -> int:
        """Return the next ``s``: reports of an assignment are in order by it."""
        self._said += 1
        return self._said

    def report(self, pct: float | None, msg: str | None, data: Raw | None) -> None:
        """Keep the newest progress until it may be sent."""
        self._progress = ProgressReport(self.task_id, self.fence, 0, pct, msg, data)

    def save(self, checkpoint: Raw) -> None:
        """Keep the newest checkpoint, to be sent at once."""
        self.checkpoint = checkpoint
        self._checkpoint_unsaid = True

    def unheard(self) -> None:
        """A connection was lost: what it should have carried may not have arrived."""
        self._checkpoint_unsaid = self.checkpoint is not None
        # The next hello lists it, which says the same.
        self.accept_at = None

    @property
    def due_at(self) -> float | None:
        """When :meth:`words` has something to say, None if nothing waits."""
        if self._checkpoint_unsaid:
            return 0.0
        if self._progress is None:
            return self.accept_at
        if self.accept_at is None:
            return self._next_progress
        return min(self._next_progress, self.accept_at)

    def words(
        self, now: float, *, last: bool = False
    ) -> list[Accept | Checkpoint | ProgressReport]:
        """Return what is to be sent now; with ``last``, all that waits but the accept."""
        words: list[Accept | Checkpoint | ProgressReport] = []
        if self.accept_at is not None and self.accept_at <= now and not last:
            words.append(Accept(self.task_id, self.fence))
        if self._checkpoint_unsaid:
            self._checkpoint_unsaid = False
            words.append(Checkpoint(self.task_id, self.fence, self.checkpoint))
        if self._progress is not None and (last or now >= self._next_progress):
            report, self._progress = self._progress, None
            report.s = self.number()
            self._next_progress = now + self.progress_seconds
            words.append(report)
        if words:
            # Any message with its fence says that it was accepted.
            self.accept_at = None
        return words
