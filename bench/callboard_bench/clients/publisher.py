"""Publishes on a schedule that does not wait for the server (open loop).

A *lane* is a kept-alive connection with a schedule of its own: one request at a time. A request
that could not leave in time, because the answer to the one before was outstanding, carries the
time at which it should have left: a stall shows as latency instead of hiding in a publisher that
waited. One that left a moment late for the publisher's own timer carries the real time. Those that
are still to leave when the window ends leave behind it, or a stall there would be no one's.

Without a rate each lane publishes again as soon as it was answered (closed loop): then the server
sets the pace, and a stall delays what it would have delayed unseen.

A message that the server refuses was not published: its number goes to the next, and nobody has to
hear it. One that arrives nevertheless shows as a duplicate.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import orjson

from callboard_bench.api import App, post
from callboard_bench.clients.pace import counts_from, until
from callboard_bench.clients.refusals import Refusals
from callboard_bench.clock import monotonic_ns
from callboard_bench.figures import Latencies
from callboard_bench.generator import ANSWERED, Desk
from callboard_bench.keepalive import KeepAlive
from callboard_bench.rounds import Requests
from callboard_bench.stamps import EVENT, stamped_data
from callboard_bench.targets.target import Address


@dataclass(frozen=True, slots=True)
class Published:
    """What was published in a window, and in the round so far."""

    #: Messages of the round by channel, and by stream of the channel.
    counts: Mapping[str, Sequence[int]]
    #: Messages of the window that the server took, and those that it refused.
    sent: int
    refused: int
    #: Messages that the schedule of the window had; those sent where it had none.
    offered: int
    #: Of those sent or refused, how many left behind the end of the window.
    late: int
    #: From the first request to the last answer, or to the end of the window if that is later.
    seconds: float
    #: From when a request was due to its answer, of those accepted.
    answers: Latencies
    #: Of the round so far.
    requests: Requests


class Publisher:
    """All lanes of a round. A channel that several of them share has a stream for each."""

    def __init__(self, order: OpenPublisher, counters: memoryview) -> None:
        self.order = order
        self.answers: list[int] = []
        #: Messages of the window that left behind its end.
        self.late = 0
        #: Messages of the window that were refused.
        self.refused = 0
        self._refusals = Refusals()
        self._counters = counters
        self._answered = 0
        channels, lanes = order.channels, order.lanes
        streams = math.ceil(lanes / len(channels))
        #: Messages by channel and stream.
        self.counts = {channel: [0] * streams for channel in channels}
        self._lanes = [
            Lane(self, channels[lane % len(channels) :: lanes], lane // len(channels))
            for lane in range(lanes)
        ]

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError: nobody listens there.
        """
        for lane in self._lanes:
            await lane.open()

    def close(self) -> None:
        """Close the connections."""
        for lane in self._lanes:
            lane.close()

    async def publish(
        self, rate: float, seconds: float, patience_seconds: float = 0.0
    ) -> Published:
        """Publish for a while, ``rate`` messages a second or ``math.inf``.

        Fewer are sent only if the server could not keep up, nor make up for it within
        ``patience_seconds`` behind the end.

        Raises:
            PublishRefused: the server refuses whatever comes; naming status and body.
            OSError: the server closed the connection, or nobody listens any more.
        """
        before, self.answers, self.late, self.refused = self._total, [], 0, 0
        start = monotonic_ns()
        end = start + int(seconds * 1e9)
        last = end + int(patience_seconds * 1e9)
        interval = 1e9 * self.order.batch / rate
        async with asyncio.TaskGroup() as tasks:
            for number, lane in enumerate(self._lanes):
                due = Due(
                    start + int(number * interval), int(len(self._lanes) * interval), end, last
                )
                tasks.create_task(lane.publish(due))
        sent = self._total - before
        offered = sent + self.refused
        if interval:
            offered = math.ceil(seconds * 1e9 / interval) * self.order.batch
        counts = {channel: tuple(streams) for channel, streams in self.counts.items()}
        took = max((monotonic_ns() - start) / 1e9, seconds)
        return Published(
            counts,
            sent,
            self.refused,
            offered,
            self.late,
            took,
            Latencies(self.answers),
            self._refusals.requests(self._answered),
        )

    def answered(self, microseconds: int) -> None:
        """Record a request's answer."""
        self.answers.append(microseconds)
        self._answered += 1
        self._counters[ANSWERED] = self._answered

    def refuse(self, status: int, body: bytes) -> None:
        """Record that a request was refused.

        Raises:
            PublishRefused: the server refuses whatever comes.
        """
        self.refused += self.order.batch
        self._refusals.refuse(status, body, self._answered)

    @property
    def _total(self) -> int:
        return sum(map(sum, self.counts.values()))


