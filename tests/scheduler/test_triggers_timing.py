"""Which ticks fire, whatever the clock shows and for however long nobody looked at it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_scheduler.records import Misfire, Schedule
from callboard_scheduler.triggers import timing
from callboard_scheduler.triggers.timing import Due, due, fires_at, first, next_after, preview
from scheduler import schedules_page

#: 9 October 2025, 08:00 UTC.
START = 1_759_996_800_000
HOUR = 3_600_000


def placed(**fields: object) -> Schedule:
    """A schedule that was put at START."""
    schedule = Schedule(id="s", **fields)  # type: ignore[arg-type]
    schedule.next_at = first(schedule, START)
    return schedule


def look(schedule: Schedule, now_ms: int) -> Due:
    """Do with a schedule what the scheduler does."""
    found = due(schedule, now_ms)
    schedule.next_at = found.next_at
    if found.fire:
        schedule.last_at = found.fire[-1]
    return found


misfires = st.sampled_from(Misfire)
crons = st.fixed_dictionaries(
    {
        "cron": st.sampled_from(
            ("* * * * *", "*/5 * * * * *", "7,8 * * * *", "0 9 * * *", "0-10 9 * * *")
        ),
        "timezone": st.sampled_from(("UTC", "Asia/Kolkata")),
        "jitter_ms": st.sampled_from((0, 3_000, 10 * HOUR)),
        "misfire": misfires,
    }
)
everies = st.fixed_dictionaries(
    {
        "every_ms": st.sampled_from((100, 999, 7_000, HOUR)),
        "anchor_at": st.sampled_from((0, START, START - 12_345, START + 60_000)),
        "jitter_ms": st.sampled_from((0, 50, 90)),
        "misfire": misfires,
    }
)
ats = st.fixed_dictionaries(
    {
        "at": st.integers(START - 2_000, START + 2_000),
        "jitter_ms": st.sampled_from((0, 500)),
        "misfire": misfires,
    }
)
schedules = st.one_of(crons, everies, ats).map(lambda fields: placed(**fields))
steps = st.one_of(st.integers(-5_000, 5_000), st.integers(-2 * HOUR, 2 * HOUR))


@given(schedules, st.integers(-HOUR, HOUR))
def test_the_next_tick_is_behind(schedule: Schedule, offset: int) -> None:
    tick = next_after(schedule, START + offset)
    assert tick is None or tick > START + offset


@given(everies, st.integers(-HOUR, HOUR), st.integers(1, 5))
def test_ticks_of_every_are_on_the_grid_one_by_one(
    fields: dict[str, int], offset: int, n: int
) -> None:
    schedule = placed(**fields)
    ticks = preview(schedule, START + offset, n)
    assert all((tick - schedule.anchor_at) % fields["every_ms"] == 0 for tick in ticks)
    assert [b - a for a, b in itertools.pairwise(ticks)] == [fields["every_ms"]] * (n - 1)
    assert ticks[0] >= schedule.anchor_at
    assert ticks[0] - (START + offset) <= fields["every_ms"] or ticks[0] == schedule.anchor_at


@given(schedules, st.integers(0, 10))
def test_a_preview_is_the_next_tick_again_and_again(schedule: Schedule, n: int) -> None:
    expected: list[int] = []
    after = START
    while len(expected) < n and (tick := next_after(schedule, after)) is not None:
        expected.append(tick)
        after = tick
    assert preview(schedule, START, n) == expected


def test_a_preview_has_nothing_that_fired_before_the_clock_was_set_back() -> None:
    schedule = placed(every_ms=HOUR)
    look(schedule, START + HOUR)
    assert preview(schedule, START - HOUR, 1) == [START + 2 * HOUR]


def ticks_until(schedule: Schedule, tick: int | None, now_ms: int) -> list[int]:
    found: list[int] = []
    while tick is not None and fires_at(schedule, tick) <= now_ms:
        found.append(tick)
        tick = next_after(schedule, tick)
    return found


@settings(max_examples=200, deadline=None)
@given(schedules, st.lists(steps, max_size=8))
def test_whatever_the_clock_shows_no_tick_is_lost_doubled_early_or_out_of_order(
    schedule: Schedule, readings: list[int]
) -> None:
    begin = schedule.next_at
    now = latest = START
    fired: list[int] = []
    skipped, exact = 0, True
    for step in readings:
        now += step
        latest = max(latest, now)
        # Once a reading: what `all` leaves over must still be there at the next.
        found = look(schedule, now)
        assert all(fires_at(schedule, tick) <= now for tick in found.fire)
        fired += found.fire
        skipped += found.skipped
        exact = exact and found.skipped < timing.MOST_COUNTED
    while (found := look(schedule, latest)).fire:
        fired += found.fire
    skipped += found.skipped
    everything = ticks_until(schedule, begin, latest)
    assert fired == sorted(set(fired))
    assert set(fired) <= set(everything)
    assert schedule.next_at == (next_after(schedule, everything[-1]) if everything else begin)
    if schedule.misfire is Misfire.ALL:
        assert fired == everything
    elif exact:
        assert len(fired) + skipped == len(everything)


@settings(max_examples=200, deadline=None)
@given(schedules, st.one_of(st.integers(0, 5_000), st.integers(0, HOUR)))
def test_misfire_decides_about_what_is_more_than_a_second_late(
    schedule: Schedule, passed: int
) -> None:
    now = START + passed
    ticks = ticks_until(schedule, schedule.next_at, now)
    missed = [tick for tick in ticks if now - fires_at(schedule, tick) > 1_000]
    on_time = ticks[len(missed) :]
    expected = {
        Misfire.SKIP: on_time,
        Misfire.LATEST: on_time or missed[-1:],
        Misfire.ALL: ticks[:1_000],
    }[schedule.misfire]
    assert list(due(schedule, now).fire) == expected


def of_day(written: str) -> int:
    hours, minutes, *seconds = map(int, written.split(":"))
    return (hours * 3600 + minutes * 60 + sum(seconds)) * 1000


@pytest.mark.parametrize("misfire", Misfire)
@pytest.mark.parametrize(("back", "fires"), list(schedules_page.missed()))
def test_the_examples_of_the_docs_are_what_happens(
    back: str, fires: dict[Misfire, str], misfire: Misfire
) -> None:
    midnight = START - 8 * HOUR
    schedule = Schedule(id="s", cron="0 * * * *", misfire=misfire)
    schedule.next_at = first(schedule, midnight + of_day("00:30"))
    fired = [tick - midnight for tick in due(schedule, midnight + of_day(back)).fire]
    assert fired == [of_day(tick) for tick in fires[misfire].split(", ") if tick != "none"]


def test_all_is_bounded_and_the_rest_is_due_at_once() -> None:
    schedule = placed(every_ms=100, anchor_at=START, misfire=Misfire.ALL)
    now = START + 250_000
    sizes = []
    while (found := look(schedule, now)).fire:
        sizes.append(len(found.fire))
        wake_at = timing.wake_at(schedule)
        assert wake_at is not None
        assert (wake_at <= now) == (sum(sizes) < 2_500)
    assert sizes == [1_000, 1_000, 500]


@pytest.mark.parametrize(
    "fields", [{"every_ms": 100}, {"cron": "* * * * * *"}, {"cron": "* * 9 9 OCT *"}]
)
@pytest.mark.parametrize("misfire", [Misfire.SKIP, Misfire.LATEST])
def test_years_of_missed_ticks_are_passed_over_without_visiting_each(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], misfire: Misfire
) -> None:
    schedule = placed(**fields, misfire=misfire)
    visits = 0
    visit = timing.next_after

    def counted(of: Schedule, after_ms: int) -> int | None:
        nonlocal visits
        visits += 1
        return visit(of, after_ms)

    monkeypatch.setattr(timing, "next_after", counted)
    now = START + 3 * 365 * 24 * HOUR + 50
    found = due(schedule, now)
    assert visits < 400
    assert found.next_at is not None
    assert found.next_at > now
    assert found.skipped == timing.MOST_COUNTED


def test_a_clock_that_is_set_back_fires_no_tick_again() -> None:
    schedule = placed(every_ms=HOUR, misfire=Misfire.ALL)
    assert look(schedule, START + HOUR).fire == (START + HOUR,)
    for now in range(START, START + 2 * HOUR, 60_000):
        assert look(schedule, now).fire == ()
    assert look(schedule, START + 2 * HOUR).fire == (START + 2 * HOUR,)


def test_a_paused_schedule_fires_nothing_and_asks_for_no_look() -> None:
    schedule = placed(every_ms=HOUR, paused=True)
    assert timing.wake_at(schedule) is None
    assert due(schedule, START + 5 * HOUR) == Due((), START + HOUR)


def test_one_shot_fires_once_and_then_there_is_nothing() -> None:
    schedule = placed(at=START + 5)
    assert look(schedule, START + 4) == Due((), START + 5)
    assert look(schedule, START + 5) == Due((START + 5,), None)
    assert timing.wake_at(schedule) is None
    assert look(schedule, START + 6) == Due((), None)


@pytest.mark.parametrize(
    ("misfire", "fire"), [(Misfire.SKIP, ()), (Misfire.LATEST, (START - HOUR,))]
)
def test_one_shot_in_the_past_is_a_missed_tick(misfire: Misfire, fire: tuple[int, ...]) -> None:
    schedule = placed(at=START - HOUR, misfire=misfire)
    assert due(schedule, START) == Due(fire, None, 1 - len(fire))


# Putting a schedule in the place of another


def test_the_same_times_keep_their_place() -> None:
    before = placed(every_ms=HOUR)
    after = Schedule(id="s", every_ms=HOUR, misfire=Misfire.ALL)
    assert first(after, START + 3 * HOUR + 1, before) == START + HOUR


def test_other_times_begin_behind_now() -> None:
    before = placed(every_ms=HOUR)
    after = Schedule(id="s", cron="0 * * * *")
    assert first(after, START + 3 * HOUR + 1, before) == START + 4 * HOUR


def test_other_times_begin_behind_the_last_that_fired_although_the_clock_was_set_back() -> None:
    before = placed(every_ms=HOUR)
    look(before, START + HOUR)
    after = Schedule(id="s", cron="*/30 * * * *")
    assert first(after, START, before) == START + HOUR + HOUR // 2


def test_a_one_shot_that_fired_does_not_fire_again_when_it_is_put_again() -> None:
    before = placed(at=START + 5)
    look(before, START + 5)
    assert first(Schedule(id="s", at=START + 5), START, before) is None
    assert first(Schedule(id="s", at=START + 6), START, before) == START + 6


def test_a_one_shot_in_the_place_of_a_tick_that_fired_does_not_fire() -> None:
    before = placed(every_ms=HOUR)
    look(before, START + HOUR)
    assert first(Schedule(id="s", at=START + HOUR), START + HOUR, before) is None
    assert first(Schedule(id="s", at=START + HOUR + 1), START + HOUR, before) == START + HOUR + 1


def test_what_passed_while_paused_is_over() -> None:
    before = placed(every_ms=HOUR, paused=True, misfire=Misfire.ALL)
    after = Schedule(id="s", every_ms=HOUR, misfire=Misfire.ALL)
    assert first(after, START + 3 * HOUR + 1, before) == START + 4 * HOUR


# Jitter


@given(st.one_of(crons, everies), st.integers(1, 20))
def test_jitter_keeps_the_order_and_reaches_no_next_tick(fields: dict[str, object], n: int) -> None:
    schedule = placed(**fields)
    ticks = preview(schedule, START, n + 1)
    for tick, following in itertools.pairwise(ticks):
        assert tick <= fires_at(schedule, tick) <= tick + schedule.jitter_ms
        assert fires_at(schedule, tick) < following


def test_jitter_wider_than_the_gap_uses_all_of_the_gap() -> None:
    schedule = Schedule(id="s", every_ms=3, jitter_ms=1_000)
    late = {fires_at(schedule, tick) - tick for tick in preview(schedule, START, 200)}
    assert late == {0, 1, 2}


def test_jitter_is_the_same_after_a_restart() -> None:
    schedule = Schedule(id="nightly", cron="0 * * * *", jitter_ms=60_000)
    assert [fires_at(schedule, START + n * HOUR) - START - n * HOUR for n in range(3)] == [
        24_782,
        47_839,
        19_546,
    ]


def test_jitter_spreads_schedules_and_ticks() -> None:
    many = {
        fires_at(Schedule(id=str(n), cron="0 * * * *", jitter_ms=60_000), START) // 6_000
        for n in range(200)
    }
    assert len(many) == 10
    one = Schedule(id="s", cron="0 * * * *", jitter_ms=60_000)
    assert len({fires_at(one, START + n * HOUR) - n * HOUR for n in range(20)}) > 10


def test_a_tick_waits_for_its_share_of_the_jitter() -> None:
    schedule = placed(cron="0 * * * *", jitter_ms=60_000)
    wake_at = timing.wake_at(schedule)
    assert wake_at is not None
    assert wake_at > START + HOUR
    assert due(schedule, wake_at - 1).fire == ()
    assert due(schedule, wake_at).fire == (START + HOUR,)
