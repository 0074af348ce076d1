"""A worker's conversation with its scheduler, without a socket and with time of its own."""

from __future__ import annotations

import msgspec
import pytest

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker.actions import Blocked, Change, Drain, Probe, Refuse, Welcomed
from callboard_scheduler.worker.phases import Phase
from callboard_scheduler.worker.work import (
    ACCEPT_PATIENCE_SECONDS,
    BUSY,
    STOP_SECONDS,
)
from support.worker_session import BOOT, LIMITS, Harness, only


@pytest.fixture
def worker() -> Harness:
    """Return a worker with two slots that was welcomed."""
    harness = Harness()
    harness.open()
    return harness


# Greeting


def test_hello_is_repeated_with_growing_pauses_until_it_is_welcomed() -> None:
    harness = Harness()
    assert harness.skip(60) == []
    harness.session.subscribed(harness.now)
    harness.skip(50)
    assert harness.pauses(wire.Hello) == [0.5, 1, 2, 4, 8, 15, 15]
    harness.hear(harness.welcome())
    assert only(wire.Hello, harness.skip(30)) == []
    assert harness.took(Welcomed) == [Welcomed()]


def test_hello_shows_a_token_and_says_that_heartbeats_follow(worker: Harness) -> None:
    worker.session.subscribed(worker.now)
    (hello,) = only(wire.Hello, worker.speak())
    assert (hello.token, hello.hb, hello.cap, hello.free, hello.run) == ("token", True, 2, 2, [])


def test_a_welcome_for_another_process_of_the_same_id_is_not_ours() -> None:
    harness = Harness()
    harness.session.subscribed(harness.now)
    harness.hear(harness.welcome(boot="another"))
    assert harness.session.phase is Phase.GREETING


def test_nothing_of_the_work_counts_before_the_welcome() -> None:
    harness = Harness()
    harness.session.subscribed(harness.now)
    harness.assign()
    assert harness.started == []
    harness.hear(harness.welcome(), wire.Assign(id="t9", f=9, att=1, name="work"))
    assert harness.started == [9]


def test_a_refused_worker_stops_talking_and_says_why() -> None:
    harness = Harness()
    harness.session.subscribed(harness.now)
    harness.speak()
    harness.hear(wire.Refused("wrong token"))
    assert harness.took(Refuse) == [Refuse("wrong token")]
    assert harness.skip(60) == []


def test_a_welcomed_worker_minds_no_refusal_that_is_meant_for_another(worker: Harness) -> None:
    worker.hear(wire.Refused("another process is worker w"))
    assert worker.session.phase is Phase.OPEN
    assert worker.took(Refuse) == []


def test_a_worker_that_is_not_welcomed_yet_minds_no_refusal_of_another_process() -> None:
    harness = Harness()
    harness.session.subscribed(harness.now)
    harness.hear(wire.Refused("another process is worker w", "another boot"))
    assert harness.took(Refuse) == []
    harness.hear(wire.Refused("another process is worker w", BOOT))
    assert harness.took(Refuse) == [Refuse("another process is worker w")]


def test_whoever_asks_to_be_greeted_is_greeted(worker: Harness) -> None:
    given = worker.assign()
    worker.speak()
    worker.hear(wire.Resync())
    (hello,) = only(wire.Hello, worker.skip(0.1))
    assert hello.run == [(given.id, given.f)]
    assert hello.free == 1


def test_a_hello_that_nobody_may_have_heard_is_said_again_at_once_if_it_is_asked_for() -> None:
    harness = Harness()
    harness.session.subscribed(harness.now)
    assert len(only(wire.Hello, harness.speak())) == 1
    harness.hear(wire.Resync())
    assert len(only(wire.Hello, harness.speak())) == 1


def test_a_lower_term_is_ignored_and_a_higher_one_is_greeted(worker: Harness) -> None:
    worker.hear(wire.HeartbeatAck(1), term=5)
    assert only(wire.Hello, worker.skip(0.1)) != []
    worker.hear(worker.welcome(), term=5)
    worker.hear(wire.Assign(id="old", f=1, att=1, name="work"), term=4)
    assert worker.started == []


def test_a_new_subscription_forgets_the_term(worker: Harness) -> None:
    worker.term = 5
    worker.open()
    worker.term = 1
    worker.session.lost()
    worker.open()
    worker.assign()
    assert worker.started == [1]


# Work


def test_an_assignment_is_started_once_and_accepted_as_often_as_it_is_repeated(
    worker: Harness,
) -> None:
    given = worker.assign()
    assert only(wire.Accept, worker.speak()) == [wire.Accept(given.id, given.f)]
    worker.hear(given)
    worker.hear(given)
    assert only(wire.Accept, worker.skip(0.1)) == [wire.Accept(given.id, given.f)]
    assert worker.started == [given.f]


