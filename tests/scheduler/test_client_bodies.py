"""What people write in Python, as the API is sent it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import orjson
import pytest

from callboard_scheduler.client.bodies import (
    batch_bodies,
    move_body,
    schedule_body,
    submit_body,
    update_body,
)


def sent(body: object) -> Any:
    return orjson.loads(orjson.dumps(body))


@dataclass
class Size:
    width: int


class Crop(msgspec.Struct):
    left: int


class Model:
    """Stands for a pydantic model."""

    def model_dump_json(self) -> str:
        return '{"kind":"model"}'


class Handle:
    id = "t7"


def test_arguments_may_be_of_the_types_that_programs_have() -> None:
    body = submit_body(
        "thumbnail",
        {
            "size": Size(64),
            "crop": Crop(1),
            "model": Model(),
            "id": UUID(int=1),
            "at": datetime(2030, 1, 1, tzinfo=UTC),
        },
        {},
    )
    assert sent(body) == {
        "name": "thumbnail",
        "args": {
            "size": {"width": 64},
            "crop": {"left": 1},
            "model": {"kind": "model"},
            "id": "00000000-0000-0000-0000-000000000001",
            "at": "2030-01-01T00:00:00+00:00",
        },
    }


def test_positional_arguments_are_a_list() -> None:
    assert sent(submit_body("add", (1, 2), {}))["args"] == [1, 2]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ("https://example.com", r"args must be a mapping .* or a list .*, got str"),
        ({"a": object()}, "args cannot be JSON: Type is not JSON serializable: object"),
        ({"a": {1}}, "args cannot be JSON: Type is not JSON serializable: set"),
        ({1: 2}, "args cannot be JSON: Dict key must be str"),
    ],
)
def test_arguments_that_cannot_be_sent_are_explained(args: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        submit_body("a", args, {})


def test_what_is_none_is_not_sent_with_a_submit() -> None:
    options = {"queue": None, "priority": 0, "delay_ms": 0, "target": None}
    assert submit_body("a", None, options) == {"name": "a", "priority": 0, "delay_ms": 0}


def test_what_is_none_in_an_update_takes_the_value_away() -> None:
    assert update_body({"target": None, "start_by": None}) == {"target": None, "start_by": None}


def test_an_update_may_have_other_arguments() -> None:
    assert sent(update_body({"args": {"a": Size(1)}})) == {"args": {"a": {"width": 1}}}


@pytest.mark.parametrize(
    "when",
    [
        datetime(2030, 1, 31, 8, 0, 0, 250_000, tzinfo=UTC),
        datetime(2030, 1, 31, 9, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1))),
        1_896_076_800_250,
    ],
)
def test_times_are_unix_milliseconds(when: Any) -> None:
    body = submit_body("a", None, {"run_at": when, "start_by": when})
    assert body["run_at"] == body["start_by"] == 1_896_076_800_250


def test_iso_times_are_left_to_the_scheduler() -> None:
    assert submit_body("a", None, {"run_at": "2030-01-31T08:00Z"})["run_at"] == "2030-01-31T08:00Z"


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"run_at has no time zone: use datetime\.now\(UTC\)"):
        submit_body("a", None, {"run_at": datetime(2030, 1, 1)})


def test_tasks_to_come_after_are_ids_or_handles() -> None:
    assert submit_body("a", None, {"after": ["t1", Handle()]})["after"] == ["t1", "t7"]
    assert submit_body("a", None, {"after": "t1"})["after"] == ["t1"]


def test_a_batch_is_of_mappings_with_names() -> None:
    bodies = batch_bodies([{"name": "a", "args": {"x": 1}, "queue": "q"}, {"name": "b"}])
    assert sent(bodies) == [{"name": "a", "args": {"x": 1}, "queue": "q"}, {"name": "b"}]


@pytest.mark.parametrize("wrong", [{"args": {}}, ("a", {}), "a"])
def test_a_batch_with_something_else_names_its_place(wrong: Any) -> None:
    with pytest.raises(TypeError, match="submission 1: expected a mapping with name"):
        batch_bodies([{"name": "a"}, wrong])


def test_a_move_is_to_a_worker_or_to_labels_or_to_anyone() -> None:
    assert move_body("w1", None) == {"target": {"worker": "w1"}}
    assert move_body(None, {"gpu": True}) == {"target": {"labels": {"gpu": True}}}
    assert move_body(None, None) == {"target": None}


def test_a_schedule_has_a_task_as_submit_takes_it() -> None:
    body = schedule_body(
        {
            "cron": "0 3 * * *",
            "timezone": None,
            "task": {"name": "report", "args": {"size": Size(1)}, "after": [Handle()]},
        }
    )
    assert sent(body) == {
        "cron": "0 3 * * *",
        "task": {"name": "report", "args": {"size": {"width": 1}}, "after": ["t7"]},
    }


def test_a_schedule_may_have_an_event_whose_data_is_any_json() -> None:
    event = {"name": "tick", "channel": "clock", "data": {"n": 1}}
    body = schedule_body({"at": datetime(2030, 1, 1, tzinfo=UTC), "event": event})
    assert body["at"] == 1_893_456_000_000
    assert body["event"] == {"name": "tick", "channel": "clock", "data": '{"n":1}'}
    # The caller's own is left alone.
    assert event["data"] == {"n": 1}
