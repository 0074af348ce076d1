"""How attempts end: results, failures and tries, being stopped, running out of time, being late."""

from __future__ import annotations

from typing import Any

import pytest

from callboard_scheduler import wire
from callboard_scheduler.core.ending import backoff_ms
from callboard_scheduler.records import Retry
from scheduler.core_world import World

AT_ONCE = Retry(initial_ms=0)


@pytest.fixture
def world() -> World:
    return World()


def text(raw: Any) -> str:
    return bytes(raw).decode()


# Results


def test_a_result_ends_a_task_and_is_stored_with_it(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    worker.succeeds(task, {"n": 1})
    stored = world.stored(task)
    assert (stored.state.value, text(stored.result)) == ("succeeded", '{"n":1}')
    assert stored.finished_at == world.wall
    assert world.outcomes(task) == ["succeeded"]
    assert worker.done() == ["recorded"]
    assert world.heard_of(task) == ["ready", "assigned", "running", "succeeded"]


def test_a_result_is_acknowledged_and_shown_only_once_it_is_on_the_disk(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.succeeds(task)
    held_back = [type(each).__name__ for each in world.turn.actions if each.after_commit]  # type: ignore[attr-defined]
    assert held_back == ["Announce", "Tell"]


def test_a_result_without_an_accept_is_both(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.succeeds(task)
    assert world.state(task) == "succeeded"
    assert world.attempts(task)[0].started_at == world.wall


def test_a_repeated_result_changes_nothing_and_is_acknowledged_again(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.succeeds(task, 1)
    worker.succeeds(task, 2)
    assert text(world.stored(task).result) == "1"
    assert worker.done() == ["recorded", "stale"]


def test_a_result_clears_what_an_earlier_try_failed_with(world: World) -> None:
    worker = world.worker()
    task = world.submit(retry=AT_ONCE)
    worker.fails(task)
    assert world.task(task).error is not None
    worker.succeeds(task)
    assert world.stored(task).error is None


# Failures


def test_a_failed_task_is_tried_again_after_a_pause(world: World) -> None:
    worker = world.worker()
    task = world.submit(retry=Retry(max_attempts=3, initial_ms=1_000, factor=3, jitter=0))
    worker.fails(task)
    assert world.state(task) == "scheduled"
    world.passes(999)
    assert world.state(task) == "scheduled"
    world.passes(1)
    worker.fails(task)
    world.passes(2_999)
    assert world.state(task) == "scheduled"
    world.passes(1)
    assert world.state(task) == "assigned"
    worker.fails(task, "Third")
    stored = world.stored(task)
    assert (stored.state.value, stored.failures) == ("dead", 3)
    assert stored.error is not None and stored.error.type == "Third"
    assert world.outcomes(task) == ["failed"] * 3


def test_a_worker_can_say_that_another_try_is_no_use(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.fails(task, retry=False)
    assert world.state(task) == "dead"


def test_a_worker_can_say_when_to_try_again(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.fails(task, after_ms=5_432)
    assert world.task(task).run_at == world.wall + 5_432
    world.passes(5_432)
    worker.fails(task, after_ms=-5)
    assert world.state(task) == "assigned"


def test_the_pause_is_left_to_chance_but_the_same_each_time_it_is_worked_out() -> None:
    retry = Retry(initial_ms=1_000, factor=2, max_ms=300_000, jitter=1.0)
    pauses = [backoff_ms(retry, failures, "a task") for failures in range(1, 12)]
    assert pauses == [backoff_ms(retry, failures, "a task") for failures in range(1, 12)]
    for n, pause in enumerate(pauses):
        assert 0 <= pause <= min(300_000, 1_000 * 2**n)
    assert len(set(pauses)) > 8
    assert pauses != [backoff_ms(retry, failures, "another") for failures in range(1, 12)]


def test_no_number_of_failures_is_too_many_to_work_out_the_pause() -> None:
    assert backoff_ms(Retry(factor=100, max_ms=5_000, jitter=0), 100_000, "a task") == 5_000


def test_a_share_of_the_pause_can_be_certain() -> None:
    retry = Retry(initial_ms=1_000, factor=1, jitter=0.25)
    pauses = [backoff_ms(retry, 1, f"task {n}") for n in range(200)]
    assert 750 <= min(pauses) < 800
    assert 950 < max(pauses) <= 1_000


# Stopping


def test_a_cancelled_task_has_its_worker_told_and_ends_when_that_has_stopped(
    world: World,
) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    assert world.cancel(task).state.value == "stopping"
    assert worker.revoked() == ["cancelled"]
    worker.releases(task, checkpoint={"done": 3})
    assert world.state(task) == "cancelled"
    assert text(world.stored(task).checkpoint) == '{"done":3}'
    assert world.outcomes(task) == ["cancelled"]
    assert worker.done() == ["recorded"]


def test_a_failure_while_it_is_cancelled_is_how_it_stopped(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    worker.fails(task, "CancelledError")
    assert world.state(task) == "cancelled"
    assert world.stored(task).failures == 0
    assert worker.done() == ["recorded"]


def test_a_result_while_it_is_cancelled_is_a_result(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    worker.succeeds(task, 7)
    assert world.state(task) == "succeeded"
    assert world.stored(task).stop_reason is None


def test_one_that_does_not_stop_is_taken_to_have_stopped_within_two_seconds(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    world.passes(1_499)
    assert world.state(task) == "stopping"
    world.passes(1)
    assert world.state(task) == "cancelled"
    # Whatever it goes on with still has the slot.
    assert world.core.workers["w1"].free == 0


def test_one_that_was_not_heard_of_is_told_to_stop_and_not_to_start(world: World) -> None:
    """The first assignment may have been lost, and the word to stop as well."""
    worker = world.worker()
    task = world.submit()
    worker.tasks()
    world.cancel(task)
    world.passes(1_000)
    assert worker.tasks() == []
    assert worker.revoked() == ["cancelled"] * 3
    worker.hello(run=[])
    assert worker.tasks() == []
    assert worker.revoked() == ["cancelled"]
    world.passes(500)
    assert world.state(task) == "cancelled"
    assert worker.tasks() == []


def test_a_rejected_task_that_was_cancelled_is_cancelled(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    world.cancel(task)
    worker.rejects(task)
    assert world.state(task) == "cancelled"


def test_a_worker_that_is_lost_while_it_stops_has_stopped(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    worker.leaves()
    assert world.state(task) == "cancelled"
    assert world.stored(task).losses == 0


def test_a_task_that_a_worker_gives_back_unasked_runs_elsewhere(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    other = world.worker("other")
    worker.releases(task, checkpoint=[1])
    assert text(world.task(task).checkpoint) == "[1]"
    assert worker.done() == ["recorded"]
    assert world.outcomes(task)[0] == "released"
    assert other.tasks() == [task]


def test_a_repeated_release_changes_nothing(world: World) -> None:
    worker = world.worker(cap=1)
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    worker.releases(task)
    worker.releases(task)
    assert worker.done() == ["recorded", "stale"]


# Time-outs


def test_a_task_that_runs_too_long_is_stopped_and_has_failed(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=5_000, retry=Retry(max_attempts=2, initial_ms=0))
    world.passes(400)
    worker.accepts(task)
    world.passes(4_999)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "stopping"
    assert worker.revoked() == ["timeout"]
    worker.releases(task)
    assert world.state(task) == "assigned"
    error = world.task(task).error
    assert error is not None and error.type == "Timeout"
    assert world.task(task).failures == 1
    worker.accepts(task)
    world.passes(6_500)
    assert world.state(task) == "dead"
    assert world.outcomes(task) == ["timeout", "timeout"]


def test_a_failure_while_it_is_stopped_for_its_time_counts_as_the_failure(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=1_000, retry=Retry(max_attempts=1))
    worker.accepts(task)
    world.passes(1_000)
    worker.fails(task, "TimeoutError")
    stored = world.stored(task)
    assert (stored.state.value, stored.failures) == ("dead", 1)
    assert stored.error is not None and stored.error.type == "TimeoutError"


def test_the_time_counts_from_when_it_started_and_not_from_when_it_was_sent(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=1_000)
    world.passes(900)
    worker.accepts(task)
    world.passes(999)
    assert world.state(task) == "running"


def test_a_time_out_that_is_made_longer_counts_anew(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=1_000)
    worker.accepts(task)
    world.passes(900)
    world.update(task, timeout_ms=3_000)
    assert worker.took(wire.Update)[0].timeout_ms == 3_000
    world.passes(2_099)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "stopping"


def test_a_time_out_that_is_taken_away_does_not_come(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=1_000)
    worker.accepts(task)
    world.update(task, timeout_ms=None)
    world.passes(5_000)
    assert world.state(task) == "running"


def test_one_that_is_made_shorter_than_what_has_passed_comes_at_once(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit()
    worker.accepts(task)
    world.passes(5_000)
    world.update(task, timeout_ms=1_000)
    world.passes(1)
    assert world.state(task) == "stopping"


def test_cancelling_one_that_is_stopped_for_its_time_cancels_it(world: World) -> None:
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=1_000)
    worker.accepts(task)
    world.passes(1_000)
    world.cancel(task)
    assert worker.revoked() == ["timeout", "cancelled"]
    worker.releases(task)
    assert world.state(task) == "cancelled"


# Late results


def lost(world: World, **spec: Any) -> tuple[str, Any]:
    """A task whose worker stayed silent for its whole lease while it ran, and that worker."""
    worker = world.worker("old")
    task = world.submit(**spec)
    worker.accepts(task)
    world.passes(10_000)
    assert world.state(task) == "ready"
    assert world.cut_off == ["old"]
    return task, worker


def test_a_late_result_counts_while_nobody_else_has_the_task(world: World) -> None:
    task, old = lost(world)
    old.hello(run=[(task, old.fence(task))], free=0)
    assert old.verdicts() == ["stop"]
    old.succeeds(task, "late")
    assert world.state(task) == "succeeded"
    assert old.done() == ["recorded"]


def test_a_late_result_counts_while_the_next_worker_was_not_heard_of(world: World) -> None:
    task, old = lost(world)
    new = world.worker("new")
    assert new.tasks() == [task]
    old.hello(run=[(task, old.fence(task))], free=0)
    old.succeeds(task, "late")
    assert world.state(task) == "succeeded"
    assert new.revoked() == ["superseded"]
    assert world.outcomes(task) == ["lost", "superseded"]
    new.succeeds(task, "too late")
    assert text(world.stored(task).result) == '"late"'
    assert new.done() == ["stale"]


def test_a_late_result_does_not_count_once_the_next_worker_was_heard_of(world: World) -> None:
    task, old = lost(world)
    new = world.worker("new")
    new.accepts(task)
    old.hello(run=[(task, old.fence(task))], free=0)
    old.succeeds(task, "late")
    assert (world.state(task), old.done()) == ("running", ["stale"])
    new.succeeds(task, "in time")
    assert text(world.stored(task).result) == '"in time"'


def test_a_late_result_of_another_worker_than_the_last_does_not_count(world: World) -> None:
    task, old = lost(world)
    thief = world.worker("thief", names=[])
    thief.succeeds(task, fence=old.fence(task))
    assert (world.state(task), thief.done()) == ("ready", ["stale"])


def test_a_late_failure_does_not_count(world: World) -> None:
    task, old = lost(world)
    old.hello(run=[], cap=0)
    old.fails(task)
    assert (world.state(task), old.done()) == ("ready", ["stale"])
    assert world.task(task).failures == 0


def test_only_the_last_lost_assignment_has_a_late_result(world: World) -> None:
    task, old = lost(world)
    new = world.worker("new")
    new.accepts(task)
    new.leaves()
    old.hello(run=[], cap=0)
    old.succeeds(task)
    assert (world.state(task), old.done()) == ("ready", ["stale"])


def test_a_result_of_one_that_was_never_answered_for_counts(world: World) -> None:
    """It has accepted, and every word of it was lost."""
    worker = world.worker()
    task = world.submit()
    world.passes(1_500)
    assert world.state(task) == "ready"
    worker.succeeds(task)
    assert world.state(task) == "succeeded"


def test_a_late_result_counts_for_a_task_that_waits_for_its_time(world: World) -> None:
    task, old = lost(world)
    world.update(task, run_at=world.wall + 60_000)
    assert world.state(task) == "scheduled"
    old.hello(run=[], cap=0)
    old.succeeds(task)
    assert world.state(task) == "succeeded"


def test_a_late_result_does_not_undo_a_cancel(world: World) -> None:
    task, old = lost(world)
    world.cancel(task)
    old.hello(run=[], cap=0)
    old.succeeds(task)
    assert (world.state(task), old.done()) == ("cancelled", ["stale"])


def test_a_late_result_does_not_undo_a_cancel_of_the_next_worker_s(world: World) -> None:
    task, old = lost(world)
    new = world.worker("new")
    assert new.tasks() == [task]
    world.cancel(task)
    old.hello(run=[], cap=0)
    old.succeeds(task)
    assert (world.state(task), old.done()) == ("stopping", ["stale"])


def test_a_worker_cannot_ask_for_a_try_beyond_all_time(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    worker.fails(task, after_ms=10**30)
    assert world.state(task) == "scheduled"
    assert world.stored(task).run_at - world.wall == 3_653 * 86_400_000
