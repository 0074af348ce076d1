"""Events that are published later: which bodies they are, and the tasks that they become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol.rest import BadRequest
from callboard_scheduler import publishing
from callboard_scheduler.errors import BadField
from callboard_scheduler.names import PUBLISH, PUBLISH_QUEUE
from callboard_scheduler.publishing import DocumentedLimits, ScheduledEvents, fault_of
from callboard_scheduler.records import Spec

NOW = 1_700_000_000_000
EVENT: dict[str, Any] = {"name": "created", "channel": "orders", "data": '{"id":1}'}


def scheduled(body: object) -> ScheduledEvents | None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return publishing.scheduled_events(text, DocumentedLimits(), NOW)


def specs(body: object) -> list[Spec]:
    events = scheduled(body)
    assert events is not None
    return [submission.spec for submission in events.submissions]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"7",
        b'["delay_ms"]',
        EVENT,
        {**EVENT, "delay_ms": None},
        {**EVENT, "deliver_at": None, "delay_ms": None},
        {**EVENT, "data": '{"delay_ms": 5}'},
        {**EVENT, "data": '"deliver_at"'},
        {"batch": [EVENT, EVENT]},
        {"batch": [7, "delay_ms"]},
        {"batch": {"delay_ms": 5}},
        {"name": "delay_ms"},
    ],
)
def test_every_other_trigger_goes_its_ordinary_way(body: object) -> None:
    assert scheduled(body) is None


def test_an_event_with_a_delay_becomes_a_task_of_the_scheduler() -> None:
    [spec] = specs({**EVENT, "delay_ms": 1_500})
    assert (spec.name, spec.queue, spec.run_at) == (PUBLISH, PUBLISH_QUEUE, NOW + 1_500)
    assert json.loads(bytes(spec.args)) == {
        "name": "created",
        "channels": ["orders"],
        "data": '{"id":1}',
    }


def test_its_arguments_are_a_trigger_with_one_list_of_channels() -> None:
    body = {
        "name": "created",
        "channels": ["a", "b", "a"],
        "data": "ä",
        "socket_id": "1.2",
        "deliver_at": NOW + 1,
        "trace": "what SDKs add is left out",
    }
    [spec] = specs(body)
    assert json.loads(bytes(spec.args)) == {
        "name": "created",
        "channels": ["a", "b"],
        "data": "ä",
        "socket_id": "1.2",
    }


@pytest.mark.parametrize(
    ("when", "run_at"),
    [
        ({"delay_ms": 0}, None),
        ({"delay_ms": 5, "deliver_at": None}, NOW + 5),
        ({"deliver_at": NOW + 7}, NOW + 7),
        ({"deliver_at": "2023-11-15T00:13:20+02:00"}, NOW),
    ],
)
def test_the_time_is_given_like_that_of_a_task(when: dict[str, Any], run_at: int | None) -> None:
    assert specs({**EVENT, **when})[0].run_at == run_at


def test_each_event_of_a_batch_becomes_a_task() -> None:
    events = scheduled({"batch": [{**EVENT, "delay_ms": 5}, {**EVENT, "deliver_at": NOW}]})
    assert events is not None and events.batch
    assert [submission.spec.run_at for submission in events.submissions] == [NOW + 5, NOW]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {**EVENT, "delay_ms": 5, "deliver_at": NOW},
            "deliver_at: expected either delay_ms or deliver_at, got both",
        ),
        (
            {**EVENT, "delay_ms": "5"},
            "delay_ms: expected whole milliseconds from 0 to 315360000000, got '5'",
        ),
        (
            {**EVENT, "deliver_at": "soon"},
            (
                "deliver_at: expected Unix time in milliseconds, "
                "or an ISO 8601 time with its zone, got 'soon'"
            ),
        ),
        (
            {**EVENT, "delay_ms": 5, "info": "user_count"},
            "info: expected none: who is there is not known before the time",
        ),
        (
            {"batch": [{**EVENT, "delay_ms": 5}, EVENT]},
            "batch[1].deliver_at: missing, expected deliver_at or delay_ms of every event",
        ),
        (
            json.dumps(EVENT).encode()[:-1] + b',"delay_ms":' + b"[" * 500 + b"]" * 500 + b"}",
            "body: it is nested too deeply",
        ),
    ],
)
def test_a_time_that_is_none_is_refused_by_field(body: object, told: str) -> None:
    with pytest.raises(BadField) as refusal:
        scheduled(body)
    assert str(refusal.value) == told


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"name": "e", "channel": "c", "delay_ms": 5}, 400, "Missing required parameter: data"),
        ({**EVENT, "channel": "no spaces", "delay_ms": 5}, 400, "Invalid channel name"),
        ({**EVENT, "data": "x" * 10_241, "delay_ms": 5}, 413, "The data content of this event"),
        ({"batch": [{**EVENT, "delay_ms": 5}] * 11}, 400, "Batch too large"),
        ({"batch": [{**EVENT, "delay_ms": 5}, 7]}, 400, "Expected batch"),
    ],
)
def test_a_trigger_that_could_not_be_published_now_cannot_be_later(
    body: object, status: int, told: str
) -> None:
    with pytest.raises(BadRequest, match=told) as refusal:
        scheduled(body)
    assert refusal.value.status == status


@given(
    st.dictionaries(
        st.sampled_from(["name", "channel", "channels", "data", "delay_ms", "deliver_at", "batch"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["name", "data", "delay_ms"]), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_body_is_taken_or_refused_in_words(body: dict[str, Any]) -> None:
    try:
        scheduled(body)
    except (BadField, BadRequest) as refusal:
        assert str(refusal)


def test_only_the_time_and_the_priority_of_such_a_task_can_be_changed() -> None:
    assert fault_of({"run_at": None, "start_by": None, "priority": 3}) is None
    for field in ("args", "name", "queue", "target", "retry"):
        fault = fault_of({"run_at": None, field: None})
        assert fault is not None and fault.field == field
        assert "cancel it and trigger that one" in fault.text