def test_a_result_is_repeated_with_growing_pauses_until_it_is_recorded(worker: Harness) -> None:
    given = worker.assign()
    worker.finish(given, '{"x":1}')
    worker.skip(100)
    assert worker.pauses(wire.Result) == [1, 2, 4, 8, 16, 30, 30]
    worker.record(given)
    assert only(wire.Result, worker.skip(120)) == []


def test_a_result_that_comes_at_once_needs_no_accept(worker: Harness) -> None:
    given = worker.assign()
    worker.finish(given)
    said = worker.speak()
    assert only(wire.Accept, said) == []
    assert [message.f for message in only(wire.Result, said)] == [given.f]


def test_accept_waits_a_moment_where_the_last_result_came_at_once(worker: Harness) -> None:
    first = worker.assign()
    worker.finish(first)
    worker.skip(0.1)
    worker.assign()
    assert worker.speak() == []
    assert len(only(wire.Accept, worker.skip(ACCEPT_PATIENCE_SECONDS))) == 1


def test_what_has_not_begun_is_neither_accepted_nor_claimed_until_it_does(
    worker: Harness,
) -> None:
    worker.blocked = True
    given = worker.assign()
    worker.hear(given, wire.HeartbeatAck(1, lost=[(given.id, given.f)]))
    (beat,) = worker.skip(3.0)
    assert isinstance(beat, wire.Heartbeat)
    # The scheduler counts by itself what it has sent.
    assert (beat.run, beat.free) == ([], 2)
    worker.hear(wire.Resync())
    (hello,) = only(wire.Hello, worker.skip(0.1))
    assert (hello.run, hello.free) == ([], 2)
    worker.hear(worker.welcome())
    assert only(wire.Accept, worker.skip(0.1)) == []
    worker.move()
    assert only(wire.Accept, worker.speak()) == [wire.Accept(given.id, given.f)]
    assert worker.started == [given.f]


def test_no_more_is_taken_than_there_are_slots_though_nothing_has_begun(worker: Harness) -> None:
    worker.blocked = True
    worker.assign(), worker.assign()
    surplus = worker.assign()
    (reject,) = only(wire.Reject, worker.speak())
    assert (reject.f, reject.why) == (surplus.f, "busy")


def test_what_has_not_begun_and_is_stopped_is_released_at_once(worker: Harness) -> None:
    worker.blocked = True
    given = worker.assign()
    worker.hear(wire.Revoke(given.id, given.f, "cancelled", 2_000))
    worker.speak_actions()
    assert only(wire.Released, worker.speak()) == [wire.Released(given.id, given.f)]


def test_a_blocked_loop_gives_back_what_has_not_begun_and_has_no_free_slots() -> None:
    worker = Harness(3, watched=True)
    worker.open()
    runs = worker.assign()
    worker.skip(1)
    worker.blocked = True
    waits = worker.assign()
    assert worker.skip(0.9) == []
    said = worker.skip(0.4)
    assert said == [wire.Capacity(0, 0), wire.Reject(waits.id, waits.f, BUSY)]
    assert worker.took(Blocked) == [Blocked()]
    late = worker.assign()
    assert worker.speak() == [wire.Reject(late.id, late.f, BUSY)]
    beat = only(wire.Heartbeat, worker.skip(3))[0]
    assert (beat.run, beat.free) == ([(runs.id, runs.f)], 0)
    assert worker.took(Blocked) == []
    worker.started.clear()
    worker.move()
    assert worker.speak() == [wire.Capacity(3, 2)]
    assert worker.started == []


def test_a_process_that_was_frozen_as_a_whole_does_not_take_its_loop_for_blocked() -> None:
    worker = Harness(watched=True)
    worker.open()
    worker.assign()
    worker.skip(1)
    worker.blocked = True
    worker.skip(0.5)
    worker.now += 7.0
    worker.speak()
    worker.move()
    worker.skip(3)
    assert worker.took(Blocked) == []


def test_a_loop_is_not_looked_at_while_nothing_is_held() -> None:
    worker = Harness(watched=True)
    worker.open()
    worker.skip(20)
    assert worker.took(Probe) == []
    worker.assign()
    worker.skip(1)
    assert len(worker.took(Probe)) == 5


def test_what_is_over_is_not_started_again_by_a_late_repeat(worker: Harness) -> None:
    given = worker.assign()
    worker.finish(given)
    worker.speak()
    worker.hear(given)
    assert [message.f for message in only(wire.Result, worker.skip(0.1))] == [given.f]
    worker.record(given)
    worker.hear(given)
    assert worker.started == [given.f]
    assert only(wire.Result, worker.skip(60)) == []


