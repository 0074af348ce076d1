"""Schedules in the core: ticks become tasks, once each, and may find earlier ones unfinished."""

from __future__ import annotations

from typing import Any

import pytest

from callboard_scheduler.errors import NoSuchSchedule
from callboard_scheduler.records import Misfire, OnConflict, Overlap
from scheduler.core_world import BEGINNING, World


@pytest.fixture
def world() -> World:
    return World()


def tick(n: int, schedule: str = "s") -> str:
    """The id of the task of a tick, n milliseconds after the beginning."""
    return f"{schedule}.{BEGINNING + n}"


def test_each_tick_is_a_task_with_the_tick_in_its_id(world: World) -> None:
    world.put(every_ms=1_000)
    world.passes(3_500)
    assert world.ticks() == [1_000, 2_000, 3_000]
    task = world.task(tick(2_000))
    assert (task.spec.name, task.spec.schedule, task.spec.fire_at) == (
        "tick",
        "s",
        BEGINNING + 2_000,
    )
    schedule = world.core.schedules["s"]
    assert (schedule.last_task, schedule.next_at) == (tick(3_000), BEGINNING + 4_000)


def test_a_tick_can_be_an_event_to_publish(world: World) -> None:
    world.put(at=BEGINNING + 1_000, event={"name": "news", "channel": "c", "data": "x"})
    world.passes(1_000)
    spec = world.task(tick(1_000)).spec
    assert (spec.queue, spec.name) == ("callboard.events", "callboard.publish")


def test_a_clock_set_back_fires_no_tick_twice(world: World) -> None:
    world.put(every_ms=1_000)
    world.passes(2_000)
    world.jumps(-1_500)
    world.passes(1_500)
    assert world.ticks() == [1_000, 2_000]
    world.passes(1_000)
    assert world.ticks() == [1_000, 2_000, 3_000]


@pytest.mark.parametrize(
    ("misfire", "fired"),
    [
        (Misfire.ALL, [10_000, 20_000, 30_000, 40_000]),
        (Misfire.LATEST, [10_000, 40_000]),
        (Misfire.SKIP, [10_000]),
    ],
)
def test_missed_ticks_fire_as_the_schedule_says(
    world: World, misfire: Misfire, fired: list[int]
) -> None:
    world.put(every_ms=10_000, misfire=misfire)
    world.passes(10_000)
    world.jumps(35_500)
    assert world.ticks() == fired


def test_after_a_restart_ticks_go_on_where_they_were(world: World) -> None:
    world.put(every_ms=1_000, misfire=Misfire.ALL)
    world.passes(2_000)
    world.mono += 2_000
    world.wall += 2_000
    world.restart()
    world.passes(1_000)
    assert world.ticks() == [1_000, 2_000, 3_000, 4_000, 5_000]


def test_a_tick_that_has_run_does_not_run_again_after_a_restart(world: World) -> None:
    worker = world.worker()
    world.put(at=BEGINNING + 1_000)
    world.passes(1_000)
    worker.succeeds(tick(1_000))
    world.restart()
    world.passes(1_000)
    assert (world.state(tick(1_000)), world.task(tick(1_000)).attempt) == ("succeeded", 1)


def test_a_paused_schedule_fires_nothing_and_misses_nothing(world: World) -> None:
    world.put(every_ms=1_000)
    world.put(every_ms=1_000, paused=True)
    world.passes(5_000)
    world.put(every_ms=1_000)
    world.passes(1_000)
    assert world.ticks() == [6_000]


def test_a_schedule_that_is_put_again_goes_on_with_its_count(world: World) -> None:
    assert world.put(every_ms=1_000).rev == 1
    world.passes(500)
    assert world.put(every_ms=1_000, task={"name": "other"}).rev == 2
    world.passes(500)
    assert world.task(tick(1_000)).spec.name == "other"


def test_another_time_holds_at_once(world: World) -> None:
    world.put(every_ms=60_000)
    world.passes(500)
    world.put(every_ms=1_000)
    world.passes(1_000)
    assert world.ticks() == [1_500]


def test_a_dropped_schedule_fires_nothing_and_its_tasks_stay(world: World) -> None:
    world.put(every_ms=1_000)
    world.passes(1_000)
    world.drop()
    world.passes(5_000)
    assert world.ticks() == [1_000]
    assert world.state(tick(1_000)) == "ready"
    with pytest.raises(NoSuchSchedule):
        world.drop()


