"""Losing workers: connections that end, graces, leases that run out, silence, and deafness."""

from __future__ import annotations

from typing import Any

import pytest

from callboard_scheduler.core import events
from callboard_scheduler.core.ending import MOST_UNHEARD
from callboard_scheduler.core.workers import WorkerState
from callboard_scheduler.records import OnDisconnect
from scheduler.core_world import Hand, World


@pytest.fixture
def world() -> World:
    return World()


def running(world: World, worker: Hand, **spec: Any) -> str:
    task = world.submit(**spec)
    worker.accepts(task)
    assert world.state(task) == "running"
    return task


# Connections


def test_a_killed_worker_s_task_goes_to_another_at_once(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    other = world.worker("other")
    worker.leaves()
    assert other.tasks() == [task]
    assert world.task(task).losses == 1
    assert world.outcomes(task) == ["lost", None]
    (moved,) = [action.data for action in world.announced if action.event == "moved"]
    assert (moved["from"], moved["to"], moved["why"]) == ("w1", "other", "lost")


def test_a_task_that_nobody_lives_to_speak_of_is_dead_in_the_end(world: World) -> None:
    """As one whose result is too large for a message, which ends the connection each time."""
    task = world.submit()
    for number in range(MOST_UNHEARD - 1):
        world.worker(f"w{number}").leaves()
        assert (world.state(task), world.task(task).losses) == ("ready", 0)
    world.worker("last").leaves()
    assert world.state(task) == "dead"
    error = world.stored(task).error
    assert error is not None
    assert (error.type, error.msg[:23]) == ("WorkerLost", "10 workers in a row were"[:23])


def test_a_word_of_a_task_begins_the_count_anew(world: World) -> None:
    task = world.submit()
    for number in range(MOST_UNHEARD - 1):
        world.worker(f"w{number}").leaves()
    living = world.worker("living")
    living.accepts(task)
    living.leaves()
    world.worker("next").leaves()
    assert world.state(task) == "ready"


def test_the_feed_says_how_long_it_took_to_find_another(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    worker.leaves()
    world.passes(1_234)
    world.worker("other")
    (moved,) = [action.data["ms"] for action in world.announced if action.event == "moved"]
    assert moved == 1_234
    assert world.heard_of(task)[-3:] == ["ready", "moved", "assigned"]


def test_a_task_that_was_only_sent_is_not_blamed(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.leaves()
    assert (world.state(task), world.task(task).losses) == ("ready", 0)
    assert world.outcomes(task) == ["lost"]


def test_one_that_resumes_has_a_grace(world: World) -> None:
    worker = world.worker(resume=True)
    task = running(world, worker)
    worker.leaves()
    assert world.core.workers["w1"].state is WorkerState.SUSPECT
    world.passes(1_499)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "ready"
    assert world.core.workers == {}


def test_one_that_is_back_within_its_grace_keeps_its_task(world: World) -> None:
    worker = world.worker(resume=True)
    task = running(world, worker)
    worker.leaves()
    world.passes(1_000)
    worker.hello(run=[(task, worker.fence(task))], free=0)
    assert worker.verdicts() == ["go"]
    world.passes(8_000)
    assert (world.state(task), world.task(task).attempt) == ("running", 1)


def test_a_second_break_has_a_grace_of_its_own(world: World) -> None:
    worker = world.worker(resume=True)
    task = running(world, worker)
    worker.leaves()
    world.passes(1_000)
    worker.hello(run=[(task, worker.fence(task))], free=0)
    worker.leaves()
    world.passes(1_499)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "ready"


def test_a_grace_of_an_earlier_life_does_not_end_a_later_one(world: World) -> None:
    """The worker was forgotten in between, as it was not waited for any more."""
    worker = world.worker(resume=True)
    task = world.submit()
    worker.leaves()
    world.passes(1_000)
    assert (world.state(task), world.core.workers) == ("ready", {})
    worker.hello()
    worker.accepts(task)
    world.passes(300)
    worker.leaves()
    world.passes(1_000)
    assert world.state(task) == "running"


def test_one_that_is_gone_gets_nothing_until_it_is_back(world: World) -> None:
    worker = world.worker(resume=True, cap=2)
    running(world, worker)
    worker.leaves()
    task = world.submit()
    assert world.state(task) == "ready"
    worker.hello(run=[], free=2)
    assert world.state(task) == "assigned"


@pytest.mark.parametrize(
    ("policy", "resume", "lost", "survives_ms"),
    [
        (OnDisconnect.AUTO, False, True, 0),
        (OnDisconnect.AUTO, True, True, 1_499),
        (OnDisconnect.AUTO, True, False, 0),
        (OnDisconnect.NOW, True, True, 0),
        (OnDisconnect.GRACE, False, True, 1_499),
        (OnDisconnect.LEASE, False, True, 9_999),
        (OnDisconnect.LEASE, False, False, 9_999),
    ],
)
def test_a_task_can_say_when_it_counts_as_lost(
    world: World, policy: OnDisconnect, resume: bool, lost: bool, survives_ms: int
) -> None:
    worker = world.worker(resume=resume)
    task = running(world, worker, on_disconnect=policy)
    worker.leaves(lost=lost)
    world.passes(survives_ms)
    assert world.state(task) == ("running" if survives_ms else "ready")
    world.passes(1)
    assert world.state(task) == "ready"


def test_the_end_of_an_older_process_s_connection_is_not_that_of_the_newer(world: World) -> None:
    first = world.worker("w1", boot="first")
    world.passes(6_001)
    second = world.worker("w1", boot="second")
    task = running(world, second)
    first.leaves()
    assert world.state(task) == "running"


def test_a_task_that_loses_too_many_workers_is_dead(world: World) -> None:
    task = world.submit(max_losses=2)
    for n in range(3):
        worker = world.worker(f"w{n}")
        worker.accepts(task)
        worker.leaves()
    stored = world.stored(task)
    assert (stored.state.value, stored.losses, stored.failures) == ("dead", 3, 0)
    assert stored.error is not None and stored.error.type == "WorkerLost"
    assert "w2" in stored.error.msg


# Leases


def test_a_worker_that_is_silent_for_its_lease_is_gone(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    world.passes(9_999)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "ready"
    assert (world.cut_off, world.core.workers) == (["w1"], {})


def test_heartbeats_keep_it(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    for _ in range(20):
        world.passes(3_000)
        worker.beats(task)
    assert world.state(task) == "running"


def test_a_task_that_a_living_worker_does_not_list_is_lost_with_its_lease(world: World) -> None:
    worker = world.worker(cap=2)
    task, other = running(world, worker), running(world, worker)
    for _ in range(4):
        world.passes(3_000)
        worker.beats(other, free=0)
    assert world.states(task, other) == ["ready", "running"]
    assert worker.revoked() == ["lost"]
    # It may have come up again from a long sleep: until it says so the slot is not free.
    assert world.core.workers["w1"].free == 0


def test_one_that_never_beats_keeps_its_task_for_as_long_as_it_takes(world: World) -> None:
    worker = world.worker(hb=False)
    task = running(world, worker)
    world.passes(86_400_000)
    worker.succeeds(task)
    assert world.state(task) == "succeeded"


def test_leases_begin_with_the_first_heartbeat_though_none_was_announced(world: World) -> None:
    worker = world.worker(hb=False, cap=2)
    task, other = running(world, worker), running(world, worker)
    world.passes(60_000)
    worker.beats(task)
    for _ in range(4):
        world.passes(3_000)
        worker.beats(task, free=0)
    assert world.states(task, other) == ["running", "ready"]
    world.passes(10_000)
    assert world.state(task) == "ready"


def test_a_lease_survives_what_was_heard_just_before_its_end(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    world.passes(9_999)
    worker.beats(task)
    world.passes(9_999)
    assert world.state(task) == "running"


def test_one_that_wakes_up_is_told_what_is_not_its_any_more(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    world.passes(10_000)
    other = world.worker("other")
    other.accepts(task)
    worker.beats(task)
    worker.hello(run=[(task, worker.fence(task))], free=0)
    assert worker.verdicts() == ["stop"]
    assert world.task(task).worker == "other"
    assert world.core.workers["w1"].free == 0


# Deafness


def test_leases_stand_still_while_nobody_can_be_heard(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    world.passes(5_000)
    world.happen(events.Deaf(world.mono))
    world.passes(60_000)
    assert world.state(task) == "running"
    world.happen(events.Hearing())
    world.passes(4_999)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "ready"


def test_deafness_that_is_noticed_late_counts_from_its_beginning(world: World) -> None:
    """The loop stood still: what was due meanwhile is not due."""
    worker = world.worker()
    task = running(world, worker)
    world.passes(5_000)
    since = world.mono
    world.mono += 30_000
    world.wall += 30_000
    world.happen(events.Deaf(since))
    world.happen(events.Hearing())
    assert world.state(task) == "running"
    world.passes(4_999)
    assert world.state(task) == "running"
    world.passes(1)
    assert world.state(task) == "ready"


def test_graces_and_repeats_stand_still_too_and_times_of_day_do_not(world: World) -> None:
    worker = world.worker(resume=True, cap=2)
    kept = running(world, worker)
    later = world.submit(queue="other", run_at=world.wall + 30_000)
    worker.leaves()
    world.happen(events.Deaf(world.mono))
    world.passes(60_000)
    assert world.states(kept, later) == ["running", "ready"]
    world.happen(events.Hearing())
    world.passes(1_500)
    assert world.state(kept) == "ready"


def test_what_is_heard_while_the_store_stands_still_counts(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    world.happen(events.Deaf(world.mono))
    worker.succeeds(task)
    assert world.state(task) == "succeeded"
    world.happen(events.Hearing())
    world.happen(events.Hearing())


def test_to_be_deaf_twice_is_to_be_deaf_since_the_first_time(world: World) -> None:
    worker = world.worker()
    task = running(world, worker)
    world.happen(events.Deaf(world.mono))
    world.passes(1_000)
    world.happen(events.Deaf(world.mono))
    world.passes(20_000)
    world.happen(events.Hearing())
    world.passes(9_999)
    assert world.state(task) == "running"
