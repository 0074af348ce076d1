"""Thousands of subscribers in one process, each as cheap as can be, and none trusted.

What subscribers of one channel hear is mostly the same messages, so they are looked at once and
the resulting :class:`Batch` serves all who hear the same tuple of them. The audit stays with each
subscriber: every message of its channel once, in the order of its stream, and no other channel's.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from callboard_bench.audit import Audit, Tally
from callboard_bench.clients.link import Wire
from callboard_bench.clients.session import Session, keep_alive, let_in, links
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import CONNECTED, FAILED, RECEIVED, Desk
from callboard_bench.recording import Recorded, Recording
from callboard_bench.stamps import read_stamp
from callboard_bench.websocket import Unexpected


class Run(NamedTuple):
    """Messages of one stream without a gap: the first and the last of them."""

    channel: str
    stream: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What messages heard together are: stamped ones, and others."""

    messages: Sequence[bytes]
    runs: Sequence[Run]
    #: How many are stamped.
    count: int
    #: When each of those was due whose latency counts, and what takes it.
    timed: Sequence[tuple[int, Callable[[int], None]]]
    others: Sequence[bytes]


class Subscribers:
    """All subscribers of a generator: what they have heard together, latencies and progress."""

    def __init__(self, wire: Wire, streams: int, counters: memoryview) -> None:
        """Each channel has so many streams, numbered from 0."""
        self._links = links(wire)
        self._streams = streams
        self._counters = counters
        self._members: list[Subscriber] = []
        self._recording = Recording()
        self._awaited = sys.maxsize
        self._arrived: asyncio.Future[None] | None = None
        self.batch = Batch((), (), 0, (), ())
        self.received = 0
        self.last_ns = 0
        #: Connections that ended before they were to, by why.
        self.closed: Counter[str] = Counter()
        #: Why a message cannot be from this run; the audit is worth nothing then.
        self.nonsense = ""

    @property
    def members(self) -> Sequence[Session]:
        """Who is subscribed; grows with :meth:`subscribe`."""
        return self._members

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Connect one more subscriber for each channel named, and wait until all are subscribed.

        Raises:
            OSError, Unexpected: one of them was refused.
        """
        await let_in(channels, self._connect)

    async def _connect(self, channel: str) -> None:
        member = Subscriber(self, channel, self._streams)
        await member.open(self._links)
        await member.subscribe(channel)
        member.counted = True
        self._members.append(member)
        self._counters[CONNECTED] += 1

    def record(self, recording: Recording) -> Recording:
        """Record latencies there from now on; return what they were recorded in before."""
        before, self._recording = self._recording, recording
        self.batch = Batch((), (), 0, (), ())
        return before

    async def arrived(
        self, published: Mapping[str, Sequence[int]], quiet_seconds: float, timeout_seconds: float
    ) -> None:
        """Wait until all ``published`` was received, or none for a while, or the time is up."""
        total = sum(sum(published.get(member.channel, ())) for member in self._members)
        if self.received >= total:
            return
        loop = asyncio.get_running_loop()
        self._awaited, self._arrived = total, loop.create_future()
        deadline = loop.time() + timeout_seconds
        while not self._arrived.done() and loop.time() < deadline:
            before = self.received
            await asyncio.wait({self._arrived}, timeout=quiet_seconds)
            self._counters[RECEIVED] = self.received
            if self.received == before:
                break
        self._awaited, self._arrived = sys.maxsize, None

    def finish(self, published: Mapping[str, Sequence[int]]) -> Tally:
        """Sum up the audits of what was published, by channel and stream.

        Raises:
            Unexpected: a message came that this run cannot have sent.
        """
        if self.nonsense:
            raise Unexpected(self.nonsense)
        tally = Tally(closed=self.closed)
        for member in self._members:
            member.add_to(tally, published.get(member.channel, ()))
        return tally

    def sort(self, messages: Sequence[bytes]) -> Batch:
        """Look at messages and keep the result for the subscribers that hear the same."""
        runs: list[Run] = []
        timed, others = [], []
        for message in messages:
            stamp = read_stamp(message)
            if stamp is None:
                others.append(message)
                continue
            stream, sequence, due_ns = stamp
            _extend(runs, _channel(message), stream, sequence)
            slot = self._recording.slot(due_ns)
            if slot is not None:
                timed.append((due_ns, slot))
        # Here and not for each delivery: the eye needs no more, and a delivery is to cost little.
        self._counters[RECEIVED] = self.received
        self.batch = Batch(messages, runs, len(messages) - len(others), timed, others)
        return self.batch

    def delivered(self, batch: Batch) -> None:
        """Count the messages of a batch that one subscriber hears now."""
        self.last_ns = now = monotonic_ns()
        self.received = received = self.received + batch.count
        for due_ns, slot in batch.timed:
            slot((now - due_ns) // 1000)
        if received >= self._awaited and self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def lose(self, reason: str) -> None:
        """Count a subscriber whose connection ended before it was to."""
        self.closed[reason] += 1
        self._counters[CONNECTED] -= 1
        self._counters[FAILED] += 1


class Subscriber(Session):
    """One client, subscribed to one channel."""

    __slots__ = ("_audits", "_group", "_misrouted", "channel", "counted")

    def __init__(self, group: Subscribers, channel: str, streams: int) -> None:
        super().__init__()
        self._group = group
        self._audits = [Audit() for _ in range(streams)]
        self._misrouted = 0
        self.channel = channel
        #: Whether the group counts it.
        self.counted = False

    def heard(self, messages: Sequence[bytes]) -> None:
        batch = self._group.batch
        if batch.messages is not messages:
            batch = self._group.sort(messages)
        for channel, stream, first, last in batch.runs:
            if channel == self.channel and stream < len(self._audits):
                try:
                    self._audits[stream].take_run(first, last)
                except ValueError as error:
                    self._group.nonsense = str(error)
            else:
                self._misrouted += last + 1 - first
        if batch.count:
            self._group.delivered(batch)
        for message in batch.others:
            self.take(message)

    def gone(self, reason: str) -> None:
        if self.counted:
            self._group.lose(reason)

    def activity(self) -> int:
        return self.heard_count + sum(audit.received for audit in self._audits)

    def add_to(self, tally: Tally, published: Sequence[int]) -> None:
        """Add to a tally what was heard of so many messages in each stream."""
        for stream, audit in enumerate(self._audits):
            tally.add(audit, published[stream] if stream < len(published) else 0)
        tally.misrouted += self._misrouted


def _extend(runs: list[Run], channel: str, stream: int, sequence: int) -> None:
    if runs:
        last = runs[-1]
        if last.stream == stream and last.last + 1 == sequence and last.channel == channel:
            runs[-1] = Run(channel, stream, last.first, sequence)
            return
    runs.append(Run(channel, stream, sequence, sequence))


def _channel(message: bytes) -> str:
    """Return the channel a stamped message names; empty if none can be made out."""
    try:
        return str(orjson.loads(message)["channel"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Connect and subscribe once for each channel, and stay; answers None."""

    wire: Wire
    channels: Sequence[str]
    streams: int = 1

    async def answer(self, desk: Desk) -> None:
        group = Subscribers(self.wire, self.streams, desk.counters)
        desk.keep(group)
        await group.subscribe(self.channels)
        desk.start(keep_alive(group.members))


@dataclass(frozen=True, slots=True)
class Record:
    """Record the latencies of what is due from a moment on; answers None."""

    start_ns: int

    async def answer(self, desk: Desk) -> None:
        desk.kept(Subscribers).record(Recording(self.start_ns, sys.maxsize, desk.tell_p99))


@dataclass(frozen=True, slots=True)
class Collect:
    """Record no more; answers :class:`~callboard_bench.recording.Recorded`."""

    async def answer(self, desk: Desk) -> Recorded:
        return desk.kept(Subscribers).record(Recording()).result()


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for all that was published in the round; answers (received, time of the last in ns)."""

    published: Mapping[str, Sequence[int]]
    quiet_seconds: float
    timeout_seconds: float

    async def answer(self, desk: Desk) -> tuple[int, int]:
        group = desk.kept(Subscribers)
        await group.arrived(self.published, self.quiet_seconds, self.timeout_seconds)
        return group.received, group.last_ns


@dataclass(frozen=True, slots=True)
class Finish:
    """Audit what was published in the round; answers :class:`~callboard_bench.audit.Tally`."""

    published: Mapping[str, Sequence[int]]

    async def answer(self, desk: Desk) -> Tally:
        return desk.kept(Subscribers).finish(self.published)
