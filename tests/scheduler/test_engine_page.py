"""docs/scheduler.md says what the code does: tables that are written, and tables that are held."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callboard_scheduler import engine, names, wire
from callboard_scheduler.core import Core, attendance, ending
from callboard_scheduler.core.actions import Announce
from callboard_scheduler.core.workers import WorkerState
from callboard_scheduler.engine import feeds, scheduler
from callboard_scheduler.fields import MAX_VALUE_BYTES
from callboard_scheduler.records import DEFAULT_NAMESPACE, Raw
from callboard_scheduler.shapes import MAX_BATCH
from callboard_scheduler.states import LIVE, Trigger
from callboard_scheduler.stores.sqlite import LINGER_SECONDS
from callboard_scheduler.transports import FOREIGN, HOSTED, OWN, Profile
from callboard_scheduler.worker.signs_of_life import GIVE_UP
from scheduler import scheduler_page
from scheduler.core_world import World

TESTS = Path(__file__).parent
TEXT = scheduler_page.PAGE.read_text("utf-8")

#: Each row of «What happens when», and the tests that show it.
SHOWN_BY = {
    "a worker is killed": [
        "test_a_killed_worker_s_task_goes_to_another_at_once",
        "test_a_task_can_say_when_it_counts_as_lost",
        "test_a_killed_workers_task_runs_elsewhere_whatever_the_worker_leaves_behind",
    ],
    "a worker freezes, its connection open": [
        "test_a_worker_that_is_silent_for_a_lease_loses_its_task_and_is_cut_off",
        "test_one_that_wakes_up_is_told_what_is_not_its_any_more",
        "test_a_frozen_workers_task_runs_elsewhere_and_what_it_says_later_does_not_count",
    ],
    "it wakes with a result": [
        "test_a_late_result_counts_while_nobody_else_has_the_task",
        "test_a_late_result_counts_while_the_next_worker_was_not_heard_of",
        "test_a_late_result_does_not_count_once_the_next_worker_was_heard_of",
    ],
    "a worker hears nobody, and goes on": [
        "test_a_worker_that_hears_nobody_stops_before_its_task_runs_elsewhere",
    ],
    "it reconnects in time, with `resume`": [
        "test_one_that_is_back_within_its_grace_keeps_its_task",
        "test_a_worker_that_resumes_keeps_its_task_while_its_connection_is_away",
    ],
    "a task takes its workers along": ["test_a_task_that_loses_too_many_workers_is_dead"],
    "workers die before they say a word of a task": [
        "test_a_task_that_nobody_lives_to_speak_of_is_dead_in_the_end",
        "test_a_task_that_was_only_sent_is_not_blamed",
    ],
    "an assignment is lost on its way": [
        "test_a_repeated_assignment_has_the_same_fence",
        "test_an_assignment_that_nobody_answers_is_sent_three_times_and_given_back",
    ],
    "a result, or its `done`, is lost on its way": [
        "test_a_repeated_result_changes_nothing_and_is_acknowledged_again",
        "test_a_result_that_comes_behind_a_hello_still_counts",
    ],
    "two processes have one worker's id": [
        "test_a_second_process_of_one_id_is_refused_while_the_first_lives",
        "test_a_second_process_takes_the_place_of_one_that_is_silent",
    ],
    "the scheduler is killed and comes back": [
        "test_a_worker_that_still_runs_a_task_goes_on",
        "test_what_a_worker_that_came_back_does_not_claim_is_lost_after_a_second",
        "test_what_nobody_comes_back_to_is_lost_after_a_lease",
        "test_a_scheduler_that_comes_back_finds_its_workers_where_they_were",
    ],
    "it crashed before an assignment was on the disk": [
        "test_a_forgotten_assignment_goes_on",
        "test_one_that_was_given_to_another_since_is_to_stop",
    ],
    "the disk is full, or fails": [
        "test_a_submit_that_cannot_be_stored_is_refused_with_the_reason_and_forgotten",
        "test_while_it_fails_submits_are_refused_at_once_and_nothing_is_given_out",
        "test_no_lease_ends_while_it_fails",
        "test_a_full_disk_refuses_what_it_cannot_keep_and_is_used_again_when_it_has_room",
    ],
    "the wall clock is set": [
        "test_a_wall_clock_that_is_set_forward_is_noticed_though_nothing_happens",
        "test_a_clock_set_back_fires_no_tick_twice",
    ],
    "a second scheduler starts on the same data": [
        "test_two_schedulers_of_one_data_directory_do_not_run_at_once",
    ],
}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of each row of the table with this heading row, or of its beginning."""
    table = TEXT.split(heading, 1)[1].partition("\n\n")[0]
    lines = [line for line in table.splitlines()[1:] if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if not set(line) <= set("|- ")
    ]


