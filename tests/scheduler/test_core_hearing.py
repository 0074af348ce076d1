"""What workers say, and what becomes of it when it comes twice, late, or not at all."""

from __future__ import annotations

import pytest

from callboard_scheduler import wire
from callboard_scheduler.core import events
from callboard_scheduler.core.workers import WorkerState
from callboard_scheduler.records import Raw
from scheduler.core_world import Hand, World


@pytest.fixture
def world() -> World:
    return World()


# Hello


def test_a_hello_is_answered_with_what_the_service_bears(world: World) -> None:
    worker = world.worker()
    (welcome,) = worker.took(wire.Welcome)
    assert (welcome.hb_ms, welcome.lease_ms, welcome.grace_ms) == (3_000, 10_000, 1_500)
    assert (welcome.boot, welcome.now, welcome.run) == (worker.boot, world.wall, [])


def test_every_session_has_an_id_that_no_other_has(world: World) -> None:
    """A worker that is forgotten in between must see that its session is a new one."""
    worker = world.worker()
    sessions = [worker.took(wire.Welcome)[0].sid]
    for _ in range(2):
        worker.leaves()
        worker.hello()
        sessions.append(worker.took(wire.Welcome)[0].sid)
    world.restart()
    worker.hello()
    sessions.append(worker.took(wire.Welcome)[0].sid)
    assert len(set(sessions)) == 4


def test_a_hello_by_another_name_than_its_channel_is_refused(world: World) -> None:
    worker = world.stranger("w1")
    worker.says(wire.Hello("w2"))
    (refused,) = worker.took(wire.Refused)
    assert "not of w2" in refused.why
    assert world.core.workers == {}


def test_a_second_process_of_one_id_is_refused_while_the_first_lives(world: World) -> None:
    first = world.worker("w1", boot="first")
    second = world.worker("w1", boot="second")
    (refused,) = second.took(wire.Refused)
    # The first hears it too, and has to know that it is not meant.
    assert refused.boot == "second"
    assert world.core.workers["w1"].boot == first.boot


def test_a_second_process_takes_the_place_of_one_that_is_silent(world: World) -> None:
    first = world.worker("w1", boot="first")
    task = world.submit()
    first.accepts(task)
    world.passes(6_001)
    second = world.worker("w1", boot="second")
    assert second.tasks() == [task]
    assert world.task(task).losses == 1


def test_a_second_process_takes_the_place_of_one_whose_connection_is_gone(world: World) -> None:
    first = world.worker("w1", boot="first", resume=True)
    task = world.submit()
    first.accepts(task)
    first.leaves()
    second = world.worker("w1", boot="second")
    assert second.tasks() == [task]


def test_one_that_never_beats_keeps_its_place_while_it_has_a_task(world: World) -> None:
    """Its silence says nothing: it has a task that takes long."""
    first = world.worker("w1", boot="first", hb=False)
    task = world.submit()
    first.accepts(task)
    world.passes(60_000)
    second = world.worker("w1", boot="second", hb=False)
    assert second.took(wire.Refused)
    first.succeeds(task)
    assert world.state(task) == "succeeded"


def test_one_that_never_beats_and_has_nothing_gives_way(world: World) -> None:
    world.worker("w1", boot="first", hb=False)
    world.passes(60_000)
    second = world.worker("w1", boot="second", hb=False)
    task = world.submit()
    assert second.tasks() == [task]


def test_who_was_replaced_is_told_to_say_hello_and_changes_nothing(world: World) -> None:
    first = world.worker("w1", boot="first")
    task = world.submit()
    first.accepts(task)
    world.passes(6_001)
    second = world.worker("w1", boot="second")
    first.succeeds(task)
    assert world.state(task) == "assigned"
    assert second.took(wire.Resync)


