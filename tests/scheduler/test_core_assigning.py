"""Who gets what: idle before busy, best before first, and nobody waits beside a free slot."""

from __future__ import annotations

import pytest

from callboard_scheduler.core import events
from callboard_scheduler.records import Target
from scheduler.core_world import World


@pytest.fixture
def world() -> World:
    return World()


def test_a_task_goes_to_a_free_worker_in_the_step_that_submits_it(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    assert worker.tasks() == [task]
    assert world.state(task) == "assigned"


def test_a_task_waits_for_a_worker_and_goes_to_the_first_that_comes(world: World) -> None:
    task = world.submit()
    assert world.state(task) == "ready"
    assert world.worker().tasks() == [task]


def test_an_assignment_says_what_to_do_and_for_how_long(world: World) -> None:
    worker = world.worker()
    task = world.submit(name="thumbnail", priority=3, timeout_ms=9_000, start_by=world.wall + 5_000)
    given = worker.given(task)
    assert (given.name, given.att, given.prio) == ("thumbnail", 1, 3)
    assert (given.timeout_ms, given.left_ms, given.lease_ms) == (9_000, 5_000, 10_000)
    assert bytes(given.args or b"") == b"{}"


def test_an_idle_worker_is_preferred_to_a_busy_one(world: World) -> None:
    busy = world.worker("busy", cap=4)
    world.submit()
    idle = world.worker("idle")
    assert (len(busy.tasks()), len(idle.tasks())) == (1, 0)
    world.submit()
    assert (len(busy.tasks()), len(idle.tasks())) == (0, 1)


def test_of_idle_workers_the_one_that_is_idle_longest_comes_first(world: World) -> None:
    first, second = world.worker("first"), world.worker("second")
    task = world.submit()
    assert first.tasks() == [task]
    first.succeeds(task)
    assert [first.tasks(), second.tasks()] == [[], []]
    world.submit()
    assert (len(first.tasks()), len(second.tasks())) == (0, 1)


def test_of_busy_workers_the_least_loaded_comes_first(world: World) -> None:
    small, large = world.worker("small", cap=2), world.worker("large", cap=10)
    world.submit_all([world.new() for _ in range(2)])
    world.submit_all([world.new() for _ in range(4)])
    assert (len(small.tasks()), len(large.tasks())) == (1, 5)


def test_workers_that_become_free_together_share_what_waits(world: World) -> None:
    """A queue that is resumed must not fill one of them and leave the others idle."""
    workers = [world.worker(name, cap=4) for name in ("a", "b", "c", "d")]
    world.pause()
    world.submit_all([world.new() for _ in range(6)])
    world.resume()
    assert sorted(len(worker.tasks()) for worker in workers) == [1, 1, 2, 2]


def test_a_worker_that_comes_gets_all_it_has_room_for_and_not_only_what_is_new(
    world: World,
) -> None:
    old = world.worker("old", resume=True)
    running = world.submit()
    old.accepts(running)
    waiting = [world.submit() for _ in range(2)]
    new = world.worker("old", boot="another")
    assert new.tasks() == []
    old.leaves()
    new.hello(cap=3)
    assert new.tasks() == [running, *waiting]


def test_a_worker_gets_no_more_tasks_than_it_has_slots(world: World) -> None:
    worker = world.worker(cap=2)
    tasks = world.submit_all([world.new() for _ in range(5)])
    assert worker.tasks() == tasks[:2]
    worker.succeeds(tasks[1])
    assert worker.tasks() == [tasks[2]]


def test_a_worker_without_slots_gets_nothing(world: World) -> None:
    worker = world.worker(cap=0)
    world.submit()
    assert worker.tasks() == []


def test_the_highest_priority_goes_first_and_equals_in_order_of_arrival(world: World) -> None:
    worker = world.worker(cap=0)
    low, high, also_high, none = world.submit_all(
        [world.new(priority=priority) for priority in (-5, 7, 7, 0)]
    )
    worker.hello(cap=10)
    assert worker.tasks() == [high, also_high, none, low]


def test_order_holds_over_all_queues_and_names_that_a_worker_serves(world: World) -> None:
    worker = world.worker(cap=0, q=["a", "b"])
    tasks = [
        world.submit(queue=queue, name=name, priority=priority)
        for queue, name, priority in (("a", "x", 0), ("b", "y", 0), ("b", "x", 1), ("a", "y", 0))
    ]
    worker.hello(cap=10)
    assert worker.tasks() == [tasks[2], tasks[0], tasks[1], tasks[3]]


def test_a_task_nobody_can_run_stands_in_nobodys_way(world: World) -> None:
    stuck = world.submit(name="unknown to all", priority=100)
    task = world.submit()
    assert world.worker(names=["work"]).tasks() == [task]
    assert world.state(stuck) == "ready"


def test_a_worker_gets_only_tasks_of_its_queues_and_names(world: World) -> None:
    worker = world.worker(cap=10, q=["images"], names=["resize"])
    world.submit(queue="images", name="crop")
    world.submit(queue="texts", name="resize")
    assert worker.tasks() == []
    assert worker.tasks() == []
    task = world.submit(queue="images", name="resize")
    assert worker.tasks() == [task]


def test_a_task_for_one_worker_waits_for_that_one(world: World) -> None:
    other = world.worker("other")
    task = world.submit(target=Target(worker="mine"))
    assert other.tasks() == []
    assert world.worker("mine").tasks() == [task]


@pytest.mark.parametrize(
    ("labels", "wanted", "fits"),
    [
        ({"gpu": True}, {"gpu": True}, True),
        ({"gpu": False}, {"gpu": True}, False),
        ({}, {"gpu": True}, False),
        ({"zone": "eu", "gpu": 2}, {"zone": ["eu", "us"], "gpu": 2}, True),
        ({"zone": "asia", "gpu": 2}, {"zone": ["eu", "us"], "gpu": 2}, False),
        ({"zone": {"a": [1]}}, {"zone": "eu"}, False),
    ],
)
def test_labels_must_have_the_value_or_one_of_the_values(
    world: World, labels: dict[str, object], wanted: dict[str, object], fits: bool
) -> None:
    worker = world.worker(labels=labels)
    task = world.submit(target=Target(labels=wanted))
    assert worker.tasks() == ([task] if fits else [])


# Pauses


def test_a_paused_queue_gives_out_nothing_and_what_runs_goes_on(world: World) -> None:
    worker = world.worker(cap=2)
    running = world.submit()
    world.pause()
    waiting = world.submit()
    assert worker.tasks() == [running]
    worker.succeeds(running)
    assert world.states(running, waiting) == ["succeeded", "ready"]
    world.resume()
    assert worker.tasks() == [waiting]


def test_a_paused_queue_does_not_hold_back_another(world: World) -> None:
    worker = world.worker(q=["a", "b"])
    world.pause("a")
    world.submit(queue="a", priority=9)
    task = world.submit(queue="b")
    assert worker.tasks() == [task]


def test_a_pause_survives_a_restart(world: World) -> None:
    world.pause()
    task = world.submit()
    world.restart()
    assert world.worker().tasks() == []
    assert world.state(task) == "ready"


# Limits


def test_no_more_tasks_of_a_key_are_held_than_its_limit(world: World) -> None:
    worker = world.worker(cap=10)
    tasks = [world.submit(limit_key="db", limit=2) for _ in range(4)]
    assert worker.tasks() == tasks[:2]
    worker.succeeds(tasks[0])
    assert worker.tasks() == [tasks[2]]


def test_a_full_limit_does_not_hold_back_other_tasks(world: World) -> None:
    worker = world.worker(cap=2)
    world.submit(limit_key="db")
    world.submit(limit_key="db", priority=9)
    task = world.submit()
    assert worker.tasks()[1:] == [task]


def test_one_that_was_set_aside_goes_before_what_came_later_once_there_is_room(
    world: World,
) -> None:
    worker = world.worker()
    first = world.submit(limit_key="db")
    second = world.submit(limit_key="db")
    world.submit()
    worker.succeeds(first)
    assert worker.tasks() == [first, second]


def test_limits_of_one_key_may_differ(world: World) -> None:
    worker = world.worker(cap=10)
    held = [world.submit(limit_key="db", limit=3) for _ in range(2)]
    alone = world.submit(limit_key="db", limit=1)
    assert worker.tasks() == held
    more = world.submit(limit_key="db", limit=3)
    assert worker.tasks() == [more]
    for task in (*held, more):
        assert world.state(alone) == "ready"
        worker.succeeds(task)
    assert worker.tasks() == [alone]


def test_a_free_limit_goes_to_whoever_can_run_and_not_to_who_cannot(world: World) -> None:
    """The first in order needs a worker that is not there."""
    worker = world.worker(cap=10)
    holder = world.submit(limit_key="db")
    absent = world.submit(limit_key="db", priority=9, target=Target(worker="absent"))
    present = world.submit(limit_key="db")
    worker.succeeds(holder)
    assert worker.tasks() == [holder, present]
    worker.succeeds(present)
    assert world.worker("absent").tasks() == [absent]


def test_a_task_that_was_let_go_and_cancelled_makes_room_for_the_next(world: World) -> None:
    worker = world.worker(cap=10)
    holder = world.submit(limit_key="db")
    waiting = [
        world.submit(limit_key="db", target=Target(worker="late"), priority=priority)
        for priority in (2, 1, 0)
    ]
    worker.succeeds(holder)
    world.cancel(waiting[0])
    late = world.worker("late", cap=10)
    assert late.tasks() == [waiting[1]]
    late.succeeds(waiting[1])
    assert late.tasks() == [waiting[2]]


def test_one_that_was_let_go_does_not_hold_back_a_better_one(world: World) -> None:
    """All wait for the same worker; the best one came while the limit was full again."""
    first = world.worker("first")
    holder = world.submit(limit_key="db")
    late = Target(worker="late")
    plain = [world.submit(limit_key="db", target=late) for _ in range(2)]
    first.succeeds(holder)
    again = world.submit(limit_key="db", target=Target(worker="first"))
    urgent = world.submit(limit_key="db", target=late, priority=9)
    first.succeeds(again)
    assert world.worker("late").tasks() == [urgent]
    assert world.states(*plain) == ["ready", "ready"]


def test_a_higher_limit_lets_a_task_go_that_was_set_aside(world: World) -> None:
    worker = world.worker(cap=10)
    world.submit(limit_key="db")
    waiting = world.submit(limit_key="db")
    worker.tasks()
    world.update(waiting, limit=2)
    assert worker.tasks() == [waiting]


def test_a_task_that_stops_still_counts_against_its_limit(world: World) -> None:
    worker = world.worker(cap=10)
    stopping = world.submit(limit_key="db")
    waiting = world.submit(limit_key="db")
    worker.accepts(stopping)
    world.cancel(stopping)
    assert world.states(stopping, waiting) == ["stopping", "ready"]
    worker.releases(stopping)
    assert worker.tasks() == [stopping, waiting]


def test_those_who_wait_for_a_limit_cost_nothing_while_it_is_full(world: World) -> None:
    """Every end would otherwise put all of them back into their lane and take them out again."""
    worker = world.worker()
    tasks = world.submit_all([world.new(limit_key="db") for _ in range(100)])
    stamps = dict(world.core.ready.stamps)
    worker.succeeds(tasks[0])
    moved = [task for task, stamp in world.core.ready.stamps.items() if stamps[task] != stamp]
    assert len(moved) <= 1


# What is forgotten


def test_what_comes_and_goes_while_something_waits_leaves_nothing(world: World) -> None:
    """Entries of cancelled tasks are not found again before they come to the head of their lane."""
    world.submit(priority=9)
    for i in range(500):
        world.cancel(world.submit())
        world.cancel(world.submit(name=f"name {i}"))
        world.cancel(world.submit(target=Target(worker=f"worker {i}")))
        world.cancel(world.submit(start_by=world.wall + 10**9, run_at=world.wall + 10**8))
    queue = world.core.queues["default"]
    lanes = [
        *queue._shared.values(),
        *(lane for own in queue._own.values() for lane in own.values()),
    ]
    assert len(lanes) < 200
    assert sum(len(lane.entries._heap) for lane in lanes) < 400
    assert len(world.core.timers) < 1_200


def test_a_worker_forgets_kinds_of_task_that_it_has_seen(world: World) -> None:
    worker = world.worker(cap=10_000)
    world.submit_all([world.new(target=Target(labels={"user": i})) for i in range(3_000)])
    assert worker.tasks() == []
    assert len(world.core.workers["w1"].fitting) <= 1_024


# Suspended


def test_nothing_is_given_out_while_the_core_is_suspended(world: World) -> None:
    worker = world.worker(cap=2)
    world.happen(events.Suspend(True))
    task = world.submit()
    assert worker.tasks() == []
    world.happen(events.Suspend(False))
    assert worker.tasks() == [task]


def test_workers_of_the_scheduler_itself_get_their_tasks_and_no_others(world: World) -> None:
    own = world.stranger("callboard", boot="callboard")
    world.happen(events.Enlist("callboard", "callboard.events", "callboard.publish", 2))
    other = world.worker(q=["default", "callboard.events"])
    task = world.submit(queue="callboard.events", name="callboard.publish")
    assert (own.tasks(), other.tasks()) == ([task], [])
    own.succeeds(task)
    assert world.state(task) == "succeeded"


def test_nobody_else_can_be_the_scheduler_s_own_worker(world: World) -> None:
    world.happen(events.Enlist("callboard", "callboard.events", "callboard.publish", 2))
    world.passes(3_600_000)
    impostor = world.worker("callboard", boot="another", q=["callboard.events"])
    world.submit(queue="callboard.events", name="callboard.publish")
    assert "another process" in impostor.inbox[0].why  # type: ignore[union-attr]
    assert world.core.workers["callboard"].internal


def test_after_a_restart_the_scheduler_runs_its_own_tasks_again_at_once(world: World) -> None:
    enlist = events.Enlist("callboard", "callboard.events", "callboard.publish", 2)
    world.happen(enlist)
    task = world.submit(queue="callboard.events", name="callboard.publish")
    world.restart()
    own = world.stranger("callboard", boot="callboard")
    world.happen(enlist)
    assert own.tasks() == [task]
    assert world.task(task).losses == 0
    assert world.core.workers["callboard"].free == 1
