"""What fields have in common: times, identifiers, and JSON that every reader takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from callboard_scheduler.errors import BODY, BadField, TooLarge
from callboard_scheduler.fields import MAX_TIME_MS, choice, identifier, shown, time_ms

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1971, 1, 2), timezones=ZONES))
def test_a_written_time_is_its_instant_to_the_millisecond(moment: datetime) -> None:
    assume(moment.astimezone(UTC).year <= 9999)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert time_ms("at", moment.isoformat()) == since // timedelta(milliseconds=1)


@given(st.integers(10_000_000_000, MAX_TIME_MS))
def test_milliseconds_are_taken_as_they_are(milliseconds: int) -> None:
    assert time_ms("at", milliseconds) == milliseconds


@given(st.text(max_size=40) | st.integers())
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59.999999-14:00")
@example("2030-01-31T08:00:00+23:59:59.999999")
def test_anything_else_is_refused_by_field(value: str | int) -> None:
    try:
        assert 0 <= time_ms("at", value) <= MAX_TIME_MS
    except BadField as fault:
        assert str(fault).startswith("at: expected ")


@pytest.mark.parametrize("seconds", [1_000_000_000, 1_700_000_000, 9_999_999_999])
def test_seconds_are_not_taken_for_a_day_in_1970(seconds: int) -> None:
    with pytest.raises(BadField, match=r"expected milliseconds, got .* which looks like seconds"):
        time_ms("at", seconds)


def test_an_identifier_can_be_part_of_a_channels_name() -> None:
    assert identifier("queue", "a-Z_0=@,.;") == "a-Z_0=@,.;"
    for wrong in ("", "a b", "a\n", "ä", "a/b", "x" * 101):
        with pytest.raises(BadField, match="queue: expected 1 to 100 ASCII letters"):
            identifier("queue", wrong)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (10**18, "a larger number"),
        ("a'b", '"a\'b"'),
        ("x" * 61, "a string of 61 characters"),
        ([], "an array of 0"),
        ({"a": 1}, "an object"),
    ],
)
def test_a_value_is_shown_as_itself_if_it_is_short(value: object, words: str) -> None:
    assert shown(value) == words


def test_choices_are_listed_as_people_do() -> None:
    assert [choice(words) for words in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        "none",
        "a",
        "a or b",
        "a, b or c",
    ]


def test_a_fault_is_told_from_where_the_body_is() -> None:
    assert str(BadField("retry.factor", "…").inside("task")) == "task.retry.factor: …"
    assert str(BadField(BODY, "…").inside("batch[3]")) == "batch[3]: …"
    assert isinstance(TooLarge("args", "…").inside("task"), TooLarge)
