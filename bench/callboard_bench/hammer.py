"""Signed triggers as fast as the server answers them, over several kept-alive connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import cast

from callboard_bench.api import cut_answer
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import Desk, GeneratorFailed
from callboard_bench.websocket import Unexpected


class Hammer:
    """Closed-loop connections: each sends its next request when the last one was answered."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes]) -> None:
        self._address = (host, port)
        self._requests = cycle(requests)
        self.answered = 0
        self.failure: str | None = None
        #: The last good answer that came whole in one read: an equal one needs no parsing.
        self.good = b""

    async def start(self, connections: int) -> None:
        """Open the connections; each begins at once.

        Raises:
            OSError: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(self, self._requests), *self._address)


class _Connection(asyncio.Protocol):
    __slots__ = ("_data", "_hammer", "_requests", "_transport")

    def __init__(self, hammer: Hammer, requests: Iterator[bytes]) -> None:
        self._hammer = hammer
        self._requests = requests
        self._transport: asyncio.Transport
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if not self._data and data == self._hammer.good:
            self._hammer.answered += 1
            self._transport.write(next(self._requests))
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
        if status != 200 or rest:
            self._fail(f"a trigger was answered with {status} {body[:200]!r}")
            return
        self._hammer.good, self._data = self._data, b""
        self._hammer.answered += 1
        self._transport.write(next(self._requests))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed a kept-alive connection")

    def _fail(self, reason: str) -> None:
        if self._hammer.failure is None:
            self._hammer.failure = reason
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Trigger:
    """Begin to send requests over so many connections; answers None."""

    host: str
    port: int
    requests: Sequence[bytes]
    connections: int

    async def answer(self, desk: Desk) -> None:
        hammer = Hammer(self.host, self.port, self.requests)
        desk.keep(hammer)
        await hammer.start(self.connections)


@dataclass(frozen=True, slots=True)
class Answered:
    """How many requests were answered so far; answers (answered, time in ns)."""

    async def answer(self, desk: Desk) -> tuple[int, int]:
        hammer = desk.kept(Hammer)
        if hammer.failure is not None:
            raise GeneratorFailed(hammer.failure)
        return hammer.answered, monotonic_ns()
