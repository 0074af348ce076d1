"""Channels that somebody publishes on, next to other parts in the same generator.

The subscribers are those of the scenarios that publish, and so is the publisher, with one
connection of its own. Without subscribers what is timed is the answer of the requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from callboard_bench.api import App
from callboard_bench.clients.link import Wire
from callboard_bench.clients.pace import until
from callboard_bench.clients.part import Findings, Schedule
from callboard_bench.clients.publisher import OpenPublisher, Published, Publisher
from callboard_bench.clients.session import keep_alive
from callboard_bench.clients.subscribers import Subscribers
from callboard_bench.generator import Counts
from callboard_bench.recording import Recorded, Recording
from callboard_bench.targets.target import Address

#: What is timed: from the moment at which a message was due until a subscriber has read it.
LATENCY: Final = "latency"
#: From the moment at which a request was due to its answer.
ANSWER: Final = "answer"

_QUIET_SECONDS: Final = 2.0
_ARRIVE_SECONDS: Final = 60.0
#: How long behind the end of the window what was due in it may still leave.
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class AudienceSpec:
    """The order for :class:`Audience`: ``rate`` messages a second over all channels."""

    wire: Wire
    app: App
    api: Address
    channels: Sequence[str]
    #: Subscribers of each channel, which may be 0.
    subscribers: int
    rate: float
    message_bytes: int

    def part(self, counters: memoryview) -> Audience:
        return Audience(self, counters)


class Audience:
    """The subscribers of some channels, and who publishes on them."""

    def __init__(self, spec: AudienceSpec, counters: memoryview) -> None:
        self._spec = spec
        self._counters = counters
        # Subscribers and publisher set their cells, which other parts of the process share.
        self._own = memoryview(bytearray(8 * len(Counts._fields))).cast("Q")
        self._subscribers = Subscribers(spec.wire, 1, self._own)
        order = OpenPublisher(spec.app, spec.api, spec.channels, 1, spec.message_bytes)
        self._publisher = Publisher(order, self._own)
        self._published: Published | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        spec = self._spec
        self._tasks = [
            asyncio.ensure_future(keep_alive(self._subscribers.members)),
            asyncio.ensure_future(self._pass_on()),
        ]
        everyone = [channel for channel in spec.channels for _ in range(spec.subscribers)]
        await self._subscribers.subscribe(everyone)
        await self._publisher.open()

    async def run(self, schedule: Schedule) -> None:
        rate, subscribers = self._spec.rate, self._subscribers
        subscribers.record(schedule.recording())
        await until(schedule.start_ns)
        await self._publisher.publish(rate, (schedule.counted_ns - schedule.start_ns) / 1e9)
        await until(schedule.counted_ns)
        seconds = (schedule.end_ns - schedule.counted_ns) / 1e9
        self._published = await self._publisher.publish(rate, seconds, _PATIENCE_SECONDS)
        await subscribers.arrived(self._published.counts, _QUIET_SECONDS, _ARRIVE_SECONDS)

    def findings(self) -> Findings:
        published = self._published
        assert published is not None
        tally = self._subscribers.finish(published.counts)
        times = {ANSWER: Recorded(published.answers)}
        if self._spec.subscribers:
            times[LATENCY] = self._subscribers.record(Recording()).result()
        unsent = published.offered - published.sent - published.refused
        return Findings(tally, times=times, unsent=unsent, requests=published.requests)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for member in self._subscribers.members:
            member.close()
        self._publisher.close()

    async def _pass_on(self) -> None:
        """Add to the shared cells what the own ones gain, for ever."""
        before = list(self._own)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = list(self._own)
            for cell, (then, value) in enumerate(zip(before, now, strict=True)):
                self._counters[cell] += value - then
            before = now
