"""Clients that connect, one after the other or as fast as they are let in, and then stay.

On a schedule (open loop) a client sets out when it is due, however many are still under way.
Without one (closed loop) so many are under way at a time, and each that is in makes room for the
next.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from callboard_bench.clients.link import Links, Wire
from callboard_bench.clients.pace import Turn, paced
from callboard_bench.clients.part import Schedule
from callboard_bench.clients.session import AT_ONCE, Session, keep_alive, links
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import CONNECTED, FAILED, Desk, GeneratorFailed
from callboard_bench.recording import Recorded, Recording

_ALONE: Final = Turn()


@dataclass(slots=True)
class Arrivals:
    """How clients got in."""

    #: From when each was due until it was subscribed.
    recorded: Recorded
    #: When the first set out and when the last was in, in ns; 0 without any.
    first_ns: int
    last_ns: int

    def merge(self, other: Arrivals) -> None:
        """Add those of another generator."""
        self.recorded.merge(other.recorded)
        if other.last_ns:
            self.first_ns = min(self.first_ns, other.first_ns) if self.last_ns else other.first_ns
            self.last_ns = max(self.last_ns, other.last_ns)


class Client(Session):
    """One connection that is to stay."""

    __slots__ = ("_crowd",)

    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd

    def gone(self, reason: str) -> None:
        self._crowd.lose(reason)


class Crowd:
    """All clients of a generator."""

    def __init__(self, wire: Wire, counters: memoryview) -> None:
        self._links: Links = links(wire)
        self._counters = counters
        self._clients: list[Client] = []
        #: Why clients were lost that had got in.
        self.lost: list[str] = []

    @property
    def clients(self) -> Sequence[Session]:
        """Who has got in; grows with :meth:`come`."""
        return self._clients

    async def come(
        self,
        channels: Sequence[str],
        rate: float,
        turn: Turn = _ALONE,
        tell: Callable[[int], None] | None = None,
    ) -> Arrivals:
        """Connect a client for each channel, which subscribes to it; to none if it is empty.

        Raises:
            OSError, Unexpected: one of them was refused.
        """
        first_ns = turn.first_ns(monotonic_ns(), rate)
        recording = Recording(first_ns, sys.maxsize, tell)
        gate = asyncio.Semaphore(AT_ONCE)
        schedule = Schedule(first_ns, first_ns, sys.maxsize)
        async with asyncio.TaskGroup() as tasks, aclosing(paced(schedule, rate)) as moments:
            for channel in channels:
                if math.isinf(rate):
                    await gate.acquire()
                    due_ns = monotonic_ns()
                else:
                    due_ns = await anext(moments)
                task = tasks.create_task(self._one(channel, due_ns, first_ns, recording))
                task.add_done_callback(lambda _: gate.release())
        return Arrivals(recording.result(), first_ns, monotonic_ns() if channels else 0)

    async def _one(self, channel: str, due_ns: int, first_ns: int, recording: Recording) -> None:
        client = Client(self)
        await client.open(self._links)
        if channel:
            await client.subscribe(channel)
        # The loop's timers may also be a moment early: the first counts, too.
        slot = recording.slot(max(due_ns, first_ns))
        if slot is not None:
            slot((monotonic_ns() - due_ns) // 1000)
        self._clients.append(client)
        self._counters[CONNECTED] += 1

    def lose(self, reason: str) -> None:
        """Note that a connection ended before it was to."""
        self.lost.append(reason)
        self._counters[FAILED] += 1

    def leave(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._counters[CONNECTED] = 0


@dataclass(frozen=True, slots=True)
class Come:
    """Connect a client for each channel, an empty one for none; answers :class:`Arrivals`.

    Without a schedule the rate is ``math.inf``.
    """

    wire: Wire
    channels: Sequence[str]
    rate: float
    turn: Turn

    async def answer(self, desk: Desk) -> Arrivals:
        try:
            crowd = desk.kept(Crowd)
        except GeneratorFailed:
            crowd = Crowd(self.wire, desk.counters)
            desk.keep(crowd)
            desk.start(keep_alive(crowd.clients))
        return await crowd.come(self.channels, self.rate, self.turn, desk.tell_p99)


@dataclass(frozen=True, slots=True)
class Lost:
    """Answers why connections have ended that were to stay, one reason each."""

    async def answer(self, desk: Desk) -> Sequence[str]:
        return tuple(desk.kept(Crowd).lost)


@dataclass(frozen=True, slots=True)
class Leave:
    """Close every connection; answers None."""

    async def answer(self, desk: Desk) -> None:
        desk.kept(Crowd).leave()