def test_more_than_there_are_slots_is_rejected_and_so_is_its_repeat(worker: Harness) -> None:
    first, _ = worker.assign(), worker.assign()
    surplus = worker.assign()
    worker.hear(surplus)
    rejects = only(wire.Reject, worker.skip(0.1))
    assert [(reject.f, reject.why) for reject in rejects] == [(surplus.f, "busy")] * 2
    worker.finish(first)
    worker.hear(surplus)
    assert surplus.f not in worker.started


def test_a_name_that_is_not_known_is_rejected_in_the_schedulers_words() -> None:
    harness = Harness(names=["known"])
    harness.open()
    harness.assign("unknown")
    (reject,) = only(wire.Reject, harness.speak())
    assert reject.why == wire.UNKNOWN_NAME


def test_a_newer_assignment_of_a_task_stops_the_older_one(worker: Harness) -> None:
    older = worker.assign(id="t")
    worker.assign(id="t")
    assert worker.stopped == [(older.f, "superseded")]


def test_what_is_stopped_and_raises_is_released_with_its_checkpoint(worker: Harness) -> None:
    given = worker.assign()
    worker.work.saved(given.f, Raw(b'{"page":7}'))
    worker.hear(wire.Revoke(given.id, given.f, "cancelled", 2_000))
    assert worker.stopped == [(given.f, "cancelled")]
    worker.work.failed(given.f, wire.ResultError("CancelledError"), worker.now)
    (released,) = only(wire.Released, worker.speak())
    assert msgspec.json.decode(released.ck or b"") == {"page": 7}


def test_what_is_stopped_and_returns_has_finished(worker: Harness) -> None:
    given = worker.assign()
    worker.hear(wire.Revoke(given.id, given.f, "cancelled", 2_000))
    worker.finish(given)
    assert [message.ok for message in only(wire.Result, worker.speak())] == [True]


def test_what_does_not_stop_is_released_all_the_same_and_keeps_its_slot(worker: Harness) -> None:
    given = worker.assign()
    worker.skip(1)
    worker.hear(wire.Revoke(given.id, given.f, "cancelled", 2_000))
    assert only(wire.Released, worker.skip(STOP_SECONDS - 0.1)) == []
    said = worker.skip(0.1)
    assert [(type(message), getattr(message, "cap", None)) for message in said] == [
        (wire.Capacity, 1),
        (wire.Released, None),
    ]
    worker.assign()
    worker.assign()
    assert [reject.why for reject in only(wire.Reject, worker.skip(0.1))] == ["busy"]
    worker.work.failed(given.f, wire.ResultError(), worker.now)
    (capacity,) = worker.skip(0.1)
    assert isinstance(capacity, wire.Capacity)
    assert (capacity.cap, capacity.free) == (2, 1)


def test_a_short_time_to_stop_is_kept(worker: Harness) -> None:
    given = worker.assign()
    worker.hear(wire.Revoke(given.id, given.f, "moved", 400))
    assert len(only(wire.Released, worker.skip(0.4))) == 1


def test_what_is_revoked_before_it_arrives_is_never_started(worker: Harness) -> None:
    late = wire.Assign(id="t", f=7, att=1, name="work")
    worker.hear(wire.Revoke("t", 7, "cancelled", 2_000))
    assert [message.f for message in only(wire.Released, worker.speak())] == [7]
    worker.hear(late)
    assert worker.started == []


def test_an_update_is_handed_over_once_and_the_next_heartbeat_shows_it(worker: Harness) -> None:
    given = worker.assign()
    update = wire.Update(given.id, given.f, 3, prio=5)
    worker.hear(update)
    worker.hear(update)
    (beat,) = only(wire.Heartbeat, worker.skip(0.1))
    assert beat.rev == {given.id: 3}
    assert [change.update.rev for change in worker.took(Change)] == [3]


# Reports


def test_progress_is_merged_to_the_newest_and_its_pauses_are_kept(worker: Harness) -> None:
    given = worker.assign(prog_ms=1_000)
    reports = []
    for tenth in range(30):
        worker.work.progressed(given.f, tenth, None, None)
        reports += only(wire.ProgressReport, worker.skip(0.1))
    assert worker.pauses(wire.ProgressReport) == [1, 1]
    assert [report.s for report in reports] == [1, 2, 3]
    assert [report.pct for report in reports] == [0, 10, 20]


def test_the_last_progress_and_log_go_ahead_of_the_result(worker: Harness) -> None:
    given = worker.assign(prog_ms=60_000)
    worker.work.progressed(given.f, 1, None, None)
    worker.skip(1)
    worker.work.progressed(given.f, 100, "all", None)
    worker.work.logged(given.f, "info", "done")
    worker.finish(given)
    said = worker.speak()
    assert [type(message) for message in said] == [wire.Log, wire.ProgressReport, wire.Result]


