from __future__ import annotations

import asyncio
import math
from itertools import count

import pytest

from callboard_bench.clients import pace
from callboard_bench.clients.pace import arrived, paced
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