def test_a_hello_that_comes_twice_changes_nothing(world: World) -> None:
    worker = world.worker(cap=2)
    task = world.submit()
    worker.accepts(task)
    worker.hello(run=[(task, worker.fence(task))], free=1)
    worker.hello(run=[(task, worker.fence(task))], free=1)
    assert worker.verdicts() == ["go"]
    assert world.state(task) == "running"
    assert world.core.workers["w1"].free == 1


def test_an_old_hello_does_not_cost_a_worker_what_it_was_given_since(world: World) -> None:
    """Late by a slow network; the next heartbeat lists the task again."""
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    worker.hello(run=[])
    world.passes(3_000)
    worker.beats(task)
    world.passes(3_000)
    worker.beats(task)
    world.passes(9_000)
    assert world.state(task) == "running"


def test_what_a_worker_does_not_claim_any_more_is_lost_soon(world: World) -> None:
    worker = world.worker(resume=True)
    task = world.submit()
    worker.accepts(task)
    worker.leaves()
    worker.hello(run=[], cap=0)
    for _ in range(2):
        world.passes(2_000)
        worker.beats()
    assert world.state(task) == "ready"


def test_a_result_that_comes_behind_a_hello_still_counts(world: World) -> None:
    worker = world.worker(resume=True)
    task = world.submit()
    worker.accepts(task)
    worker.leaves()
    worker.hello(run=[])
    world.passes(900)
    worker.succeeds(task)
    assert world.state(task) == "succeeded"


def test_an_assignment_that_got_lost_with_the_connection_is_said_again(world: World) -> None:
    worker = world.worker(resume=True)
    task = world.submit()
    assert worker.tasks() == [task]
    worker.leaves()
    worker.hello(run=[])
    assert worker.tasks() == [task]
    assert world.task(task).attempt == 1


# Accept


@pytest.mark.parametrize("word", ["accepts", "progresses", "beats"])
def test_any_word_of_an_assignment_says_that_it_runs(world: World, word: str) -> None:
    worker = world.worker()
    task = world.submit()
    getattr(worker, word)(task)
    assert world.state(task) == "running"
    assert world.task(task).started_at == world.wall
    assert world.attempts(task)[0].started_at == world.wall


def test_an_assignment_is_sent_three_times_and_then_given_to_another(world: World) -> None:
    silent = world.worker("silent")
    task = world.submit()
    other = world.worker("other")
    world.passes(1_499)
    assert silent.tasks() == [task, task, task]
    fences = {message.f for message in silent.took(wire.Assign)}
    assert len(fences) <= 1
    world.passes(1)
    assert other.tasks() == [task]
    assert world.outcomes(task) == ["unanswered", None]
    assert world.task(task).losses == 0


def test_a_repeated_assignment_has_the_same_fence(world: World) -> None:
    worker = world.worker()
    world.submit()
    world.passes(1_000)
    assert len({message.f for message in worker.took(wire.Assign)}) == 1


def test_one_that_does_not_answer_gets_nothing_for_a_while(world: World) -> None:
    worker = world.worker(cap=2)
    task = world.submit()
    world.passes(1_500)
    worker.tasks()
    assert world.state(task) == "ready"
    world.passes(2_499)
    assert worker.tasks() == []
    world.passes(1)
    assert worker.tasks() == [task]


def test_one_that_never_beats_is_tried_again(world: World) -> None:
    """Nothing that it says would ever tell that it does not run what it did not answer."""
    worker = world.worker(hb=False)
    task = world.submit()
    world.passes(1_500)
    worker.tasks()
    world.passes(2_500)
    assert worker.tasks() == [task]