def test_a_checkpoint_is_said_again_in_a_new_session(worker: Harness) -> None:
    given = worker.assign()
    worker.work.saved(given.f, Raw(b"1"))
    assert len(only(wire.Checkpoint, worker.skip(1))) == 1
    worker.session.lost()
    worker.open()
    assert len(only(wire.Checkpoint, worker.skip(1))) == 1


def test_events_keep_to_size_and_rate_and_lines_of_log_go_first(worker: Harness) -> None:
    given = worker.assign()
    for n in range(2_000):
        worker.work.logged(given.f, "info", f"{n} {'x' * 100}")
    worker.finish(given)
    before = len(worker.sent)
    said = worker.speak()
    # The result does not wait behind lines that were there before it.
    assert only(wire.Result, said) != []
    said += worker.skip(20)
    lines = only(wire.Log, said)
    assert len(lines) == 500
    assert lines[-1].txt.startswith("1999 ")
    sent = worker.sent[before:]
    assert max(size for _, size in sent) <= LIMITS.bytes
    for at, _ in sent:
        within = [other for other, _ in sent if at <= other < at + 1]
        assert len(within) <= LIMITS.rate * 1.25 + 1


def test_a_result_that_no_event_can_hold_fails_the_task_and_says_so(worker: Harness) -> None:
    given = worker.assign()
    worker.finish(given, f'"{"x" * LIMITS.bytes}"')
    (result,) = only(wire.Result, worker.speak())
    assert not result.ok
    assert result.err is not None
    assert (result.err.type, result.err.retry) == ("TooLarge", False)
    assert "an event holds 2000" in result.err.msg


# Life


def test_heartbeats_list_what_runs_and_not_what_has_finished(worker: Harness) -> None:
    runs, finished = worker.assign(), worker.assign()
    worker.finish(finished)
    (beat,) = only(wire.Heartbeat, worker.skip(3.1))
    assert beat.run == [(runs.id, runs.f)]
    assert beat.free == 1
    worker.session.lost()
    worker.session.subscribed(worker.now)
    (hello,) = only(wire.Hello, worker.speak())
    assert hello.run == [(runs.id, runs.f), (finished.id, finished.f)]


def test_without_an_answer_all_work_stops_before_the_lease_is_over(worker: Harness) -> None:
    given = worker.assign()
    worker.skip(3.1)
    worker.hear(wire.HeartbeatAck(1))
    # Answered was the beat that was sent 3 s after the welcome.
    worker.skip(7.8)
    assert worker.stopped == []
    worker.skip(0.2)
    assert worker.stopped == [(given.f, "lost")]


def test_a_worker_that_was_cut_off_gives_up_as_well(worker: Harness) -> None:
    given = worker.assign()
    worker.session.lost()
    worker.skip(8.1)
    assert worker.stopped == [(given.f, "lost")]


def test_what_the_scheduler_has_given_to_others_is_stopped(worker: Harness) -> None:
    first, second = worker.assign(), worker.assign()
    worker.hear(wire.HeartbeatAck(1, stop=[(first.id, first.f)]))
    assert worker.stopped == [(first.f, "lost")]
    worker.session.lost()
    worker.open(run=[(second.id, second.f, "stop")])
    assert worker.stopped == [(second.f, "lost")]


def test_what_the_scheduler_misses_is_confirmed_repeated_or_refused(worker: Harness) -> None:
    runs, finished = worker.assign(), worker.assign()
    worker.finish(finished)
    worker.skip(0.1)
    worker.hear(
        wire.HeartbeatAck(1, lost=[(runs.id, runs.f), (finished.id, finished.f), ("t9", 9)])
    )
    said = worker.speak()
    assert {type(message) for message in said} == {wire.Accept, wire.Result, wire.Reject}
    worker.hear(wire.Assign(id="t9", f=9, att=1, name="work"))
    assert 9 not in worker.started


def test_results_survive_a_reconnect_and_are_due_at_once_in_the_new_session(
    worker: Harness,
) -> None:
    given = worker.assign()
    worker.session.lost()
    worker.finish(given)
    assert worker.skip(5) == []
    worker.open()
    assert [message.f for message in only(wire.Result, worker.speak())] == [given.f]


def test_a_draining_worker_has_no_capacity_and_takes_nothing_new(worker: Harness) -> None:
    given = worker.assign()
    worker.hear(wire.Drain(5_000))
    assert worker.took(Drain) == [Drain(5_000)]
    (capacity,) = only(wire.Capacity, worker.skip(0.1))
    assert (capacity.cap, capacity.free) == (0, 0)
    worker.assign()
    assert [reject.why for reject in only(wire.Reject, worker.skip(0.1))] == ["draining"]
    assert not worker.work.idle
    worker.finish(given)
    worker.speak()
    assert not worker.work.idle
    worker.record(given)
    assert worker.work.idle
    assert wire.decode_up(worker.session.leave("drained")[0]).m == [wire.Bye("drained")]
    assert worker.skip(60) == []
