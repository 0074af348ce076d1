"""What has become of a task so far, in sentences for people: the answer to «why did it run twice?».

Why a live task is where it is, the core knows (:mod:`callboard_scheduler.core.reasons`); what has
happened to it stands in its record and its attempts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callboard_scheduler.records import Attempt, Failure, Outcome, Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import StoredTask

_ENDS: Final[Mapping[State, str]] = {
    State.SUCCEEDED: "it has succeeded",
    State.DEAD: "it is dead: it is not tried again",
    State.CANCELLED: "it was cancelled",
    State.EXPIRED: "it has expired: nobody had started it by its start_by",
}
_OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.REJECTED: "was rejected by it",
    Outcome.UNANSWERED: "was never answered by it",
    Outcome.LOST: "was lost with it",
    Outcome.RELEASED: "was given back by it",
    Outcome.CANCELLED: "was cancelled",
    Outcome.MOVED: "was moved away",
    Outcome.TIMEOUT: "took longer than its timeout_ms",
    Outcome.SUPERSEDED: "was stopped, as an earlier attempt had the result after all",
}


def history(stored: StoredTask) -> list[str]:
    """Return how a task ended if it has, and what became of each attempt, oldest first."""
    task = stored.task
    said = []
    if task.state in _ENDS:
        said.append(_ENDS[task.state] + _why(task.error))
    if task.gen > 1:
        said.append(f"it was begun anew after its end {_times(task.gen - 1)}")
    said += [_attempt(attempt) for attempt in stored.attempts if attempt.outcome is not None]
    if limits := _limits(task):
        said.append(limits)
    return said


def _attempt(attempt: Attempt) -> str:
    assert attempt.outcome is not None  # noqa: S101 - for the type checker
    text = f"attempt {attempt.n}, on worker {attempt.worker}, {_OUTCOMES[attempt.outcome]}"
    if attempt.started_at is not None and attempt.ended_at is not None:
        # Clocks may have been set meanwhile.
        text += f" after {max(0, attempt.ended_at - attempt.started_at) / 1000:.1f} s"
    return text + _why(attempt.error)


def _limits(task: Task) -> str:
    """Say how many of its tries and losses are used up, once one is."""
    used = []
    if task.failures:
        used.append(f"{task.failures} of {task.spec.retry.max_attempts} tries have failed")
    if task.losses:
        allowed = task.spec.max_losses
        more = f"more than the {allowed}" if task.losses > allowed else f"of {allowed}"
        used.append(f"its worker was lost {_times(task.losses)}, {more} allowed")
    return ", and ".join(used)


def _why(failure: Failure | None) -> str:
    if failure is None:
        return ""
    return f": {failure.type}" + (f": {failure.msg}" if failure.msg else "")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
