"""Each of many ready requests once, over several kept-alive connections at the same time.

They are sent as soon as a connection is free, or when they are due. Then a time counts from when
it was due if no connection was free, so a stall of the server counts; and else from when it was
sent, for the lateness of a timer, which has milliseconds, is this process's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from callboard_bench.api import cut_answer
from callboard_bench.clock import monotonic_ns
from callboard_bench.scheduler.caller import CallRefused
from callboard_bench.websocket import Unexpected


@dataclass(slots=True)
class Volley:
    """Answers in the order of the requests, and when the first was sent and the last answered."""

    answers: list[bytes]
    began_ns: int = 0
    ended_ns: int = 0
    #: Of each request the time that its latency counts from, and when it was answered.
    since_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)


async def fire(
    host: str,
    port: int,
    requests: Sequence[bytes],
    connections: int,
    schedule: Sequence[float] = (),
) -> Volley:
    """Send every request; each connection sends its next one when the last one was answered.

    Args:
        schedule: when each is due, in ascending seconds after the beginning; by default at once.

    Raises:
        CallRefused: one was answered with something else than 200.
        ConnectionError: the server closed a connection.
        OSError: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    count = len(requests)
    volley = Volley([b""] * count, since_ns=[0] * count, answered_ns=[0] * count)
    queue = iter(enumerate(requests))
    members = [
        (await loop.create_connection(lambda: _Member(volley, queue, schedule), host, port))[1]
        for _ in range(min(connections, count))
    ]
    volley.began_ns = monotonic_ns()
    for member in members:
        member.begin()
    try:
        await asyncio.gather(*(member.done for member in members))
    finally:
        for member in members:
            member.close()
    volley.ended_ns = monotonic_ns()
    return volley


class _Member(asyncio.Protocol):
    __slots__ = (
        "_data",
        "_loop",
        "_number",
        "_queue",
        "_schedule",
        "_transport",
        "_volley",
        "done",
    )

    def __init__(
        self, volley: Volley, queue: Iterator[tuple[int, bytes]], schedule: Sequence[float]
    ) -> None:
        self._volley = volley
        self._queue = queue
        self._schedule = schedule
        self._transport: asyncio.Transport
        self._data = b""
        self._number = -1
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()

    def begin(self) -> None:
        """Send the next request, if there is one, when it is due."""
        number, request = next(self._queue, (-1, b""))
        if number < 0:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._number = number
        now = monotonic_ns()
        if self._schedule:
            due = self._volley.began_ns + int(self._schedule[number] * 1e9)
            if due > now:
                self._loop.call_later((due - now) / 1e9, self._send_in_time, request)
                return
            now = due
        self._send(request, now)

    def close(self) -> None:
        """Close the connection."""
        self.done.cancel()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            answer = cut_answer(self._data)
        except Unexpected as error:
            self._fail(error)
            return
        if answer is None:
            return
        status, body, self._data = answer
        if status != 200:
            self._fail(CallRefused(f"a request was answered with {status} {body[:300]!r}"))
            return
        self._volley.answers[self._number] = body
        self._volley.answered_ns[self._number] = monotonic_ns()
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError("the server closed a kept-alive connection"))

    def _send_in_time(self, request: bytes) -> None:
        self._send(request, monotonic_ns())

    def _send(self, request: bytes, since_ns: int) -> None:
        self._volley.since_ns[self._number] = since_ns
        self._transport.write(request)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
