"""Which instants a cron expression means, above all where the clocks of its zone jump."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_scheduler.errors import BadField
from callboard_scheduler.triggers import cron, zones
from scheduler import schedules_page

DAY_MS = 86_400_000
#: Jumps of an hour, half an hour, two hours and a day; at night, at midnight and at noon UTC.
JUMPS = (
    ("Europe/Berlin", date(2025, 3, 30)),
    ("Europe/Berlin", date(2025, 10, 26)),
    ("America/New_York", date(2025, 3, 9)),
    ("America/New_York", date(2025, 11, 2)),
    ("America/Sao_Paulo", date(2018, 2, 18)),
    ("America/Sao_Paulo", date(2018, 11, 4)),
    ("America/Havana", date(2025, 3, 9)),
    ("America/Havana", date(2025, 11, 2)),
    ("Australia/Lord_Howe", date(2025, 4, 6)),
    ("Australia/Lord_Howe", date(2025, 10, 5)),
    ("Antarctica/Troll", date(2025, 3, 30)),
    ("Antarctica/Troll", date(2025, 10, 26)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Asia/Kolkata", date(2025, 3, 30)),
    ("UTC", date(2025, 3, 30)),
)


def unix_ms(when: datetime) -> int:
    return int(when.timestamp()) * 1000


def ticks(expression: str, zone: str, start_ms: int, end_ms: int) -> list[int]:
    """All ticks behind ``start_ms`` and up to ``end_ms``."""
    parsed = cron.parse(expression, zone)
    found: list[int] = []
    tick = parsed.next_after(start_ms)
    while tick is not None and tick <= end_ms:
        found.append(tick)
        tick = parsed.next_after(tick)
    return found


@pytest.mark.parametrize(("zone", "day", "expression", "listed"), list(schedules_page.jumps()))
def test_the_table_of_the_docs_is_what_happens(
    zone: str, day: str, expression: str, listed: str
) -> None:
    noon = unix_ms(datetime.combine(date.fromisoformat(day), time(12), UTC))
    found = [
        datetime.fromtimestamp(tick // 1000, ZoneInfo(zone))
        for tick in ticks(expression, zone, noon - 2 * DAY_MS, noon + 2 * DAY_MS)
    ]
    written = [
        f"{when:%H:%M:%S}".removesuffix(":00") + when.isoformat()[-6:]
        for when in found
        if when.date().isoformat() == day
    ]
    assert (", ".join(written) or "none") == listed


def test_the_table_has_every_zone_it_promises() -> None:
    zones_shown = {zone for zone, *_ in schedules_page.jumps()}
    assert zones_shown >= {
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Asia/Kolkata",
        "UTC",
    }


# An oracle that never asks where a jump is: it looks at the wall every minute.


@functools.cache
def looks(zone: str, day: date) -> list[tuple[int, datetime]]:
    """What the wall shows every minute from two days before noon of the day to two days after."""
    where = ZoneInfo(zone)
    start = unix_ms(datetime.combine(day, time(12), UTC)) - 2 * DAY_MS
    return [
        (tick, datetime.fromtimestamp(tick // 1000, where).replace(tzinfo=None, fold=0))
        for tick in range(start, start + 4 * DAY_MS, 60_000)
    ]


def seen_on_the_wall(
    shown: list[tuple[int, datetime]], matches: Callable[[datetime], bool]
) -> list[int]:
    return [tick for tick, wall in shown if matches(wall)]


def seen_on_the_calendar(
    shown: list[tuple[int, datetime]], matches: Callable[[datetime], bool]
) -> list[int]:
    """The first look at each match, or for what is never shown the first look behind it."""
    first: dict[datetime, int] = {}
    for tick, wall in shown:
        first.setdefault(wall, tick)
    found: set[int] = set()
    wall, end = shown[0][1], shown[-1][1]
    latest = first[wall]
    for n in range((end - wall) // timedelta(minutes=1), -1, -1):
        each = wall + timedelta(minutes=n)
        latest = first.get(each, latest)
        if matches(each):
            found.add(latest)
    return sorted(found)


minute_sets = st.sets(st.integers(0, 59), min_size=1, max_size=4)
hour_sets = st.sets(st.one_of(st.integers(0, 3), st.integers(0, 23)), min_size=1, max_size=4)
jumps = st.sampled_from(JUMPS)


def field(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))


def compare(zone: str, day: date, expression: str, expected: list[int]) -> None:
    # Away from the ends of what was looked at, where the oracle cannot know what was before.
    noon = unix_ms(datetime.combine(day, time(12), UTC))
    start, end = noon - DAY_MS * 3 // 2, noon + DAY_MS * 3 // 2
    within = [tick for tick in expected if start < tick <= end]
    assert ticks(expression, zone, start, end) == within
    assert ticks(f"0 {expression}", zone, start, end) == within


@settings(max_examples=60, deadline=None)
@given(jumps, minute_sets, hour_sets)
def test_fixed_times_run_once_a_day_each(
    jump: tuple[str, date], minutes: set[int], hours: set[int]
) -> None:
    zone, day = jump
    expected = seen_on_the_calendar(
        looks(zone, day), lambda wall: wall.minute in minutes and wall.hour in hours
    )
    compare(zone, day, f"{field(minutes)} {field(hours)} * * *", expected)


@settings(max_examples=60, deadline=None)
@given(jumps, st.sampled_from((1, 7, 15, 20, 30)), st.none() | hour_sets)
def test_jobs_by_the_running_clock_run_whenever_the_wall_shows_a_match(
    jump: tuple[str, date], step: int, hours: set[int] | None
) -> None:
    zone, day = jump
    expected = seen_on_the_wall(
        looks(zone, day),
        lambda wall: wall.minute % step == 0 and (hours is None or wall.hour in hours),
    )
    compare(zone, day, f"*/{step} {'*' if hours is None else field(hours)} * * *", expected)


@settings(max_examples=60, deadline=None)
@given(jumps, minute_sets, st.integers(1, 12))
def test_hours_by_steps_are_by_the_running_clock_too(
    jump: tuple[str, date], minutes: set[int], step: int
) -> None:
    zone, day = jump
    expected = seen_on_the_wall(
        looks(zone, day), lambda wall: wall.minute in minutes and wall.hour % step == 0
    )
    compare(zone, day, f"{field(minutes)} */{step} * * *", expected)


@pytest.mark.parametrize(
    ("zone", "jump"),
    [
        ("Europe/Berlin", "2025-03-30T01:00Z"),
        ("Europe/Berlin", "2025-10-26T01:00Z"),
        ("Australia/Lord_Howe", "2025-04-05T15:00Z"),
        ("Australia/Lord_Howe", "2025-10-04T15:30Z"),
    ],
)
def test_every_second_runs_every_second_across_a_jump(zone: str, jump: str) -> None:
    at = unix_ms(datetime.fromisoformat(jump))
    expected = list(range(at - 2_000, at + 3_000, 1_000))
    assert ticks("* * * * * *", zone, at - 3_000, at + 2_000) == expected


def test_what_the_clocks_show_right_after_a_jump_runs_at_the_jump() -> None:
    jump = unix_ms(datetime.fromisoformat("2025-03-30T03:00+02:00"))
    assert cron.parse("0 */3 * * *", "Europe/Berlin").next_after(jump - 1_000) == jump


@pytest.mark.parametrize("expression", ["30 2 * * *", "0-59 2 * * *", "0 30 2 * * *"])
def test_while_an_hour_comes_the_second_time_its_fixed_times_are_past(expression: str) -> None:
    second_time = unix_ms(datetime.fromisoformat("2025-10-26T02:10+01:00"))
    tick = cron.parse(expression, "Europe/Berlin").next_after(second_time)
    assert tick is not None
    assert tick >= unix_ms(datetime.fromisoformat("2025-10-27T02:00+01:00"))


EXPRESSIONS = (
    "* * * * *",
    "*/10 * * * * *",
    "30 2 * * *",
    "0-59 2 * * *",
    "*/7 1-3 * * *",
    "30 */2 * * *",
    "0 0 29 2 *",
    "* 0 29 2 *",
    "0 0 L * *",
    "0 9 * * MON#1",
    "15 30 2 * * SUN",
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(EXPRESSIONS),
    jumps,
    st.integers(-2 * DAY_MS, 2 * DAY_MS),
    st.floats(0, 1),
)
def test_the_next_tick_is_behind_and_nothing_is_between(
    expression: str, jump: tuple[str, date], offset_ms: int, share: float
) -> None:
    zone, day = jump
    parsed = cron.parse(expression, zone)
    after = unix_ms(datetime.combine(day, time(12), UTC)) + offset_ms
    tick = parsed.next_after(after)
    assert tick is not None
    assert tick > after
    between = after + int((tick - 1 - after) * share)
    assert parsed.next_after(between) == tick


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2025-01-01 00:01"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("* 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 * 2 MON#5", "2044-02-29 00:00"),
        ("0 0 LW * *", "2025-01-31 00:00"),
        ("0 0 13 * FRI", "2025-01-03 00:00"),
        ("0 0 */13 * FRI", "2025-02-14 00:00"),
        ("0 0 * * 7", "2025-01-05 00:00"),
        ("0 0 * JAN 5L", "2025-01-31 00:00"),
        ("5/15 0 * * *", "2025-01-01 00:05"),
        ("10-40/15 8 * * mon", "2025-01-06 08:10"),
    ],
)
def test_the_calendar_is_that_of_debian_and_quartz(expression: str, expected: str) -> None:
    new_year = unix_ms(datetime(2025, 1, 1, tzinfo=UTC))
    tick = cron.parse(expression, "UTC").next_after(new_year)
    assert tick == unix_ms(datetime.fromisoformat(expected).replace(tzinfo=UTC))


def test_seconds_come_first() -> None:
    start = unix_ms(datetime(2025, 1, 1, tzinfo=UTC))
    assert ticks("5,50 1 0 * * *", "UTC", start, start + DAY_MS) == [
        start + 65_000,
        start + 110_000,
    ]


def test_fractions_of_a_second_lose_no_tick() -> None:
    every_second = cron.parse("* * * * * *", "UTC")
    assert every_second.next_after(1_760_000_000_000) == 1_760_000_001_000
    assert every_second.next_after(1_760_000_000_999) == 1_760_000_001_000


def test_the_calendar_ends_with_the_year_9999() -> None:
    parsed = cron.parse("0 0 1 1 *", "America/New_York")
    last = parsed.next_after(unix_ms(datetime(9998, 12, 1, tzinfo=UTC)))
    assert last == unix_ms(datetime(9999, 1, 1, 5, tzinfo=UTC))
    assert parsed.next_after(last) is None
    assert parsed.next_after(10**18) is None


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "expected 5 fields"),
        ("@daily", "got 1: '@daily'"),
        ("* * * *", "got 4"),
        ("* * * * * * *", "got 7"),
        ("60 * * * *", "the minute of '60 * * * *' is '60', expected 0 to 59"),
        ("60 * * * * *", "the second of"),
        ("* 24 * * *", "the hour of '* 24 * * *' is '24', expected 0 to 23"),
        ("* * 0 * *", "the day of month of '* * 0 * *' is '0', expected 1 to 31"),
        ("* * * 13 *", "the month of '* * * 13 *' is '13', expected 1 to 12"),
        ("* * * * MON#6", "the day of week of '* * * * MON#6' is 'MON#6', expected 0 to 7"),
        ("5-1 * * * *", "the minute of"),
        ("*/0 * * * *", "the minute of"),
        ("a,b * * * *", "the minute of"),
        ("0 0 30 2 *", "never fires: no date has day of month '30', month '2'"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 */31 * SUN#2", "never fires"),
        ("* " * 251, "expected at most 500 characters, got 502"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(expression: str, says: str) -> None:
    with pytest.raises(BadField) as caught:
        cron.parse(expression, "UTC")
    assert caught.value.field == "cron"
    assert says in caught.value.text


@given(st.text("0123456789*/,-#L WMON", max_size=20))
def test_any_text_is_parsed_and_explained_or_refused(expression: str) -> None:
    try:
        parsed = cron.parse(expression, "UTC")
    except BadField as fault:
        assert fault.field == "cron"
    else:
        assert parsed.next_after(0) is not None
        assert parsed.explain()


TERMS = st.sampled_from(
    ("*", "1", "2-5", "*/2", "3/2", "1-5/2", "L", "LW", "5L", "5#2", "JAN", "MON")
)


@given(st.lists(st.lists(TERMS, min_size=1, max_size=3).map(",".join), min_size=5, max_size=6))
def test_any_terms_are_parsed_and_explained_or_refused(fields: list[str]) -> None:
    try:
        parsed = cron.parse(" ".join(fields), "Europe/Berlin")
    except BadField as fault:
        assert fault.field == "cron"
    else:
        assert parsed.next_after(1_760_000_000_000) is not None
        assert parsed.explain()


def test_an_expression_is_parsed_once() -> None:
    assert cron.parse("1 2 3 4 *", "UTC") is cron.parse("1 2 3 4 *", "UTC")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("+02:00", "there is no time zone '+02:00', expected an IANA name"),
        ("", "expected an IANA name"),
        ("../../etc/passwd", "expected an IANA name"),
        ("Europe", "expected an IANA name"),
        ("localtime", "expected an IANA name"),
        ("right/Europe/Berlin", "expected an IANA name"),
        ("Europe/Berlin\0", "expected an IANA name"),
    ],
)
def test_an_unknown_zone_is_refused_with_names_near_it(name: str, says: str) -> None:
    with pytest.raises(BadField) as caught:
        cron.parse("* * * * *", name)
    assert caught.value.field == "timezone"
    assert says in caught.value.text


def test_every_listed_zone_can_be_used() -> None:
    listed = [name for name in zones._names().values() if name.startswith(("Europe/", "US/"))]
    assert len(listed) > 60
    for name in listed:
        assert zones.zone(name).key == name
