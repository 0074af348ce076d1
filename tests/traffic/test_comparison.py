"""What a service says, held against a recording: missing, added, out of order."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.traffic.comparison import ON_ITS_WAY_MS, Comparison, said

#: How long an example takes says something of the machine only.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SUCCEEDED = "pusher_internal:subscription_succeeded"


def event(name: str, data: Any = "d", channel: str = "a", **fields: Any) -> dict[str, Any]:
    return {"event": name, "channel": channel, "data": data, **fields}


def found(recorded: str, now: str, *, order: str = "first recorded") -> dict[str, Counter[str]]:
    """Return the differences between two rows of events, each a letter, by kind."""
    comparison = Comparison()
    steps = [("expect", letter) for letter in recorded] + [("arrive", letter) for letter in now]
    if order == "first heard":
        steps = steps[len(recorded) :] + steps[: len(recorded)]
    elif order == "in turn":
        pairs = itertools.zip_longest(steps[: len(recorded)], steps[len(recorded) :])
        steps = [step for pair in pairs for step in pair if step is not None]
    for what, letter in steps:
        getattr(comparison, what)(1, event(letter))
    kinds: dict[str, Counter[str]] = {}
    for difference in comparison.differences():
        kinds.setdefault(difference.kind, Counter())[difference.what[1]] += 1
    return kinds


ORDERS = ("first recorded", "first heard", "in turn")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("recorded", "now", "differences"),
    [
        ("", "", {}),
        ("abc", "abc", {}),
        ("abc", "ac", {"missing": "b"}),
        ("ac", "abc", {"added": "b"}),
        ("abc", "acb", {"out of order": 1}),
        ("abcd", "dabc", {"out of order": "d"}),
        ("aab", "ab", {"missing": "a"}),
        ("ab", "abb", {"added": "b"}),
        ("abc", "xcb", {"missing": "a", "added": "x", "out of order": 1}),
    ],
)
def test_what_differs_is_told_in_whatever_order_it_is_learnt(
    recorded: str, now: str, differences: dict[str, Any], order: str
) -> None:
    kinds = found(recorded, now, order=order)
    assert kinds.keys() == differences.keys()
    for kind, letters in differences.items():
        expected = letters if isinstance(letters, int) else Counter(letters)
        assert expected in (kinds[kind], sum(kinds[kind].values()))


def test_what_is_out_of_order_is_told_so_that_it_can_be_found() -> None:
    comparison = Comparison()
    orders = [event("paid", f'{{"number":{number},"text":"{"x" * 100}"}}') for number in range(3)]
    for each in orders:
        comparison.expect(1, each)
    for each in (orders[2], *orders[:2]):
        comparison.arrive(1, each)
    (difference,) = comparison.differences()
    assert difference.kind == "out of order"
    assert difference.what.startswith("'paid' {\"number\":2,")
    assert len(difference.what) == 80 and difference.what.endswith("x…")


def longest_rising(values: list[int]) -> int:
    best: list[int] = []
    for place, value in enumerate(values):
        best.append(1 + max((best[i] for i in range(place) if values[i] < value), default=0))
    return max(best, default=0)


@untimed
@given(st.permutations(range(8)), st.sampled_from(ORDERS))
def test_of_events_that_changed_places_the_fewest_are_told(now: list[int], order: str) -> None:
    kinds = found("01234567", "".join(map(str, now)), order=order)
    assert kinds.keys() <= {"out of order"}
    moved = sum(kinds.get("out of order", Counter()).values())
    assert moved == len(now) - longest_rising(now)


@untimed
@given(st.text("abc", max_size=12), st.text("abc", max_size=12), st.sampled_from(ORDERS))
def test_what_is_missing_and_added_are_the_events_without_a_counterpart(
    recorded: str, now: str, order: str
) -> None:
    kinds = found(recorded, now, order=order)
    assert kinds.get("missing", Counter()) == Counter(recorded) - Counter(now)
    assert kinds.get("added", Counter()) == Counter(now) - Counter(recorded)


def test_there_is_no_order_between_channels_and_connections() -> None:
    comparison = Comparison()
    places = [(1, "a"), (2, "a"), (1, "b")]
    for connection, channel in places:
        comparison.expect(connection, event("e", channel=channel))
    for connection, channel in reversed(places):
        comparison.arrive(connection, event("e", channel=channel))
    comparison.arrive(2, event("more", channel="b"))
    (difference,) = comparison.differences()
    assert (difference.where, difference.what) == ("connection 2, b", "'more' d")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (event(SUCCEEDED, "{}"), {"event": SUCCEEDED, "channel": "a"}),
        (
            event(SUCCEEDED, '{"presence":{"count":1,"ids":["u"]}}', "presence-a"),
            event(SUCCEEDED, '{"presence": {"ids": ["u"], "count": 1}}', "presence-a"),
        ),
        (
            {"event": "pusher:error", "data": {"code": 4301, "message": "too many"}},
            {"event": "pusher:error", "data": '{"code":4301,"message":"slow down"}'},
        ),
        (event("pusher:cache_miss", "{}"), {"event": "pusher:cache_miss", "channel": "a"}),
        (event("client-x", '{"n": 1}'), event("client-x", {"n": 1})),
        (event("e", user_id=None), event("e")),
    ],
)
def test_what_servers_write_in_their_own_ways_is_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert said(one) == said(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (event("e", '{"n": 1}'), event("e", '{"n":1}')),
        (event("e"), event("f")),
        (event("client-x", user_id="u"), event("client-x", user_id="v")),
        (
            {"event": "pusher:error", "data": {"code": 4301}},
            {"event": "pusher:error", "data": {"code": None}},
        ),
        (
            event(SUCCEEDED, '{"presence":{"ids":["u"]}}', "presence-a"),
            event(SUCCEEDED, '{"presence":{"ids":["v"]}}', "presence-a"),
        ),
        ({"event": "e", "data_bytes": 3}, {"event": "e", "data_bytes": 4}),
    ],
)
def test_what_means_something_else_is_not(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert said(one) != said(other)


def test_errors_of_one_code_are_shown_each_with_its_own_text() -> None:
    comparison = Comparison()
    for message in ("of a", "of b"):
        comparison.arrive(1, {"event": "pusher:error", "data": {"code": None, "message": message}})
    added = [difference.what for difference in comparison.differences()]
    assert added == ["'pusher:error' of a", "'pusher:error' of b"]


@pytest.mark.parametrize("name", ["connection_established", "ping", "pong"])
def test_what_belongs_to_the_connection_is_not_compared(name: str) -> None:
    comparison = Comparison()
    frame = {"event": f"pusher:{name}", "data": json.dumps({"socket_id": "1.1"})}
    assert comparison.expect(1, frame) is None
    comparison.arrive(1, frame)
    assert list(comparison.differences()) == []


def test_an_expectation_is_met_by_what_has_come_and_by_what_comes() -> None:
    comparison = Comparison()
    comparison.arrive(1, event("early"))
    early, late = comparison.expect(1, event("early")), comparison.expect(1, event("late"))
    assert early is not None and late is not None
    assert (early.met, late.met) == (True, False)
    comparison.arrive(1, event("late"))
    assert late.met
    assert comparison.arrived == 2


class TestLeaving:
    """An event came at 1000 ms of the recording, in which it is not."""

    @pytest.fixture
    def comparison(self) -> Comparison:
        comparison = Comparison()
        comparison.now_ms = 1000.0
        comparison.arrive(1, event("more"))
        comparison.arrive(2, event("more"))
        return comparison

    def test_it_may_have_been_on_its_way_to_a_client_that_left_soon(
        self, comparison: Comparison
    ) -> None:
        comparison.leave(1, 1000 + ON_ITS_WAY_MS / 2)
        assert [each.connection for each in comparison.differences()] == [2]
        assert comparison.late == 1

    def test_it_was_not_if_the_client_stayed_long_enough(self, comparison: Comparison) -> None:
        comparison.leave(1, 1000 + ON_ITS_WAY_MS)
        assert [each.connection for each in comparison.differences()] == [1, 2]
        assert comparison.late == 0

    def test_it_was_not_if_the_client_heard_something_else_behind_it(
        self, comparison: Comparison
    ) -> None:
        comparison.expect(1, event("behind", channel="b"))
        comparison.arrive(1, event("behind", channel="b"))
        comparison.leave(1, 1001)
        assert [each.connection for each in comparison.differences()] == [1, 2]

    def test_it_was_not_if_a_ping_was_answered_behind_it(self, comparison: Comparison) -> None:
        comparison.confirm(1)
        comparison.leave(1, 1001)
        assert [each.connection for each in comparison.differences()] == [1, 2]

    def test_it_is_no_more_if_the_recording_comes_to_it(self, comparison: Comparison) -> None:
        comparison.expect(1, event("more"))
        comparison.leave(1, 1001)
        assert [each.connection for each in comparison.differences()] == [2]
        assert comparison.late == 0
