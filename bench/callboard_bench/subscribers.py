"""Thousands of WebSocket subscribers in one process, each as cheap as can be.

What subscribers of one channel read is mostly the same bytes, so a read is parsed once and its
:class:`Batch` reused while the next subscribers read an equal one (a memory comparison). The
audit stays per subscriber.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import orjson

from callboard_bench.audit import Audit, Tally
from callboard_bench.clock import monotonic_ns
from callboard_bench.figures import Latencies
from callboard_bench.generator import Desk, GeneratorFailed
from callboard_bench.stamps import read_stamp
from callboard_bench.websocket import (
    Unexpected,
    cut_frames,
    masked_pong,
    masked_text,
    upgrade_request,
)
from callboard_protocol.frames import CLOSE, PING, TEXT
from callboard_protocol.messages import PONG as PUSHER_PONG

#: Handshakes under way at once: more would time the listen backlog, not the server.
_CONNECTING_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read held: stamped messages, other frames, and the beginning of a next frame."""

    data: bytes
    sequences: Sequence[int]
    #: Whether the sequence numbers are a run without a gap.
    in_order: bool
    #: Send times of those messages whose latency counts.
    sent_ns: Sequence[int]
    others: Sequence[tuple[int, bytes]]
    rest: bytes


class Subscribers:
    """All subscribers of a generator: their shared parsing, latencies and progress."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._address = (host, port)
        self._upgrade = upgrade_request(f"{host}:{port}", path)
        self._members: list[Subscriber] = []
        self._counted = range(0)
        self._latencies = array("Q")
        self._awaited = 0
        self._arrived: asyncio.Future[None] | None = None
        self.batch = Batch(b"", (), False, (), (), b"")
        self.received = 0
        self.last_ns = 0
        self.closed = 0

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Connect one more subscriber for each channel named, and wait until all are subscribed.

        Raises:
            OSError, Unexpected: one of them was refused.
        """
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for channel in channels:
                await gate.acquire()
                task = tasks.create_task(self._connect(channel))
                task.add_done_callback(lambda _: gate.release())

    async def _connect(self, channel: str) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        _, member = await loop.create_connection(
            lambda: Subscriber(self, channel, self._upgrade, ready), *self._address
        )
        await ready
        self._members.append(member)

    def count(self, first: int, last: int) -> None:
        """Record the latencies of messages ``first`` to ``last``, both included."""
        self._counted = range(first, last + 1)
        self.batch = Batch(b"", (), False, (), (), b"")

    async def arrived(self, total: int, quiet_seconds: float, timeout_seconds: float) -> None:
        """Wait until ``total`` messages were received, or none for a while, or the time is up."""
        if self.received >= total:
            return
        loop = asyncio.get_running_loop()
        self._awaited, self._arrived = total, loop.create_future()
        deadline = loop.time() + timeout_seconds
        while not self._arrived.done() and loop.time() < deadline:
            before = self.received
            await asyncio.wait({self._arrived}, timeout=quiet_seconds)
            if self.received == before:
                break
        self._arrived = None

    def finish(self, published: int) -> tuple[Tally, Latencies]:
        """Sum up the audits of ``published`` messages and the latencies that counted."""
        tally = Tally(closed=self.closed)
        for member in self._members:
            tally.add(member.audit, published)
        return tally, Latencies(self._latencies)

    def cut(self, data: bytes) -> Batch:
        """Parse one read and keep the result for the subscribers that read the same.

        Raises:
            Unexpected: a frame that is not understood.
        """
        frames, rest = cut_frames(data)
        sequences, sent_ns, others = [], [], []
        for opcode, payload in frames:
            stamp = read_stamp(payload) if opcode == TEXT else None
            if stamp is None:
                others.append((opcode, payload))
                continue
            sequences.append(stamp[1])
            if stamp[1] in self._counted:
                sent_ns.append(stamp[2])
        in_order = all(b == a + 1 for a, b in pairwise(sequences))
        self.batch = Batch(data, sequences, in_order, sent_ns, others, rest)
        return self.batch

    def delivered(self, batch: Batch) -> None:
        """Count the messages of a batch that one subscriber received now."""
        self.last_ns = now = monotonic_ns()
        self.received += len(batch.sequences)
        for sent_ns in batch.sent_ns:
            self._latencies.append((now - sent_ns) // 1000)
        waiting = self._arrived
        if waiting is not None and self.received >= self._awaited and not waiting.done():
            waiting.set_result(None)


class Subscriber(asyncio.Protocol):
    """One WebSocket connection subscribed to one channel."""

    __slots__ = ("_channel", "_group", "_ready", "_rest", "_transport", "_upgrade", "audit")

    def __init__(
        self, group: Subscribers, channel: str, upgrade: bytes, ready: asyncio.Future[None]
    ) -> None:
        self._group = group
        self._channel = channel
        self._upgrade: bytes | None = upgrade
        self._ready: asyncio.Future[None] | None = ready
        self._transport: asyncio.Transport
        self._rest = b""
        self.audit = Audit()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self._upgrade is not None
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._upgrade)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if self._upgrade is not None:
            self._handshake(data)
            return
        batch = self._group.batch
        if batch.data != data:
            try:
                batch = self._group.cut(data)
            except Unexpected as error:
                self._fail(str(error))
                return
        self._rest = batch.rest
        if batch.sequences:
            if batch.in_order:
                self.audit.take_run(batch.sequences[0], batch.sequences[-1])
            else:
                for sequence in batch.sequences:
                    self.audit.take(sequence)
            self._group.delivered(batch)
        for opcode, payload in batch.others:
            self._other(opcode, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self._group.closed += 1
        self._fail(f"closed before the subscription to {self._channel!r} succeeded")

    def _handshake(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._rest = data
        elif not data.startswith(b"HTTP/1.1 101 "):
            self._fail(f"the upgrade was answered with {data[:60]!r}")
        else:
            self._upgrade, self._rest = None, b""
            if len(data) > end + 4:
                self.data_received(data[end + 4 :])

    def _other(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._transport.write(masked_pong(payload))
        elif opcode == CLOSE:
            self._fail(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")
        elif opcode == TEXT:
            self._message(orjson.loads(payload))

    def _message(self, message: dict[str, object]) -> None:
        event = message.get("event")
        if event == "pusher:connection_established":
            subscribe = {"event": "pusher:subscribe", "data": {"channel": self._channel}}
            self._transport.write(masked_text(orjson.dumps(subscribe)))
        elif event == "pusher_internal:subscription_succeeded":
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            self._ready = None
        elif event == "pusher:ping":
            self._transport.write(masked_text(PUSHER_PONG))
        elif event == "pusher:error":
            self._fail(f"the server said {message.get('data')}")

    def _fail(self, reason: str) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(Unexpected(reason))
        self._ready = None
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Connect and subscribe once for each channel; answers None."""

    host: str
    port: int
    path: str
    channels: Sequence[str]

    async def answer(self, desk: Desk) -> None:
        try:
            group = desk.kept(Subscribers)
        except GeneratorFailed:
            group = Subscribers(self.host, self.port, self.path)
            desk.keep(group)
        await group.subscribe(self.channels)


@dataclass(frozen=True, slots=True)
class Count:
    """Record the latencies of these messages, both included; answers None."""

    first: int
    last: int

    async def answer(self, desk: Desk) -> None:
        desk.kept(Subscribers).count(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for so many messages in all; answers (received, time of the last in ns)."""

    total: int
    quiet_seconds: float
    timeout_seconds: float

    async def answer(self, desk: Desk) -> tuple[int, int]:
        group = desk.kept(Subscribers)
        await group.arrived(self.total, self.quiet_seconds, self.timeout_seconds)
        return group.received, group.last_ns


@dataclass(frozen=True, slots=True)
class Finish:
    """Audit that many messages; answers (Tally, Latencies)."""

    published: int

    async def answer(self, desk: Desk) -> tuple[Tally, Latencies]:
        return desk.kept(Subscribers).finish(self.published)


def merge(results: Sequence[tuple[Tally, Latencies]]) -> tuple[Tally, Latencies]:
    """Join what several generators answered to :class:`Finish`."""
    tally, latencies = Tally(), Latencies()
    for part, seen in results:
        tally.merge(part)
        latencies.merge(seen)
    return tally, latencies
