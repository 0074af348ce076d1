"""Each of many ready requests once, over several kept-alive connections at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


async def fire(host: str, port: int, requests: Sequence[bytes], connections: int) -> Volley:
    """Send every request; each connection sends its next one when the last one was answered.

    Raises:
        CallRefused: one was answered with something else than 200.
        ConnectionError: the server closed a connection.
        OSError: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    volley = Volley([b""] * len(requests))
    queue = iter(enumerate(requests))
    members = [
        (await loop.create_connection(lambda: _Member(volley, queue), host, port))[1]
        for _ in range(min(connections, len(requests)))
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
    __slots__ = ("_data", "_number", "_queue", "_transport", "_volley", "done")

    def __init__(self, volley: Volley, queue: Iterator[tuple[int, bytes]]) -> None:
        self._volley = volley
        self._queue = queue
        self._transport: asyncio.Transport
        self._data = b""
        self._number = -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        """Send the next request, if there is one."""
        number, request = next(self._queue, (-1, b""))
        if number < 0:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._number = number
        self._transport.write(request)

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
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError("the server closed a kept-alive connection"))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
