"""How a scheduler goes on after a crash, with what was on the disk and what workers still hold."""

from __future__ import annotations

from typing import Any

import pytest

from callboard_scheduler import wire
from callboard_scheduler.core.attendance import MOST_SLOTS
from callboard_scheduler.records import Raw
from callboard_scheduler.transports import OWN
from scheduler.core_world import Hand, World


@pytest.fixture
def world() -> World:
    return World()


def forgotten(world: World, worker: Hand, **spec: Any) -> str:
    """A task that a worker was given, of which the disk does not know that it was."""
    world.pause()
    task = world.submit(**spec)
    disk = world.image.copy()
    world.resume()
    assert worker.given(task)
    world.image = disk
    world.restart()
    world.resume()
    assert world.state(task) == "ready"
    return task


def claims(worker: Hand, *tasks: str) -> list[str]:
    """Let it say hello with these claims; return what is said of each."""
    worker.hello(run=[(task, worker.fence(task)) for task in tasks], free=0)
    return worker.verdicts()


def test_what_nobody_held_runs_at_once(world: World) -> None:
    task = world.submit()
    later = world.submit(run_at=world.wall + 1_000)
    expiring = world.submit(queue="other", start_by=world.wall + 500)
    world.restart()
    assert world.worker().tasks() == [task]
    world.passes(1_000)
    assert world.states(later, expiring) == ["ready", "expired"]


def test_what_was_due_while_nobody_was_there_is_due(world: World) -> None:
    task = world.submit(run_at=world.wall + 1_000)
    late = world.submit(start_by=world.wall + 1_000)
    waiting = world.submit(after=(late,))
    world.mono += 5_000
    world.wall += 5_000
    world.restart()
    assert world.states(task, late, waiting) == ["ready", "expired", "cancelled"]


