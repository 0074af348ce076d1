"""The body of a schedule: when and what, each fault by its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_scheduler.errors import BadField, TooLarge
from callboard_scheduler.publishing import DocumentedLimits
from callboard_scheduler.records import Misfire, Overlap, Schedule
from callboard_scheduler.schedule_body import parse_schedule

NOW = 1_700_000_000_000
TASK: dict[str, Any] = {"name": "report", "args": {"month": 5}}
EVENT: dict[str, Any] = {"name": "tick", "channel": "clock", "data": "{}"}
CRON: dict[str, Any] = {"cron": "*/5 * * * *", "task": TASK}


def parse(body: object, schedule_id: str = "nightly") -> Schedule:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_schedule(schedule_id, text, DocumentedLimits(), NOW)


def fault(body: object, schedule_id: str = "nightly") -> str:
    with pytest.raises(BadField) as refusal:
        parse(body, schedule_id)
    return str(refusal.value)


def test_a_time_and_a_task_are_enough() -> None:
    schedule = parse(CRON)
    assert schedule == Schedule("nightly", cron="*/5 * * * *", task=schedule.task)
    assert schedule.task is not None and json.loads(bytes(schedule.task)) == TASK


def test_everything_that_a_schedule_can_say() -> None:
    schedule = parse(
        {
            **CRON,
            "timezone": "Europe/Berlin",
            "misfire": "all",
            "overlap": "skip",
            "jitter_ms": 500,
            "paused": True,
        }
    )
    assert schedule.timezone == "Europe/Berlin"
    assert (schedule.misfire, schedule.overlap) == (Misfire.ALL, Overlap.SKIP)
    assert (schedule.jitter_ms, schedule.paused) == (500, True)


def test_null_is_as_good_as_leaving_a_field_out() -> None:
    nulls = dict.fromkeys(
        ["timezone", "every_ms", "at", "misfire", "overlap", "jitter_ms", "paused", "event"]
    )
    assert parse({**nulls, **CRON}) == parse(CRON)


def test_a_schedule_runs_every_so_often_or_once() -> None:
    assert parse({"every_ms": 60_000, "task": TASK}).every_ms == 60_000
    assert parse({"at": "2023-11-14T22:13:20Z", "task": TASK}).at == NOW


def test_an_event_is_kept_as_its_task_publishes_it() -> None:
    schedule = parse({"every_ms": 60_000, "event": {**EVENT, "socket_id": "1.2"}})
    assert schedule.event is not None and schedule.task is None
    assert json.loads(bytes(schedule.event)) == {
        "name": "tick",
        "channels": ["clock"],
        "data": "{}",
        "socket_id": "1.2",
    }


def test_a_task_may_wait_after_its_tick() -> None:
    assert parse({**CRON, "task": {**TASK, "delay_ms": 1_000, "unique_key": "report"}}).task


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"task": TASK}, "cron: expected exactly one of cron, every_ms and at, got none"),
        ({**CRON, "every_ms": 1_000}, "every_ms: expected exactly one of cron, every_ms and at"),
        ({"cron": "* * * * *"}, "task: expected either task or event, got neither"),
        ({**CRON, "event": EVENT}, "task: expected either task or event, got both"),
        ({"cron": "61 * * * *", "task": TASK}, "cron: "),
        ({"cron": 5, "task": TASK}, "cron: expected a string, got 5"),
        ({**CRON, "timezone": "Europe/Berlim"}, "timezone: "),
        ({"every_ms": 1, "task": TASK}, "every_ms: expected 100 to"),
        ({"every_ms": "5m", "task": TASK}, "every_ms: expected whole milliseconds, got '5m'"),
        ({"at": 1_700_000_000, "task": TASK}, "at: expected milliseconds, got 1700000000"),
        ({**CRON, "misfire": "drop"}, "misfire: expected 'skip', 'latest' or 'all', got 'drop'"),
        ({**CRON, "overlap": 1}, "overlap: expected 'allow', 'skip', 'queue' or 'cancel', got 1"),
        ({**CRON, "jitter_ms": -1}, "jitter_ms: expected whole milliseconds"),
        ({**CRON, "paused": "no"}, "paused: expected true or false, got 'no'"),
        ({**CRON, "next_at": 5}, "next_at: unknown field, expected cron, timezone, every_ms"),
        ({**CRON, "task": 5}, "task: expected an object, got 5"),
        ({**CRON, "task": {}}, "task.name: missing, expected a string of 1 to 200 characters"),
        ({**CRON, "task": {**TASK, "retry": {"factor": 0}}}, "task.retry.factor: expected"),
        ({**CRON, "task": {**TASK, "run_at": NOW}}, "task.run_at: expected none"),
        ({"cron": "* * * * *", "event": 5}, "event: Expected a JSON object"),
        ({"cron": "* * * * *", "event": {"name": "e"}}, "event: Missing required parameter: data"),
        ({"cron": "* * * * *", "event": {**EVENT, "delay_ms": 5}}, "event.delay_ms: expected none"),
        ({"cron": "* * * * *", "event": {**EVENT, "info": "user_count"}}, "event.info: expected"),
        ([], "body: expected an object, got an array of 0"),
        (b"", "body: expected a JSON object, got an empty body"),
    ],
)
def test_a_fault_is_told_by_its_field(body: object, told: str) -> None:
    assert fault(body).startswith(told)


def test_an_event_with_too_much_data_is_too_large() -> None:
    with pytest.raises(TooLarge, match="event: The data content of this event exceeds"):
        parse({"every_ms": 60_000, "event": {**EVENT, "data": "x" * 10_241}})


@pytest.mark.parametrize("schedule_id", ["", "a b", "ä", "a/b", "x" * 81])
def test_its_id_has_to_be_part_of_its_tasks_ids(schedule_id: str) -> None:
    assert fault(CRON, schedule_id).startswith("id: expected 1 to 80 ASCII letters, digits")


@given(
    st.dictionaries(
        st.sampled_from(["cron", "timezone", "every_ms", "at", "misfire", "task", "event", "x"]),
        st.none()
        | st.integers()
        | st.text(max_size=8)
        | st.sampled_from(["* * * * *", "0 0 30 2 *", "UTC", "latest"])
        | st.dictionaries(st.sampled_from(["name", "data", "channels"]), st.text(), max_size=3),
        max_size=5,
    )
)
def test_any_body_is_taken_or_refused_by_field(body: dict[str, Any]) -> None:
    try:
        parse(body)
    except BadField as refusal:
        assert refusal.field and refusal.text
