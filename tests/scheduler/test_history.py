"""What is said of a task's past: how it ended, what became of each attempt, what is used up."""

from __future__ import annotations

from typing import Any

import pytest

from callboard_scheduler.history import history
from callboard_scheduler.records import Attempt, Failure, Outcome, Retry, Spec, Task
from callboard_scheduler.states import TERMINAL, State
from callboard_scheduler.stores import StoredTask


def said(
    *attempts: Attempt, state: State = State.READY, spec: Spec | None = None, **fields: Any
) -> list[str]:
    task = Task("t1", spec or Spec("report"), state, seq=1, created_at=0, **fields)
    return history(StoredTask(task, attempts))


def attempt(n: int, outcome: Outcome | None, **fields: Any) -> Attempt:
    return Attempt("t1", n, n, f"w{n}", 1_000, outcome=outcome, **fields)


def test_of_a_task_that_nobody_has_had_there_is_nothing_to_say() -> None:
    assert said() == []


def test_why_it_ran_twice_stands_in_its_attempts() -> None:
    lost = attempt(1, Outcome.LOST, started_at=1_000, ended_at=3_500)
    assert said(lost, attempt(2, None), state=State.RUNNING, losses=1) == [
        "attempt 1, on worker w1, was lost with it after 2.5 s",
        "its worker was lost once, of 3 allowed",
    ]


def test_one_loss_more_than_allowed_is_told_as_such() -> None:
    assert said(losses=4)[-1] == "its worker was lost 4 times, more than the 3 allowed"


def test_a_failure_is_told_with_its_error() -> None:
    error = Failure("ValueError", "no such file")
    failed = attempt(1, Outcome.FAILED, started_at=0, ended_at=40, error=error)
    spec = Spec("report", retry=Retry(max_attempts=1))
    told = said(failed, state=State.DEAD, spec=spec, failures=1, error=error)
    assert told == [
        "it is dead: it is not tried again: ValueError: no such file",
        "attempt 1, on worker w1, failed after 0.0 s: ValueError: no such file",
        "1 of 1 tries have failed",
    ]
    assert said(attempt(1, Outcome.FAILED, error=Failure("Timeout"))) == [
        "attempt 1, on worker w1, failed: Timeout"
    ]


def test_a_task_that_was_begun_anew_says_so() -> None:
    assert said(gen=2) == ["it was begun anew after its end once"]
    assert said(gen=4) == ["it was begun anew after its end 3 times"]


def test_a_clock_that_was_set_back_makes_no_attempt_take_less_than_nothing() -> None:
    back = attempt(1, Outcome.RELEASED, started_at=5_000, ended_at=1_000)
    assert said(back) == ["attempt 1, on worker w1, was given back by it after 0.0 s"]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_words(outcome: Outcome) -> None:
    [told] = said(attempt(1, outcome))
    assert told.startswith("attempt 1, on worker w1, ")


@pytest.mark.parametrize("state", State)
def test_every_end_has_its_words(state: State) -> None:
    assert len(said(state=state)) == (state in TERMINAL)