def test_a_worker_that_still_runs_a_task_goes_on(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.restart()
    worker.beats(task)
    assert claims(worker, task) == ["go"]
    worker.succeeds(task)
    assert world.state(task) == "succeeded"
    assert world.outcomes(task) == ["succeeded"]


def test_its_result_counts_behind_its_hello_though_it_claims_nothing(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.restart()
    worker.hello(run=[])
    worker.succeeds(task)
    assert world.state(task) == "succeeded"


def test_what_a_worker_that_came_back_does_not_claim_is_lost_after_a_second(world: World) -> None:
    worker = world.worker(cap=2)
    heard, unheard = world.submit(), world.submit()
    worker.accepts(heard)
    world.restart()
    worker.hello(run=[], cap=0)
    world.passes(999)
    assert world.states(heard, unheard) == ["running", "assigned"]
    world.passes(1)
    assert world.states(heard, unheard) == ["ready", "ready"]
    assert (world.task(heard).losses, world.task(unheard).losses) == (1, 0)


def test_what_nobody_comes_back_to_is_lost_after_a_lease(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.restart()
    world.passes(9_999)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "ready"
    assert world.core.workers == {}


def test_a_second_crash_before_anybody_came_back_changes_nothing(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.restart()
    world.restart()
    assert claims(worker, task) == ["go"]


def test_one_that_was_to_stop_is_to_stop(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    world.restart()
    assert claims(worker, task) == ["stop"]
    world.passes(1_500)
    assert world.state(task) == "cancelled"


def test_a_time_out_counts_from_the_restart(world: World) -> None:
    worker = world.worker()
    task = world.submit(timeout_ms=5_000)
    worker.accepts(task)
    world.passes(4_000)
    world.restart()
    claims(worker, task)
    world.passes(4_999)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "stopping"


def test_fences_grow_over_restarts(world: World) -> None:
    worker = world.worker(cap=9)
    task = world.submit()
    fences = [worker.fence(task)]
    for _ in range(3):
        worker.leaves()
        world.restart()
        world.passes(OWN.lease_ms)
        worker.hello()
        worker.accepts(task)
        fences.append(worker.fence(task))
    assert fences == sorted(set(fences))
    assert all(fence < 2**53 for fence in fences)


# Assignments that the crash made the scheduler forget


def test_a_forgotten_assignment_goes_on(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    assert claims(worker, task) == ["go"]
    assert world.state(task) == "running"
    assert (world.task(task).fence, world.task(task).attempt) == (worker.fence(task), 1)
    worker.succeeds(task)
    assert world.outcomes(task) == ["succeeded"]


def test_its_result_counts_without_a_claim(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    world.pause()
    worker.hello(run=[])
    worker.succeeds(task)
    assert (world.state(task), worker.done()) == ("succeeded", ["recorded"])


def test_it_has_a_lease_as_any_other(world: World) -> None:
    worker = world.worker(cap=2)
    task = forgotten(world, worker)
    claims(worker, task)
    for _ in range(4):
        world.passes(3_000)
        worker.beats(free=0)
    assert world.state(task) == "ready"


def test_it_times_out_as_any_other(world: World) -> None:
    worker = world.worker(hb=False)
    task = forgotten(world, worker, timeout_ms=5_000)
    claims(worker, task)
    world.passes(5_000)
    assert world.state(task) == "stopping"


def test_one_that_was_given_to_another_since_is_to_stop(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    other = world.worker("other")
    assert other.tasks() == [task]
    assert claims(worker, task) == ["stop"]
    worker.succeeds(task)
    assert (world.state(task), worker.done()) == ("assigned", ["stale"])


def test_of_two_forgotten_assignments_the_first_that_is_claimed_goes_on(world: World) -> None:
    first = world.worker("first")
    world.pause()
    task = world.submit()
    disk = world.image.copy()
    world.resume()
    assert first.given(task)
    first.leaves()
    second = world.worker("second")
    assert second.given(task)
    world.image = disk
    world.restart()
    world.resume()
    assert claims(first, task) == ["go"]
    assert claims(second, task) == ["stop"]
    second.succeeds(task)
    assert world.task(task).worker == "first"


def test_one_that_was_put_off_since_is_to_stop(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    world.update(task, run_at=world.wall + 60_000)
    assert claims(worker, task) == ["stop"]
    assert world.state(task) == "scheduled"


def test_one_whose_limit_is_full_since_is_to_stop(world: World) -> None:
    worker = world.worker("w1")
    world.pause()
    task = world.submit(limit_key="db")
    disk = world.image.copy()
    world.resume()
    assert worker.given(task)
    world.image = disk
    world.restart()
    world.move(task, "w1")
    world.resume()
    world.submit(limit_key="db")
    world.worker("w2")
    assert claims(worker, task) == ["stop"]
    assert world.core.limits["db"].held == 1


def test_one_that_the_worker_may_not_run_any_more_is_to_stop(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    world.move(task, "another")
    assert claims(worker, task) == ["stop"]


def test_the_worker_is_told_what_was_changed_since(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    world.update(task, args=Raw(b"[2]"))
    claims(worker, task)
    worker.beats(task)
    assert [bytes(each.args or b"") for each in worker.took(wire.Update)] == [b"[2]"]


def test_a_fence_that_was_never_given_is_not_a_forgotten_one(world: World) -> None:
    worker = world.worker(names=["work"], cap=0)
    task = world.submit()
    for fence in (1, 2**33 - 1, 2**33 + 5, 2**40):
        worker.succeeds(task, fence=fence)
    assert world.state(task) == "ready"
    assert worker.done() == ["stale"] * 4


def test_a_cancel_is_not_undone_by_what_was_forgotten(world: World) -> None:
    worker = world.worker()
    task = forgotten(world, worker)
    world.cancel(task)
    assert claims(worker, task) == ["stop"]
    worker.succeeds(task)
    assert world.state(task) == "cancelled"


def test_a_worker_that_is_waited_for_counts_as_silent_from_the_restart_on(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.passes(500)
    world.restart()
    assert world.core.workers["w1"].last_heard == world.core.hearing


def test_nobody_is_believed_to_have_any_number_of_slots(world: World) -> None:
    worker = world.worker(cap=10**9, free=10**9)
    assert world.core.workers["w1"].cap == MOST_SLOTS
    worker.says(wire.Capacity(10**9, 10**9))
    assert world.core.workers["w1"].cap == MOST_SLOTS
