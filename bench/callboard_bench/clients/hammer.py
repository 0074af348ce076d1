"""Signed requests over several kept-alive connections, on a schedule or as fast as they go.

On a schedule (open loop) a request that is due goes out on any connection that is free; one that
found none counts from when it was due, and so does one whose timer was later than a moment.
Without one (closed loop) each connection sends its next request when the last was answered.

A server that closes the connection behind each answer, as soketi does, gets another one for each
request: opening it is part of what the request takes where the connection is wanted already.

A request that is refused is counted and timed for nobody: latencies are those of accepted ones.

What was due in the window is waited for behind its end, or a stall there would be no one's. The
load goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final, cast

from callboard_bench.api import cut_answer, ends_connection
from callboard_bench.clients.pace import Turn, counts_from
from callboard_bench.clients.refusals import PublishRefused, Refusals
from callboard_bench.clock import monotonic_ns
from callboard_bench.errors import in_words
from callboard_bench.generator import ANSWERED, CONNECTED, FAILED, Desk
from callboard_bench.recording import Recorded, Recording
from callboard_bench.rounds import Requests
from callboard_bench.targets.target import Address
from callboard_bench.websocket import Unexpected

#: The resolution of the loop's timers: a shorter one would keep the loop busy.
_SHORTEST_WAIT: Final = 0.001
#: How often to see whether the last answers of a window have come.
_LOOK_SECONDS: Final = 0.01
_CLOSED: Final = "the server closed a kept-alive connection"


class Hammer:
    """The connections, and the schedule they share."""

    def __init__(self, requests: Sequence[bytes], rate: float, counters: memoryview) -> None:
        self._requests = cycle(requests)
        self._counters = counters
        self._rate = rate
        self._interval_ns = 1e9 / rate
        self._first_ns = 0
        self._sent = 0
        self._endpoint: dict[str, Any] = {}
        self._connections: list[_Connection] = []
        #: Connections that the server has closed behind an answer.
        self._ended: asyncio.Queue[_Connection] = asyncio.Queue()
        self._idle: list[_Connection] = []
        #: Whether a request that was due found no connection free.
        self._starved = False
        self.scheduled = not math.isinf(rate)
        self.recording = Recording()
        self.answered = 0
        self.refusals = Refusals()
        #: Requests that were refused of those due in the window.
        self.refused = 0
        self.failure = ""
        #: The last good answer that came whole in one read: an equal one needs no parsing.
        self.good = b""
        #: Whether the server closes behind its answers.
        self.ending = False

    async def start(self, address: Address, connections: int, turn: Turn) -> None:
        """Open the connections, and begin; with a rate, when it is this one's turn.

        Raises:
            OSError: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        self._endpoint = address.endpoint()
        for _ in range(connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), **self._endpoint
            )
            self._connections.append(connection)
            self._counters[CONNECTED] += 1
        if self.scheduled:
            self._first_ns = turn.first_ns(monotonic_ns(), self._rate)
            self._idle = list(self._connections)
            self._pump()
            return
        for connection in self._connections:
            connection.send(next(self._requests), monotonic_ns())

    def answer(self, connection: _Connection, sent_ns: int) -> None:
        """Record a good answer, and give its connection the next request."""
        now = monotonic_ns()
        self.answered += 1
        self._counters[ANSWERED] = self.answered
        slot = self.recording.slot(sent_ns)
        if slot is not None:
            slot((now - sent_ns) // 1000)
        if self.ending:
            connection.renew(now)
        else:
            self.free(connection, now)

    def refuse(self, connection: _Connection, status: int, body: bytes, *, ending: bool) -> None:
        """Record a refusal, and give its connection the next request.

        Raises:
            PublishRefused: the server refuses whatever comes.
        """
        self.refusals.refuse(status, body, self.answered)
        now = monotonic_ns()
        if self.recording.slot(connection.sent_ns) is not None:
            self.refused += 1
        if ending:
            connection.renew(now)
        else:
            self.free(connection, now)

    def free(self, connection: _Connection, since_ns: int) -> None:
        """Give a connection the next request, which counts from then if it is not scheduled."""
        if not self.scheduled:
            connection.send(next(self._requests), since_ns)
            return
        self._idle.append(connection)
        if self._starved:
            self._send_due()

    async def reconnect(self) -> None:
        """Open others for connections that the server closes behind its answers, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._open_again(await self._ended.get()))

    def ended(self, connection: _Connection) -> None:
        """Have a connection opened again."""
        self._ended.put_nowait(connection)

    def fail(self, reason: str) -> None:
        """Keep the first reason; the next question raises it."""
        self.failure = self.failure or reason
        self._counters[FAILED] += 1

    async def answered_until(self, end_ns: int, patience_seconds: float) -> None:
        """Wait until all that was due before a moment is answered, so long at most."""
        last_ns = monotonic_ns() + int(patience_seconds * 1e9)
        while self._outstanding(end_ns) and not self.failure:
            await asyncio.sleep(_LOOK_SECONDS)
            if monotonic_ns() > last_ns:
                return

    def check(self) -> None:
        """Raise what has gone wrong.

        Raises:
            Unexpected: the server refuses whatever comes, or has closed a connection.
        """
        if self.failure:
            raise Unexpected(self.failure)

    async def _open_again(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, **self._endpoint)
        except OSError as error:
            self.fail(in_words(error))

    def _outstanding(self, end_ns: int) -> bool:
        if self.scheduled and self._due_ns < end_ns:
            return True
        busy = set(self._connections).difference(self._idle)
        return any(connection.sent_ns < end_ns for connection in busy)

    def _pump(self) -> None:
        self._send_due()
        # While starved, answers send what is due, and the timer only has to go on.
        wait = max((self._due_ns - monotonic_ns()) / 1e9, _SHORTEST_WAIT)
        asyncio.get_running_loop().call_later(wait, self._pump)

    def _send_due(self) -> None:
        now = monotonic_ns()
        while (due := self._due_ns) <= now:
            if not self._idle:
                self._starved = True
                return
            since = counts_from(due, now, held_up=self._starved)
            self._idle.pop().send(next(self._requests), since)
            self._sent += 1
        self._starved = False

    @property
    def _due_ns(self) -> int:
        return self._first_ns + int(self._sent * self._interval_ns)


class _Connection(asyncio.Protocol):
    __slots__ = ("_data", "_hammer", "_renewed_ns", "_transport", "sent_ns")

    def __init__(self, hammer: Hammer) -> None:
        self._hammer = hammer
        self._transport: asyncio.Transport
        #: From when the last request counts.
        self.sent_ns = 0
        self._data = b""
        #: Since when it waits for another transport, 0 if it does not.
        self._renewed_ns = 0

    def send(self, request: bytes, sent_ns: int) -> None:
        """Send a request whose time counts from then."""
        self.sent_ns = sent_ns
        self._transport.write(request)

    def renew(self, since_ns: int) -> None:
        """Have another transport for the next request."""
        self._renewed_ns = since_ns
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._renewed_ns:
            since_ns, self._renewed_ns = self._renewed_ns, 0
            self._hammer.free(self, since_ns)

    def data_received(self, data: bytes) -> None:
        if not self._data and data == self._hammer.good:
            self._hammer.answer(self, self.sent_ns)
            return
        self._data += data
        try:
            answer = cut_answer(self._data)
        except Unexpected as error:
            self._fail(str(error))
            return
        if answer is None:
            return
        status, body, rest = answer
        if rest:
            self._fail(f"behind an answer came {rest[:60]!r}, which nobody has asked for")
            return
        ending = ends_connection(self._data)
        if status != 200:
            self._data = b""
            try:
                self._hammer.refuse(self, status, body, ending=ending)
            except PublishRefused as error:
                self._fail(str(error))
            return
        self._hammer.ending = ending
        self._hammer.good, self._data = self._data, b""
        self._hammer.answer(self, self.sent_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._renewed_ns:
            self._hammer.ended(self)
        else:
            self._fail(_CLOSED)

    def _fail(self, reason: str) -> None:
        self._hammer.fail(reason)
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Begin:
    """Open connections and begin to send requests in turn; answers None.

    Without a schedule the rate is ``math.inf``.
    """

    address: Address
    requests: Sequence[bytes]
    connections: int
    rate: float
    turn: Turn

    async def answer(self, desk: Desk) -> None:
        hammer = Hammer(self.requests, self.rate, desk.counters)
        desk.keep(hammer)
        desk.start(hammer.reconnect())
        await hammer.start(self.address, self.connections, self.turn)


@dataclass(frozen=True, slots=True)
class RecordAnswers:
    """Record the latencies of requests due in a window; answers None."""

    start_ns: int
    end_ns: int

    async def answer(self, desk: Desk) -> None:
        hammer = desk.kept(Hammer)
        hammer.check()
        hammer.recording = Recording(self.start_ns, self.end_ns, desk.tell_p99)


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of the requests of one process."""

    #: Latencies of those due in the window that were accepted, and how many of them were refused.
    recorded: Recorded
    refused: int
    #: Of the round.
    requests: Requests


@dataclass(frozen=True, slots=True)
class CollectAnswers:
    """Wait for what was due in the window; answers :class:`Answers`."""

    end_ns: int
    patience_seconds: float

    async def answer(self, desk: Desk) -> Answers:
        hammer = desk.kept(Hammer)
        await hammer.answered_until(self.end_ns, self.patience_seconds)
        hammer.check()
        recording, hammer.recording = hammer.recording, Recording()
        requests = hammer.refusals.requests(hammer.answered)
        return Answers(recording.result(), hammer.refused, requests)
