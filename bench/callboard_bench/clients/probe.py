"""How long a server's loop leaves others waiting, seen from a connection at its side.

A signed request for a channel's state every few milliseconds, on a kept-alive connection that
carries nothing else: it waits exactly as long as the loop is busy with something else. Requests
that were due while one was outstanding count with the time they would have waited.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from callboard_bench.api import App, channel_query
from callboard_bench.clock import monotonic_ns
from callboard_bench.figures import Latencies
from callboard_bench.generator import Desk
from callboard_bench.keepalive import KeepAlive
from callboard_bench.targets.target import Address

INTERVAL_MS: Final = 5

_INTERVAL_NS: Final = INTERVAL_MS * 1_000_000


class Probe:
    """Asks until it is stopped."""

    def __init__(self, connection: KeepAlive, request: bytes) -> None:
        self._connection = connection
        self._request = request
        self._stopping = False
        self._microseconds: list[int] = []

    async def run(self) -> None:
        """Probe until :meth:`stop`.

        Raises:
            ConnectionError: the server closed the connection.
        """
        due = monotonic_ns()
        while not self._stopping:
            sent = monotonic_ns()
            await self._connection.request(self._request)
            now = monotonic_ns()
            self._microseconds.append((now - sent) // 1000)
            due = sent + _INTERVAL_NS
            while due < now:
                self._microseconds.append((now - due) // 1000)
                due += _INTERVAL_NS
            await asyncio.sleep((due - now) / 1e9)
        self._connection.close()

    def stop(self) -> Latencies:
        """Stop after the request under way and return the waits seen so far."""
        self._stopping = True
        return Latencies(self._microseconds)


@dataclass(frozen=True, slots=True)
class StartProbe:
    """Begin to probe; answers None."""

    app: App
    address: Address

    async def answer(self, desk: Desk) -> None:
        connection = await KeepAlive.to(self.address)
        request = channel_query(self.app, self.address.host, self.address.port, "probe")
        probe = Probe(connection, request)
        desk.keep(probe)
        desk.start(probe.run())


@dataclass(frozen=True, slots=True)
class StopProbe:
    """Stop probing; answers the :class:`~callboard_bench.figures.Latencies` seen."""

    async def answer(self, desk: Desk) -> Latencies:
        return desk.kept(Probe).stop()