def test_the_life_of_a_task_is_that_of_the_table() -> None:
    assert scheduler_page.written(TEXT) == TEXT, "run `make docs`"


def test_there_are_words_for_everything_that_moves_a_task() -> None:
    assert scheduler_page.WORDS.keys() == set(Trigger)


def test_every_row_of_what_happens_when_has_tests_that_show_it() -> None:
    assert [row[0] for row in rows("| what happens | what everyone sees |")] == list(SHOWN_BY)
    defined = {
        name
        for path in TESTS.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    for tests in SHOWN_BY.values():
        assert set(tests) <= defined


@pytest.mark.parametrize(("row", "profile"), list(enumerate([OWN, FOREIGN, HOSTED])))
def test_spans_are_those_of_the_profiles(row: int, profile: Profile) -> None:
    assert rows("| service | heartbeat |")[row][1:] == [
        f"{profile.hb_ms / 1000:g} s",
        f"{profile.lease_ms / 1000:g} s",
        f"{profile.grace_ms / 1000:g} s",
        f"{profile.accept_ms / 1000:g} s, sent {profile.sends} times",
        f"every {profile.progress_ms:,} ms",
    ]
    assert f"answered for {GIVE_UP} of the\nlease" in TEXT
    assert f"`stopping` is\nfor {ending.STOP_MS / 1000} s at most" in TEXT


def test_limits_are_those_of_the_code() -> None:
    limits = dict(rows("## Limits\n\n"))
    assert limits["tasks that wait in one queue"].startswith(f"{engine.MAX_BACKLOG:,} ")
    assert limits["a task's `args`, and its result"] == f"{MAX_VALUE_BYTES >> 20} MiB each"
    event = limits["one event to or from a worker, or on a feed"]
    assert event.startswith(f"{OWN.limits.bytes:,} bytes, elsewhere {FOREIGN.limits.bytes:,};")
    assert limits["slots of a worker"] == f"{attendance.MOST_SLOTS:,}"
    assert limits["a batch of submits"] == f"{MAX_BATCH:,} tasks"
    assert engine.KEEP_MS == 7 * 86_400_000
    assert limits["finished tasks"].startswith("kept for a week")
    put = limits["large results that were put and not reported"]
    assert put.startswith(f"{scheduler._VALUES_KEPT} at once")
    assert f"within {LINGER_SECONDS * 1000:.0f} ms" in TEXT
    assert ending.MOST_UNHEARD == 10


def test_feeds_have_the_names_that_they_have() -> None:
    assert [row[0].strip("`") for row in rows("| channel | shows |")] == [
        names.task_channel(DEFAULT_NAMESPACE, "{task}"),
        names.queue_channel(DEFAULT_NAMESPACE, "{queue}"),
        names.fleet_channel(DEFAULT_NAMESPACE),
    ]


def test_events_of_a_task_have_the_fields_that_are_named() -> None:
    named = {
        row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows("| event | data |")
    }
    named["result"] |= named["state"]
    seen: dict[str, set[str]] = {}
    for action in _a_full_life():
        seen.setdefault(action.event, set()).update(action.data.keys() - {"s"})
    assert seen.keys() == named.keys() - {"stats", "fleet"}
    for event, fields in seen.items():
        assert fields <= named[event], event
        if event in ("progress", "log", "moved", "state"):
            assert fields == named[event], event


def _a_full_life() -> list[Announce]:
    """A task that waits, is lost, moves to another worker, fails, and succeeds in the end."""
    world = World()
    worker, other = world.worker(), world.worker("w2")
    task = world.submit()
    worker.accepts(task)
    worker.progresses(task, 1, 50.0, msg="half", data=Raw(b"1"))
    worker.says(wire.Log(task, worker.fence(task), txt="a line"))
    worker.leaves()
    other.accepts(task)
    other.fails(task)
    world.passes(5_000)
    other.accepts(task)
    other.succeeds(task, 7)
    return world.announced


def test_numbers_have_the_fields_that_are_named() -> None:
    world = World()
    world.worker()
    world.submit()
    core: Core = world.core
    data = {row[0].strip("`"): row[1] for row in rows("| event | data |")}
    stats = set(feeds.queue_numbers(core, "default")) - {state.value for state in LIVE}
    assert stats == set(re.findall(r"`(\w+)`", data["stats"]))
    fleet = set(feeds.fleet_numbers(core))
    assert fleet == set(re.findall(r"`(\w+)`", data["fleet"]))
    assert fleet >= {state.value for state in WorkerState}
