"""The queries of the API's questions."""

from __future__ import annotations

import pytest

from callboard_scheduler.errors import BadField
from callboard_scheduler.queries import parse_listing, parse_no_query, parse_preview
from callboard_scheduler.states import State
from callboard_scheduler.stores import TaskFilter


def test_without_a_query_the_newest_hundred_are_listed() -> None:
    assert parse_listing({}) == (TaskFilter(), 100, None)


def test_everything_that_a_listing_can_be_asked() -> None:
    query = {
        "state": "ready, running",
        "queue": "fast",
        "name": "thumbnail",
        "schedule": "nightly",
        "cursor": "abc",
        "limit": "1000",
    }
    states = frozenset({State.READY, State.RUNNING})
    which = TaskFilter(states=states, queue="fast", name="thumbnail", schedule="nightly")
    assert parse_listing(query) == (which, 1_000, "abc")


def test_an_empty_parameter_asks_for_nothing() -> None:
    query = dict.fromkeys(["state", "queue", "name", "schedule", "cursor"], "")
    assert parse_listing(query) == (TaskFilter(), 100, None)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"state": "done"}, "state: expected blocked, scheduled, ready, assigned, running"),
        ({"state": "ready,?"}, "state: expected blocked, .* or expired, got '\\?'"),
        ({"limit": "0"}, "limit: expected a whole number from 1 to 1000, got '0'"),
        ({"limit": "1001"}, "limit: expected a whole number from 1 to 1000, got '1001'"),
        ({"limit": "²"}, "limit: expected a whole number from 1 to 1000, got '²'"),
        ({"limit": ""}, "limit: expected a whole number from 1 to 1000, got ''"),
        ({"limit": "9" * 5_000}, "limit: .* got a string of 5000 characters"),
        ({"page": "2"}, "page: unknown parameter, expected state, queue, name, schedule, cursor"),
    ],
)
def test_a_fault_is_told_by_its_parameter(query: dict[str, str], told: str) -> None:
    with pytest.raises(BadField, match=told):
        parse_listing(query)


def test_a_preview_has_ten_runs_or_as_many_as_are_wanted() -> None:
    assert parse_preview({}) == 10
    assert parse_preview({"n": "3"}) == 3
    with pytest.raises(BadField, match="n: expected a whole number from 1 to 1000, got '-1'"):
        parse_preview({"n": "-1"})
    with pytest.raises(BadField, match="count: unknown parameter, expected n"):
        parse_preview({"count": "3"})


def test_calls_without_parameters_take_none() -> None:
    parse_no_query({})
    with pytest.raises(BadField, match="x: unknown parameter, expected none"):
        parse_no_query({"x": ""})
