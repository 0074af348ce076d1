"""A schedule of many a second that waits for nobody (open loop), and the wait for its end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from callboard_bench.clients.part import Schedule
from callboard_bench.clock import monotonic_ns

#: Timers of the loop have milliseconds: one may be so late for its own sake.
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


def counts_from(due_ns: int, now_ns: int, *, held_up: bool = False) -> int:
    """Return the time from which the latency counts of what leaves now and was due then.

    That is now, where only a timer was late; and when it was due, where this process was busy.

    Args:
        held_up: it had to wait for the server, which counts from the first microsecond on.
    """
    return due_ns if held_up or now_ns - due_ns > _TIMER_NS else now_ns


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose schedule it is, of several of the same rate that put on one load between them."""

    place: int = 0
    of: int = 1

    def first_ns(self, now_ns: int, per_second: float) -> int:
        """Return when the first is due, if each has ``per_second``: now, if there is but one.

        Nobody has to be told when the others began: the clock is the same in all processes, and
        the due times of one schedule are in the same phase of it whenever it begins.
        """
        if self.of == 1 or math.isinf(per_second):
            return now_ns
        interval_ns = 1e9 / per_second
        return now_ns + int((self.place / self.of * interval_ns - now_ns) % interval_ns)


async def paced(schedule: Schedule, per_second: float) -> AsyncGenerator[int, None]:
    """Yield so often from the start of a schedule to its end what :func:`counts_from` returns."""
    await until(schedule.start_ns)
    number = 0
    while (due := schedule.start_ns + int(number * 1e9 / per_second)) < schedule.end_ns:
        now = monotonic_ns()
        if now < due:
            await until(due)
            now = monotonic_ns()
        elif number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        yield counts_from(due, now)
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