@dataclass(frozen=True, slots=True)
class Due:
    """When the requests of a lane are due; an ``interval_ns`` of 0 is as soon as they can leave."""

    first_ns: int
    interval_ns: int
    end_ns: int
    #: What was due before the end, but could not leave by now, does not leave at all.
    last_ns: int


class Lane:
    """One kept-alive connection, which publishes on its channels in turn."""

    def __init__(self, publisher: Publisher, channels: Sequence[str], stream: int) -> None:
        self._publisher = publisher
        self._channels = cycle(channels)
        self._stream = stream
        self._connection: KeepAlive

    async def open(self) -> None:
        """Connect."""
        self._connection = await KeepAlive.to(self._publisher.order.address)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def publish(self, due: Due) -> None:
        """Publish until the end of the schedule, or of its time."""
        number = 0
        while True:
            now = monotonic_ns()
            wanted = due.first_ns + number * due.interval_ns if due.interval_ns else now
            if wanted >= due.end_ns or now >= due.last_ns:
                return
            if now >= due.end_ns:
                self._publisher.late += self._publisher.order.batch
            held_up = number > 0 and now >= wanted
            if not held_up:
                await until(wanted)
            await self._one(counts_from(wanted, monotonic_ns(), held_up=held_up))
            number += 1

    async def _one(self, sent_ns: int) -> None:
        if self._connection.closed:
            # Servers close what was idle between two windows.
            await self.open()
        channels = [next(self._channels) for _ in range(self._publisher.order.batch)]
        status, body = await self._connection.request(self._request(channels, sent_ns))
        if status != 200:
            for channel in channels:
                self._publisher.counts[channel][self._stream] -= 1
            self._publisher.refuse(status, body)
            return
        self._publisher.answered((monotonic_ns() - sent_ns) // 1000)

    def _request(self, channels: Sequence[str], sent_ns: int) -> bytes:
        events = [self._event(channel, sent_ns) for channel in channels]
        if self._publisher.order.batch == 1:
            return self._post("events", events[0])
        return self._post("batch_events", {"batch": events})

    def _post(self, call: str, body: object) -> bytes:
        order = self._publisher.order
        return post(order.app, order.address.host, order.address.port, call, orjson.dumps(body))

    def _event(self, channel: str, sent_ns: int) -> dict[str, str]:
        counts = self._publisher.counts[channel]
        sequence = counts[self._stream]
        counts[self._stream] += 1
        size = self._publisher.order.message_bytes
        data = stamped_data(sequence, sent_ns, channel, size, self._stream)
        return {"name": EVENT, "channel": channel, "data": data}


@dataclass(frozen=True, slots=True)
class OpenPublisher:
    """Connect what publishes in a round; answers None."""

    app: App
    address: Address
    channels: Sequence[str]
    #: Connections; channels are divided among them, or they share the channels if these are fewer.
    lanes: int
    message_bytes: int
    #: Messages of a request; 1 is a plain trigger.
    batch: int = 1

    async def answer(self, desk: Desk) -> None:
        publisher = Publisher(self, desk.counters)
        desk.keep(publisher)
        await publisher.open()


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish for a while; answers :class:`Published`. Without end the rate is ``math.inf``."""

    rate: float
    seconds: float
    patience_seconds: float = 0.0

    async def answer(self, desk: Desk) -> Published:
        publisher = desk.kept(Publisher)
        return await publisher.publish(self.rate, self.seconds, self.patience_seconds)