def test_any_word_of_it_ends_that_while(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    world.passes(1_500)
    worker.tasks()
    worker.beats()
    assert worker.tasks() == [task]


def test_what_may_have_arrived_all_the_same_goes_on_taking_a_slot(world: World) -> None:
    world.worker(cap=2)
    world.submit()
    world.passes(1_500)
    assert world.core.workers["w1"].free == 1


def test_accepted_by_somebody_who_does_not_have_it_changes_nothing(world: World) -> None:
    owner, other = world.worker("owner"), world.worker("other")
    task = world.submit()
    other.says(wire.Accept(task, owner.fence(task)))
    assert world.state(task) == "assigned"


# Reject


def test_a_rejected_task_goes_to_another_with_nothing_held_against_it(world: World) -> None:
    first = world.worker("first")
    task = world.submit()
    second = world.worker("second")
    first.rejects(task)
    assert second.tasks() == [task]
    assert world.outcomes(task) == ["rejected", None]
    assert (world.task(task).failures, world.task(task).losses) == (0, 0)


def test_one_that_rejects_gets_nothing_for_as_long_as_it_says(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.rejects(task, after_ms=7_000)
    worker.tasks()
    world.passes(6_999)
    worker.beats()
    assert worker.tasks() == []
    world.passes(1)
    assert worker.tasks() == [task]


@pytest.mark.parametrize("after_ms", [0, -5, -(10**15)])
def test_one_that_does_not_say_how_long_waits_a_second(world: World, after_ms: int) -> None:
    worker = world.worker()
    task = world.submit()
    worker.rejects(task, after_ms=after_ms)
    worker.tasks()
    world.passes(999)
    assert worker.tasks() == []
    world.passes(1)
    assert worker.tasks() == [task]


def test_not_to_answer_does_not_shorten_the_time_that_was_asked_for(world: World) -> None:
    worker = world.worker(cap=2)
    first, second = world.submit(), world.submit()
    worker.rejects(first, after_ms=60_000)
    world.passes(1_500)
    assert world.states(first, second) == ["ready", "ready"]
    world.passes(30_000)
    worker.beats()
    worker.inbox.clear()
    world.passes(1)
    assert worker.tasks() == []


def test_a_name_that_is_unknown_is_not_offered_again_and_others_are(world: World) -> None:
    worker = world.worker()
    unknown = world.submit(name="unknown")
    worker.rejects(unknown, why="unknown name")
    task = world.submit()
    assert worker.tasks() == [unknown, task]
    assert world.state(unknown) == "ready"
    other = world.worker("other")
    assert other.tasks() == [unknown]


def test_a_reject_that_comes_late_changes_nothing(world: World) -> None:
    worker, other = world.worker("w1"), world.worker("w2")
    task = world.submit()
    old = wire.Reject(task, worker.fence(task))
    worker.says(old)
    other.accepts(task)
    worker.says(old)
    assert world.state(task) == "running"
    assert world.task(task).worker == "w2"


# Progress, log lines, checkpoints


def test_progress_is_announced_and_kept(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.progresses(task, s=1, pct=40.0, msg="half", data=Raw(b'{"n":1}'))
    progress = world.task(task).progress
    assert progress is not None
    assert (progress.pct, progress.msg, bytes(progress.data or b"")) == (40.0, "half", b'{"n":1}')
    assert world.heard_of(task) == ["ready", "assigned", "running", "progress"]


def test_older_progress_does_not_replace_newer(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    for s, pct in ((2, 20.0), (1, 10.0), (2, 21.0), (3, 30.0)):
        worker.progresses(task, s=s, pct=pct)
    pcts = [action.data["pct"] for action in world.announced if action.event == "progress"]
    assert pcts == [20.0, 30.0]


def test_a_worker_that_does_not_count_its_reports_is_taken_at_its_word(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    for pct in (10.0, 20.0):
        worker.progresses(task, pct=pct)
    progress = world.task(task).progress
    assert progress is not None and progress.pct == 20.0


def test_a_log_line_is_announced_and_not_kept(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.says(wire.Log(task, worker.fence(task), 1, "warning", "hot"))
    (line,) = [action.data for action in world.announced if action.event == "log"]
    assert (line["lvl"], line["txt"]) == ("warning", "hot")


def test_what_is_announced_is_numbered_also_over_a_restart(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    world.restart()
    worker.hello(run=[(task, worker.fence(task))], free=0)
    worker.succeeds(task)
    numbers = [action.data["s"] for action in world.announced]
    assert numbers == sorted(set(numbers))


def test_the_next_attempt_gets_the_last_checkpoint(world: World) -> None:
    worker = world.worker()
    task = world.submit()
    for step in (1, 2):
        ck = Raw(b'{"step":%d}' % step)
        worker.says(wire.Checkpoint(task, worker.fence(task), ck))
    worker.leaves()
    assert bytes(world.worker("w2").given(task).ck or b"") == b'{"step":2}'


# Heartbeats


def test_a_heartbeat_is_answered_with_what_to_stop_and_what_it_should_have(world: World) -> None:
    worker = world.worker(cap=3)
    mine, lost, other = (world.submit() for _ in range(3))
    worker.succeeds(other)
    worker.says(
        wire.Heartbeat(
            7, 1, [(mine, worker.fence(mine)), (other, worker.fence(other)), ("never", 5)]
        )
    )
    ack = worker.acknowledged()
    assert ack.n == 7
    assert ack.stop == [(other, worker.fence(other)), ("never", 5)]
    assert ack.lost == [(lost, worker.fence(lost))]


def test_what_it_was_told_to_stop_takes_a_slot_until_it_has(world: World) -> None:
    worker = world.worker(cap=2)
    first = world.submit()
    worker.accepts(first)
    world.cancel(first)
    world.passes(1_500)
    assert world.state(first) == "cancelled"
    tasks = world.submit_all([world.new(), world.new()])
    worker.inbox.clear()
    assert world.states(*tasks) == ["assigned", "ready"]
    worker.beats(first, tasks[0], free=0)
    assert worker.acknowledged().stop == [(first, worker.fence(first))]
    assert world.state(tasks[1]) == "ready"
    worker.releases(first)
    assert worker.done() == ["stale"]
    assert world.state(tasks[1]) == "assigned"


def test_a_result_that_is_not_acknowledged_yet_takes_no_slot(world: World) -> None:
    """A worker claims it until it hears ``done``, but what it claims has ended."""
    worker = world.worker(cap=1)
    first = world.submit()
    worker.succeeds(first)
    worker.beats(first, free=1)
    assert world.core.workers["w1"].free == 1
    worker.hello(run=[(first, worker.fence(first))], free=1)
    assert worker.verdicts() == ["stop"]
    assert world.core.workers["w1"].free == 1


def test_it_is_not_taken_for_granted_which_of_its_claims_has_ended(world: World) -> None:
    """One slot is taken and two are claimed; the result that comes is of the one that was free."""
    worker = world.worker(cap=2)
    first = world.submit()
    worker.accepts(first)
    world.passes(10_000)
    other = world.worker("other")
    other.accepts(first)
    second = world.submit()
    fence = worker.fence(first)
    worker.hello(run=[(first, fence)], free=1)
    given = worker.fence(second)
    worker.hello(run=[(first, fence), (second, given)], free=1)
    third, fourth = world.submit_all([world.new(), world.new()])
    worker.succeeds(second)
    assert world.states(third, fourth) == ["assigned", "ready"]
    worker.releases(first)
    assert world.state(fourth) == "assigned"


def test_a_result_that_was_heard_takes_no_slot_while_its_claim_goes_on(world: World) -> None:
    worker = world.worker(cap=2)
    ended, running = world.submit(), world.submit()
    worker.succeeds(ended)
    worker.says(
        wire.Heartbeat(1, 1, [(ended, worker.fence(ended)), (running, worker.fence(running))])
    )
    assert world.core.workers["w1"].free == 1
    worker.succeeds(running)
    assert world.core.workers["w1"].free == 2


def test_slots_that_the_worker_says_are_taken_are_not_given_out(world: World) -> None:
    worker = world.worker(cap=4)
    worker.beats(free=1)
    tasks = world.submit_all([world.new() for _ in range(3)])
    assert worker.tasks() == tasks[:1]
    worker.beats(tasks[0], free=3)
    assert worker.tasks() == tasks[1:]


def test_a_changed_capacity_holds_at_once(world: World) -> None:
    worker = world.worker(cap=1)
    tasks = world.submit_all([world.new() for _ in range(4)])
    worker.accepts(tasks[0])
    worker.says(wire.Capacity(3, 2))
    assert worker.tasks() == tasks[:3]
    worker.says(wire.Capacity(0, 0))
    worker.succeeds(tasks[0])
    assert worker.tasks() == []


def test_a_worker_can_change_its_queues(world: World) -> None:
    worker = world.worker(q=["a"])
    task = world.submit(queue="b")
    worker.says(wire.Capacity(1, 1, ["b", "callboard.events"]))
    assert worker.tasks() == [task]
    assert world.core.workers["w1"].queues == ("b",)


# Bye, drain


def test_who_says_goodbye_leaves_its_tasks_with_nothing_held_against_them(world: World) -> None:
    """Three restarts of a worker in a day must not kill a task that takes a day."""
    worker = world.worker()
    task = world.submit()
    worker.accepts(task)
    worker.says(wire.Bye("restart"))
    assert world.state(task) == "ready"
    assert world.task(task).losses == 0
    assert world.outcomes(task) == ["released"]
    assert world.core.workers == {}


def test_a_worker_that_drains_finishes_what_it_has_and_gets_nothing(world: World) -> None:
    worker = world.worker(cap=2)
    task = world.submit()
    worker.accepts(task)
    assert world.ask(events.DrainWorker, worker="w1", within_ms=60_000) is True
    assert world.core.workers["w1"].state is WorkerState.DRAINING
    world.submit()
    worker.hello(run=[(task, worker.fence(task))], free=1)
    assert worker.tasks() == [task]
    worker.succeeds(task)
    assert world.state(task) == "succeeded"
    assert world.ask(events.DrainWorker, worker="nobody", within_ms=1) is False


# Strangers


@pytest.mark.parametrize("message", [wire.Heartbeat(1), wire.Result("t", 1), wire.Released("t", 1)])
def test_a_stranger_is_asked_to_say_hello(world: World, message: wire.UpMessage) -> None:
    stranger = world.stranger()
    stranger.says(message)
    assert stranger.took(wire.Resync)


@pytest.mark.parametrize(
    "message",
    [
        wire.Accept("t", 1),
        wire.Reject("t", 1),
        wire.ProgressReport("t", 1),
        wire.Log("t", 1),
        wire.Checkpoint("t", 1),
        wire.Result("t", 1),
        wire.Released("t", 1),
        wire.Heartbeat(1, 1, [("t", 1)]),
    ],
)
def test_what_is_said_of_a_task_that_does_not_exist_changes_nothing(
    world: World, message: wire.UpMessage
) -> None:
    worker: Hand = world.worker()
    task = world.submit(target=None)
    before = world.task(task)
    worker.says(message)
    assert world.state(task) == before.state.value == "assigned"


def test_a_worker_cannot_end_a_task_that_another_has(world: World) -> None:
    owner, thief = world.worker("owner"), world.worker("thief")
    task = world.submit()
    owner.accepts(task)
    fence = owner.fence(task)
    for message in (
        wire.Result(task, fence),
        wire.Released(task, fence),
        wire.Reject(task, fence),
        wire.Heartbeat(1, 0, [(task, fence)]),
    ):
        thief.says(message)
        assert (world.state(task), world.task(task).worker) == ("running", "owner")
    thief.hello(run=[(task, fence)], free=0)
    assert thief.verdicts() == ["stop"]
    assert thief.done() == ["stale", "stale"]
