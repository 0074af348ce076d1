"""A schedule of many a second that waits for nobody (open loop), and the wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from callboard_bench.clients.part import Schedule
from callboard_bench.clock import monotonic_ns

#: Timers of the loop have milliseconds. What is no later than this is late for the timer's sake.
_TIMER_NS: Final = 2_000_000
#: How many in a row before others get their turn, for one who is behind.
_AT_ONCE: Final = 32
#: With nothing heard for this long, what is missing will not come.
_QUIET_NS: Final = 2_000_000_000
_LONGEST_NS: Final = 60_000_000_000
_LOOK_SECONDS: Final = 0.05


async def until(moment_ns: int) -> None:
    """Wait for a moment of the monotonic clock."""
    await asyncio.sleep(max(0, moment_ns - monotonic_ns()) / 1e9)


async def paced(schedule: Schedule, per_second: float) -> AsyncIterator[int]:
    """Yield so often from the start of a schedule to its end the time that latency counts from.

    That is now; or when it was due, if this process was busy then.
    """
    await until(schedule.start_ns)
    number = 0
    while (due := schedule.start_ns + int(number * 1e9 / per_second)) < schedule.end_ns:
        now = monotonic_ns()
        if now < due:
            await until(due)
            now = monotonic_ns()
        elif number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        yield due if now - due > _TIMER_NS else now
        number += 1


async def arrived(complete: Callable[[], bool], heard: Callable[[], int]) -> None:
    """Wait until all is complete, or nothing is heard for two seconds, or a minute is over.

    Args:
        heard: a number that is another one when something was heard meanwhile.
    """
    begin_ns = last_ns = monotonic_ns()
    before = heard()
    while not complete():
        await asyncio.sleep(_LOOK_SECONDS)
        now_ns, now = monotonic_ns(), heard()
        if now != before:
            before, last_ns = now, now_ns
        elif now_ns - last_ns > _QUIET_NS:
            return
        if now_ns - begin_ns > _LONGEST_NS:
            return
