"""A roster knows who is here and wakes who waits for the last to go."""

from __future__ import annotations

import asyncio

from callboard_server.roster import Roster


async def test_nobody_here_is_waited_for() -> None:
    roster: Roster[str] = Roster()
    assert await roster.wait_empty(0)


async def test_the_wait_ends_when_the_last_has_gone() -> None:
    roster: Roster[str] = Roster()
    roster.add("a")
    roster.add("a")
    roster.add("b")
    assert (len(roster), sorted(roster)) == (2, ["a", "b"])
    waiting = asyncio.create_task(roster.wait_empty(5))
    await asyncio.sleep(0)
    roster.discard("a")
    roster.discard("unknown")
    await asyncio.sleep(0)
    assert not waiting.done()
    roster.discard("b")
    assert await waiting


async def test_the_wait_is_bounded() -> None:
    roster: Roster[str] = Roster()
    roster.add("a")
    assert not await roster.wait_empty(0.01)
    assert not await roster.wait_empty(0.01), "and may be repeated"
    roster.discard("a")
    assert await roster.wait_empty(0)


async def test_whoever_comes_during_the_wait_is_waited_for() -> None:
    roster: Roster[str] = Roster()
    roster.add("a")
    waiting = asyncio.create_task(roster.wait_empty(5))
    await asyncio.sleep(0)
    roster.add("b")
    roster.discard("a")
    await asyncio.sleep(0)
    assert not waiting.done()
    roster.discard("b")
    assert await waiting


async def test_it_may_change_while_it_is_gone_through() -> None:
    roster: Roster[int] = Roster()
    for number in range(10):
        roster.add(number)
    for number in roster:
        roster.discard(number)
        roster.add(number + 100)
    assert sorted(roster) == list(range(100, 110))
