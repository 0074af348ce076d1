from __future__ import annotations

import asyncio
import math
from itertools import count

import pytest

from callboard_bench.clients import pace
from callboard_bench.clients.pace import Turn, arrived, counts_from, paced
from callboard_bench.clients.part import Schedule
from callboard_bench.clock import monotonic_ns

MS = 1_000_000


def schedule(milliseconds: int) -> Schedule:
    start = monotonic_ns()
    return Schedule(start, start, start + milliseconds * MS)


async def test_a_schedule_has_all_its_moments_in_their_order() -> None:
    moments = [moment async for moment in paced(schedule(50), 200)]

    assert len(moments) == 10
    assert moments == sorted(moments)


async def test_nothing_is_sent_before_it_is_due() -> None:
    planned = schedule(50)
    moments = [moment async for moment in paced(planned, 200)]

    assert all(moment >= planned.start_ns + n * 5 * MS for n, moment in enumerate(moments))


async def test_what_was_due_while_the_client_was_busy_counts_from_when_it_was_due() -> None:
    start = monotonic_ns() - 40 * MS
    late = Schedule(start, start, start + 40 * MS)

    assert [moment - start async for moment in paced(late, 100)] == [0, 10 * MS, 20 * MS, 30 * MS]


async def test_others_get_their_turn_while_a_schedule_is_behind() -> None:
    start = monotonic_ns() - 1000 * MS
    late = Schedule(start, start, start + 1000 * MS)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    async for _ in paced(late, 1000):
        pass
    task.cancel()
    assert turns >= 1000 // 32


def test_only_what_a_timer_may_be_late_is_not_counted_as_latency() -> None:
    assert counts_from(10 * MS, 11 * MS) == 11 * MS
    assert counts_from(10 * MS, 13 * MS) == 10 * MS
    assert counts_from(10 * MS, 11 * MS, held_up=True) == 10 * MS


def test_those_who_share_a_load_take_turns_whenever_each_begins() -> None:
    # Three of 100 a second each: every 10 ms, a third of that apart.
    begun = (1_234 * MS + 567, 1_239 * MS, 1_251 * MS + 89)
    firsts = [Turn(place, 3).first_ns(now, 100) for place, now in enumerate(begun)]

    assert [first % (10 * MS) for first in firsts] == pytest.approx(
        [0, 3.33 * MS, 6.67 * MS], rel=0.01, abs=2
    )
    assert all(0 <= first - now < 10 * MS for first, now in zip(firsts, begun, strict=True))


def test_one_alone_or_without_a_schedule_begins_at_once() -> None:
    assert Turn().first_ns(567, 100) == 567
    assert Turn(1, 2).first_ns(567, math.inf) == 567


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_LOOK_SECONDS", 0.001)


@pytest.mark.usefixtures("impatient")
async def test_the_wait_ends_when_all_is_complete() -> None:
    looks = count()
    await arrived(lambda: next(looks) >= 3, lambda: 0)

    assert next(looks) == 4


@pytest.mark.usefixtures("impatient")
async def test_the_wait_ends_when_nothing_more_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_QUIET_NS", 20 * MS)
    await arrived(lambda: False, lambda: 0)


@pytest.mark.usefixtures("impatient")
async def test_what_goes_on_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_QUIET_NS", math.inf)
    monkeypatch.setattr(pace, "_LONGEST_NS", 20 * MS)
    heard = count()
    await arrived(lambda: False, lambda: next(heard))
