"""What people ask for: submits, keys, dependencies, cancels, updates, moves, requeues, bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard_scheduler import wire
from callboard_scheduler.core import actions, events, step
from callboard_scheduler.errors import BacklogFull, BadField, Conflict, NoSuchTask
from callboard_scheduler.records import OnConflict, Raw, Retry, Target
from callboard_scheduler.states import State
from scheduler.core_world import World

KEEP, REPLACE, ERROR = OnConflict.KEEP, OnConflict.REPLACE, OnConflict.ERROR


@pytest.fixture
def world() -> World:
    return World()


# Submits


def test_a_submit_is_answered_with_ids_and_states_in_order(world: World) -> None:
    new = [world.new(), world.new(run_at=world.wall + 1), world.new(after=("t1",))]
    world.submit_all(new[:1])
    answer = world.ask(events.Submit, tasks=new[1:])
    assert answer == [("t2", State.SCHEDULED), ("t3", State.BLOCKED)]


def test_an_answer_waits_for_the_disk_and_an_assignment_does_not(world: World) -> None:
    world.worker()
    world.submit()
    gated = {type(each).__name__: each.after_commit for each in world.turn.actions}  # type: ignore[attr-defined]
    assert (gated["Answer"], gated["Tell"]) == (True, False)


def test_a_task_runs_when_its_time_has_come_and_not_before(world: World) -> None:
    worker = world.worker()
    task = world.submit(run_at=world.wall + 5_000)
    world.passes(4_999)
    assert world.state(task) == "scheduled"
    worker.beats()
    world.passes(1)
    assert worker.tasks() == [task]


def test_a_clock_set_forward_brings_the_time_and_one_set_back_does_not(world: World) -> None:
    task = world.submit(run_at=world.wall + 60_000)
    world.jumps(-3_600_000)
    world.passes(60_000)
    assert world.state(task) == "scheduled"
    world.jumps(3_600_000)
    assert world.state(task) == "ready"


def test_the_backlog_of_a_queue_is_bounded() -> None:
    world = World(max_backlog=3)
    world.submit_all([world.new(), world.new()])
    with pytest.raises(BacklogFull):
        world.submit_all([world.new(), world.new()])
    world.submit(run_at=world.wall + 1_000)
    with pytest.raises(BacklogFull):
        world.submit()
    world.submit(queue="another")
    world.worker()
    world.submit()


def test_of_a_batch_all_are_taken_or_none(world: World) -> None:
    with pytest.raises(BadField, match=r"batch\[1\].after"):
        world.submit_all([world.new(), world.new(after=("nobody",))])
    assert world.core.tasks == {}


def test_every_answer_that_says_yes_waits_for_the_disk(world: World) -> None:
    gone, task = world.submit(), world.submit()
    yes: list[Callable[[], object]] = [
        lambda: world.cancel(gone),
        lambda: world.requeue(gone),
        lambda: world.update(task, priority=1),
        lambda: world.move(task, "w1"),
        lambda: world.pause(),
        lambda: world.put(every_ms=1_000),
        lambda: world.drop(),
    ]
    for ask in yes:
        ask()
        (answer,) = [each for each in world.turn.actions if isinstance(each, actions.Answer)]
        assert answer.after_commit


# start_by


def test_a_task_that_nobody_has_started_in_time_expires(world: World) -> None:
    waiting = world.submit(start_by=world.wall + 1_000)
    scheduled = world.submit(start_by=world.wall + 1_000, run_at=world.wall + 5_000)
    blocked = world.submit(start_by=world.wall + 1_000, after=(scheduled,))
    started = world.submit(queue="other", start_by=world.wall + 1_000)
    world.worker(q=["other"]).accepts(started)
    world.passes(999)
    assert "expired" not in world.states(waiting, scheduled, blocked)
    world.passes(1)
    assert world.states(waiting, scheduled, started) == ["expired", "expired", "running"]
    assert world.state(blocked) in ("expired", "cancelled")


def test_one_whose_time_has_passed_when_it_is_submitted_expires_at_once(world: World) -> None:
    worker = world.worker()
    task = world.submit(start_by=world.wall)
    assert world.state(task) == "expired"
    assert worker.tasks() == []


@pytest.mark.parametrize("end", ["fails", "lost", "rejected", "given back", "moved"])
def test_one_that_comes_back_after_its_time_is_not_started_again(world: World, end: str) -> None:
    worker = world.worker()
    task = world.submit(start_by=world.wall + 1_000, retry=Retry(initial_ms=0))
    worker.accepts(task)
    world.passes(1_000)
    world.worker("other")
    if end == "fails":
        worker.fails(task)
    elif end == "lost":
        worker.leaves()
    elif end == "rejected":
        worker.rejects(task)
    elif end == "given back":
        worker.releases(task)
    else:
        world.move(task, "other")
        worker.releases(task)
    assert world.state(task) == "expired"
    assert world.heard_of(task)[-1] == "expired"


def test_an_update_can_bring_the_time_forward_or_back(world: World) -> None:
    task = world.submit(start_by=world.wall + 1_000)
    world.update(task, start_by=world.wall + 5_000)
    world.passes(4_999)
    assert world.state(task) == "ready"
    assert world.update(task, start_by=world.wall).state is State.EXPIRED


def test_an_update_of_a_task_that_runs_holds_if_it_comes_back(world: World) -> None:
    worker = world.worker(resume=True)
    task = world.submit()
    worker.accepts(task)
    world.update(task, start_by=world.wall + 2_000)
    worker.leaves()
    world.passes(1_500)
    assert world.state(task) == "ready"
    world.passes(500)
    assert world.state(task) == "expired"


# Unique keys


def test_a_live_task_with_the_key_is_kept(world: World) -> None:
    first = world.submit(unique_key="k")
    assert world.submit(unique_key="k", priority=9) == first
    assert world.task(first).spec.priority == 0
    assert len(world.core.tasks) == 1


def test_a_key_is_free_again_at_the_end(world: World) -> None:
    first = world.submit(unique_key="k")
    world.cancel(first)
    second = world.submit(ERROR, unique_key="k")
    assert second != first


def test_a_conflict_can_be_an_error(world: World) -> None:
    first = world.submit(unique_key="k")
    with pytest.raises(Conflict) as conflict:
        world.submit(ERROR, unique_key="k")
    assert conflict.value.existing == first


def test_a_batch_can_be_in_conflict_with_itself(world: World) -> None:
    with pytest.raises(Conflict):
        world.submit_all([world.new(unique_key="k"), world.new(ERROR, unique_key="k")])
    assert world.core.tasks == {}
    same = world.submit_all([world.new(unique_key="k"), world.new(unique_key="k")])
    assert same[0] == same[1]


def test_a_waiting_task_is_replaced_in_its_place(world: World) -> None:
    first = world.submit(unique_key="k", run_at=world.wall + 60_000)
    second = world.submit(REPLACE, unique_key="k", args=Raw(b"[2]"))
    assert second == first
    task = world.task(first)
    assert (task.state.value, bytes(task.spec.args), task.rev) == ("ready", b"[2]", 2)


def test_one_that_runs_is_stopped_and_another_takes_its_key(world: World) -> None:
    worker = world.worker(cap=2)
    first = world.submit(unique_key="k")
    worker.accepts(first)
    second = world.submit(REPLACE, unique_key="k")
    assert second != first
    assert world.states(first, second) == ["stopping", "assigned"]
    worker.releases(first)
    assert world.submit(unique_key="k") == second


def test_one_that_is_being_moved_is_stopped_for_good_when_it_is_replaced(world: World) -> None:
    worker = world.worker()
    first = world.submit(unique_key="k")
    worker.accepts(first)
    world.move(first, "elsewhere")
    second = world.submit(REPLACE, unique_key="k")
    worker.releases(first)
    assert world.states(first, second) == ["cancelled", "assigned"]


def test_after_a_crash_the_key_is_the_newer_task_s(world: World) -> None:
    worker = world.worker()
    first = world.submit(unique_key="k")
    worker.accepts(first)
    second = world.submit(REPLACE, unique_key="k")
    world.restart()
    assert world.submit(unique_key="k") == second


def test_a_key_that_another_has_cannot_be_taken_by_an_update(world: World) -> None:
    first, second = world.submit(unique_key="k"), world.submit()
    with pytest.raises(Conflict):
        world.update(second, unique_key="k")
    world.update(first, unique_key="other")
    world.update(second, unique_key="k")
    assert world.submit(unique_key="k") == second


# Dependencies


def test_a_task_waits_for_all_that_it_comes_after(world: World) -> None:
    worker = world.worker(cap=2)
    first, second = world.submit(), world.submit()
    task = world.submit(after=(first, second))
    worker.succeeds(first)
    assert world.state(task) == "blocked"
    worker.succeeds(second)
    assert world.state(task) == "assigned"


def test_one_that_has_succeeded_already_is_not_waited_for(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    worker.succeeds(first)
    assert world.state(world.submit(after=(first,))) == "assigned"
    known = world.new(after=("long ago",))
    assert world.submit_all([known], {"long ago": State.SUCCEEDED}) == [known.id]


def test_one_that_has_ended_badly_already_is_a_conflict(world: World) -> None:
    first = world.submit()
    world.cancel(first)
    with pytest.raises(Conflict, match="cancelled, so nothing can run after it"):
        world.submit(after=(first,))
    with pytest.raises(Conflict):
        world.submit_all([world.new(after=("old",))], {"old": State.DEAD})


@pytest.mark.parametrize("end", ["dead", "cancelled", "expired"])
def test_with_one_that_ends_badly_all_end_that_come_after_it(world: World, end: str) -> None:
    worker = world.worker(cap=0)
    first = world.submit(retry=Retry(max_attempts=1), start_by=world.wall + 100)
    other = world.submit()
    second = world.submit(after=(first, other))
    third = world.submit(after=(second,))
    if end == "dead":
        worker.hello(cap=1)
        worker.fails(first)
    elif end == "cancelled":
        world.cancel(first)
    else:
        world.passes(100)
    assert world.states(first, second, third) == [end, "cancelled", "cancelled"]
    error = world.stored(second).error
    assert error is not None and error.type == "DependencyFailed"
    assert first in error.msg and end in error.msg
    assert world.state(other) != "cancelled"


def test_a_chain_may_be_longer_than_a_stack_is_deep(world: World) -> None:
    first = world.submit()
    new = [world.new(after=(first,))]
    while len(new) < 2_000:
        new.append(world.new(after=(new[-1].id,)))
    for each in new:
        # Not by the world, which looks through all of them at every step.
        step(world.core, events.Submit(0, [each]), world.now)
    world.cancel(first)
    assert world.core.tasks == {}


def test_of_two_that_end_badly_together_each_is_told_once(world: World) -> None:
    root = world.submit()
    left, right = world.submit(after=(root,)), world.submit(after=(root,))
    both = world.submit(after=(left, right))
    world.cancel(root)
    assert world.states(left, right, both) == ["cancelled"] * 3
    assert world.heard_of(both) == ["blocked", "cancelled"]


def test_what_waits_runs_after_a_restart_too(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    task = world.submit(after=(first,))
    world.restart()
    worker.hello(run=[(first, worker.fence(first))], free=0)
    assert world.state(task) == "blocked"
    worker.succeeds(first)
    assert world.state(task) == "assigned"


def test_an_update_can_change_what_a_task_comes_after(world: World) -> None:
    first, second = world.submit(), world.submit()
    task = world.submit(after=(first,))
    world.update(task, after=(second,))
    world.cancel(first)
    assert world.state(task) == "blocked"
    world.update(task, after=())
    assert world.state(task) == "ready"
    with pytest.raises(BadField, match="not finished"):
        world.update(task, after=("nobody",))


def test_tasks_cannot_wait_for_one_another(world: World) -> None:
    first = world.submit(unique_key="k")
    second = world.submit(after=(first,))
    third = world.submit(after=(second,))
    with pytest.raises(BadField, match="wait for"):
        world.update(first, after=(third,))
    with pytest.raises(BadField, match="wait for"):
        world.update(first, after=(first,))
    with pytest.raises(BadField, match="wait for"):
        world.submit(REPLACE, unique_key="k", after=(third,))


def test_what_a_task_comes_after_cannot_change_once_a_worker_has_it(world: World) -> None:
    worker = world.worker()
    first = world.submit(queue="other")
    task = world.submit()
    worker.accepts(task)
    with pytest.raises(Conflict, match="running"):
        world.update(task, after=(first,))
    world.update(task, after=(), priority=3)


# Cancels


@pytest.mark.parametrize("fields", [{}, {"run_at": 2 * 10**12}, {"after": ("t1",)}])
def test_a_waiting_task_is_cancelled_at_once(world: World, fields: dict[str, Any]) -> None:
    world.submit(queue="other")
    task = world.submit(**fields)
    assert world.cancel(task).state is State.CANCELLED
    worker = world.worker()
    world.passes(5_000)
    assert worker.tasks() == []
    assert world.heard_of(task)[-1] == "cancelled"


def test_what_is_finished_or_unknown_cannot_be_cancelled(world: World) -> None:
    task = world.submit()
    world.cancel(task)
    with pytest.raises(Conflict, match="has finished \\(cancelled\\)"):
        world.cancel(task)
    with pytest.raises(NoSuchTask):
        world.cancel("nobody")
    with pytest.raises(NoSuchTask):
        world.update("nobody", priority=1)
    with pytest.raises(NoSuchTask):
        world.move("nobody", "w1")


def test_to_cancel_twice_is_to_cancel_once(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.cancel(task)
    world.cancel(task)
    assert worker.revoked() == ["cancelled"]


# Updates


def test_a_new_time_holds_from_then_on(world: World) -> None:
    worker = world.worker()
    task = world.submit(run_at=world.wall + 60_000)
    assert world.update(task, run_at=world.wall + 2_000).rev == 2
    world.passes(2_000)
    assert worker.tasks() == [task]


def test_a_ready_task_can_be_put_off_and_a_scheduled_one_called(world: World) -> None:
    ready, scheduled = world.submit(), world.submit(run_at=world.wall + 60_000)
    world.update(ready, run_at=world.wall + 60_000)
    world.update(scheduled, run_at=None)
    assert world.states(ready, scheduled) == ["scheduled", "ready"]


def test_a_new_priority_holds_at_the_next_choice(world: World) -> None:
    first, second = world.submit(), world.submit()
    world.update(second, priority=1)
    assert world.worker().tasks() == [second]
    assert world.state(first) == "ready"


def test_a_pause_between_tries_outlives_an_update_of_something_else(world: World) -> None:
    worker = world.worker()
    task = world.submit(retry=Retry(initial_ms=5_000, jitter=0))
    worker.fails(task)
    world.update(task, priority=3)
    assert world.state(task) == "scheduled"
    world.update(task, run_at=None)
    assert world.state(task) == "assigned"


def test_a_new_queue_or_target_holds_at_once(world: World) -> None:
    worker = world.worker(q=["other"])
    mine = world.worker("mine")
    task, aimed = world.submit(queue="nowhere"), world.submit(target=Target(worker="absent"))
    world.update(task, queue="other")
    world.update(aimed, target=Target(worker="mine"))
    assert (worker.tasks(), mine.tasks()) == ([task], [aimed])


def test_the_worker_is_told_what_changed_until_it_says_that_it_knows(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.update(task, args=Raw(b"[1]"), priority=5)
    (update,) = worker.took(wire.Update)
    assert (update.rev, bytes(update.args or b""), update.prio) == (2, b"[1]", 5)
    worker.beats(task)
    assert [each.rev for each in worker.took(wire.Update)] == [2]
    worker.beats(task, rev={task: 2})
    worker.beats(task, rev={task: 2})
    assert len(worker.took(wire.Update)) <= 1
    worker.beats(task)
    assert worker.took(wire.Update) == []


def test_a_repeated_assignment_has_what_was_changed_since(world: World) -> None:
    worker = world.worker()
    task = world.submit(args=Raw(b"[1]"))
    world.update(task, args=Raw(b"[2]"))
    worker.inbox.clear()
    world.passes(500)
    assert bytes(worker.given(task).args or b"") == b"[2]"


@pytest.mark.parametrize(
    "fields",
    [
        {"run_at": 2 * 10**12},
        {"queue": "other"},
        {"target": Target(worker="another")},
        {"name": "other work"},
    ],
)
def test_a_worker_that_may_not_go_on_is_told_to_stop(world: World, fields: dict[str, Any]) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.update(task, **fields)
    assert worker.revoked() == ["moved"]
    worker.releases(task, checkpoint=[7])
    assert world.state(task) in ("ready", "scheduled", "assigned")
    assert bytes(world.task(task).checkpoint or b"") == b"[7]"
    assert world.outcomes(task)[0] == "moved"


def test_an_update_of_one_that_stops_holds_when_it_has(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.move(task, "elsewhere")
    world.update(task, priority=8, run_at=world.wall + 60_000)
    worker.releases(task)
    assert (world.state(task), world.task(task).spec.priority) == ("scheduled", 8)


def test_an_update_survives_a_crash_and_is_said_again(world: World) -> None:
    """Stored, and perhaps not sent any more."""
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.update(task, args=Raw(b"[2]"))
    world.restart()
    worker.inbox.clear()
    worker.hello(run=[(task, worker.fence(task))], free=0)
    worker.beats(task)
    assert [each.rev for each in worker.took(wire.Update)] == [2]


# Moves


def test_a_waiting_task_goes_to_the_worker_that_is_named(world: World) -> None:
    task = world.submit()
    world.move(task, "mine")
    assert world.worker("other").tasks() == []
    assert world.worker("mine").tasks() == [task]


def test_a_running_task_goes_to_another_with_its_checkpoint(world: World) -> None:
    worker, other = world.worker(), world.worker("other")
    task = world.submit()
    worker.accepts(task)
    world.move(task, "other")
    assert worker.revoked() == ["moved"]
    worker.releases(task, checkpoint={"at": 5})
    given = other.given(task)
    assert (bytes(given.ck or b""), given.att) == (b'{"at":5}', 2)
    (moved,) = [action.data for action in world.announced if action.event == "moved"]
    assert (moved["from"], moved["to"], moved["why"]) == ("w1", "other", "moved")
    assert (world.task(task).losses, world.task(task).failures) == (0, 0)


def test_a_task_moved_to_whoever_has_it_stays(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.move(task, "w1")
    assert (worker.revoked(), world.state(task)) == ([], "running")


def test_a_target_can_be_taken_away(world: World) -> None:
    task = world.submit(target=Target(worker="absent"))
    world.move(task, None)
    assert world.worker().tasks() == [task]


def test_one_that_is_cancelled_while_it_moves_is_cancelled(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.move(task, "other")
    world.cancel(task)
    assert worker.revoked() == ["moved", "cancelled"]
    worker.releases(task)
    assert world.state(task) == "cancelled"


def test_a_worker_that_is_lost_while_its_task_moves_costs_it_nothing(world: World) -> None:
    worker, other = world.worker(), world.worker("other")
    task = world.submit()
    worker.accepts(task)
    world.move(task, "other")
    worker.leaves()
    assert other.tasks() == [task]
    assert world.task(task).losses == 0


# Requeues


def test_a_finished_task_begins_anew(world: World) -> None:
    worker = world.worker()
    task = world.submit(retry=Retry(max_attempts=1), timeout_ms=1_000)
    worker.fails(task)
    before = worker.fence(task)
    again = world.requeue(task)
    assert (again.state, again.gen, again.failures, again.error) == (State.READY, 2, 0, None)
    assert worker.fence(task) > before
    worker.succeeds(task)
    assert world.stored(task).gen == 2
    assert world.outcomes(task) == ["failed", "succeeded"]


def test_a_result_of_an_earlier_life_does_not_count(world: World) -> None:
    worker = world.worker()
    task = world.submit(retry=Retry(max_attempts=1))
    fence = worker.fence(task)
    worker.fails(task)
    world.requeue(task)
    worker.succeeds(task, fence=fence)
    assert world.state(task) == "assigned"


def test_one_that_expired_can_begin_anew(world: World) -> None:
    task = world.submit(start_by=world.wall + 1_000)
    world.passes(1_000)
    world.requeue(task)
    assert world.worker().tasks() == [task]


def test_one_that_still_has_time_expires_when_that_is_over(world: World) -> None:
    task = world.submit(start_by=world.wall + 1_000)
    world.cancel(task)
    world.requeue(task)
    world.passes(1_000)
    assert world.state(task) == "expired"


def test_what_is_live_or_has_lost_its_key_cannot_begin_anew(world: World) -> None:
    task = world.submit(unique_key="k")
    with pytest.raises(Conflict, match="not finished"):
        world.requeue(task)
    world.cancel(task)
    world.submit(unique_key="k")
    with pytest.raises(Conflict, match="unique_key"):
        world.requeue(task)


def test_two_requeues_at_once_are_one(world: World) -> None:
    """The second was asked for with a record that the first has made old."""
    task = world.submit()
    world.cancel(task)
    old = world.stored(task)
    world.requeue(task)
    world.worker().succeeds(task)
    with pytest.raises(Conflict, match="meanwhile"):
        world.ask(events.Requeue, stored=old)
    assert world.stored(task).gen == 2


# What could not be stored


def test_a_submit_that_could_not_be_stored_is_forgotten(world: World) -> None:
    worker = world.worker(cap=3)
    assigned, ready, running = (
        world.submit(),
        world.submit(queue="other"),
        world.submit(),
    )
    worker.accepts(running)
    world.happen(events.Revoked((assigned, ready, running, "unknown")))
    assert world.core.tasks == {}
    assert worker.revoked() == ["cancelled", "cancelled"]
    # What was sent may have begun.
    assert world.core.workers["w1"].free == 1