def test_one_that_is_put_again_after_a_drop_does_not_fire_its_tick_again(world: World) -> None:
    worker = world.worker()
    world.put(at=BEGINNING + 1_000)
    world.passes(1_000)
    worker.succeeds(tick(1_000))
    world.drop()
    world.put(at=BEGINNING + 1_000)
    world.passes(1_000)
    assert world.state(tick(1_000)) == "succeeded"
    assert worker.tasks() == [tick(1_000)]


# Overlaps


def overlapping(world: World, overlap: Overlap, **fields: Any) -> None:
    """Two ticks, the first of which a worker has begun."""
    world.put(every_ms=1_000, overlap=overlap, **fields)
    worker = world.worker(cap=5)
    world.passes(1_000)
    worker.accepts(tick(1_000))
    world.passes(1_000)


def test_ticks_may_overlap(world: World) -> None:
    overlapping(world, Overlap.ALLOW)
    assert world.states(tick(1_000), tick(2_000)) == ["running", "assigned"]


def test_a_tick_can_be_skipped_while_an_earlier_one_runs(world: World) -> None:
    overlapping(world, Overlap.SKIP)
    assert world.ticks() == [1_000]
    world.workers["w1"].succeeds(tick(1_000))
    world.passes(1_000)
    assert world.ticks() == [1_000, 3_000]


def test_one_tick_can_wait_while_an_earlier_one_runs(world: World) -> None:
    overlapping(world, Overlap.QUEUE)
    world.passes(1_000)
    assert world.ticks() == [1_000, 2_000]
    assert world.state(tick(2_000)) == "blocked"
    world.workers["w1"].fails(tick(1_000), retry=False)
    # However the earlier one ended.
    assert world.state(tick(2_000)) == "assigned"


def test_a_waiting_tick_still_waits_after_an_update_and_a_restart(world: World) -> None:
    overlapping(world, Overlap.QUEUE)
    world.update(tick(2_000), priority=5)
    assert world.state(tick(2_000)) == "blocked"
    world.restart()
    assert world.state(tick(2_000)) == "blocked"
    world.cancel(tick(1_000))
    world.passes(1_500)
    assert world.state(tick(2_000)) == "ready"


def test_a_tick_can_cancel_the_earlier_one(world: World) -> None:
    overlapping(world, Overlap.CANCEL)
    assert world.states(tick(1_000), tick(2_000)) == ["stopping", "assigned"]
    world.workers["w1"].releases(tick(1_000))
    assert world.state(tick(1_000)) == "cancelled"


def test_a_tick_cancels_an_earlier_one_that_is_being_moved(world: World) -> None:
    world.put(every_ms=1_000, overlap=Overlap.CANCEL)
    worker = world.worker(cap=5)
    world.passes(1_000)
    worker.accepts(tick(1_000))
    world.move(tick(1_000), "elsewhere")
    world.passes(1_000)
    worker.releases(tick(1_000))
    assert world.state(tick(1_000)) == "cancelled"


def test_a_tick_whose_key_a_live_task_has_is_skipped(world: World) -> None:
    world.put(every_ms=1_000, task={"name": "tick", "unique_key": "k"})
    world.submit(unique_key="k")
    world.passes(1_000)
    assert world.ticks() == []


def test_a_tick_that_was_replaced_is_still_the_schedule_s(world: World) -> None:
    world.put(every_ms=1_000, overlap=Overlap.SKIP, task={"name": "tick", "unique_key": "k"})
    world.passes(1_000)
    assert world.submit(OnConflict.REPLACE, unique_key="k") == tick(1_000)
    world.passes(1_000)
    assert world.ticks() == [1_000]
    world.cancel(tick(1_000))
    world.passes(1_000)
    assert world.ticks() == [1_000, 3_000]


def test_ticks_stop_where_the_backlog_is_full() -> None:
    world = World(max_backlog=3)
    world.put(every_ms=1_000)
    world.passes(10_000)
    assert world.ticks() == [1_000, 2_000, 3_000]
    world.worker()
    world.passes(1_000)
    assert world.ticks() == [1_000, 2_000, 3_000, 11_000]


def test_a_tick_waits_for_what_its_task_comes_after(world: World) -> None:
    first = world.submit()
    world.put(at=BEGINNING + 1_000, task={"name": "tick", "after": [first]})
    world.passes(1_000)
    assert world.state(tick(1_000)) == "blocked"


def test_many_lives_of_a_schedule_leave_no_timers(world: World) -> None:
    for _ in range(2_000):
        world.put(every_ms=86_400_000)
        world.drop()
    assert len(world.core.timers) < 1_100
