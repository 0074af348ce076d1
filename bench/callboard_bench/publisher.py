"""Publishes on a schedule that does not wait for the server (open loop).

A message that could not leave in time, because the answer to the one before was outstanding,
carries the time at which it should have left: a stall shows as latency instead of hiding in a
publisher that waited. A message that left a moment late for the publisher's own timer carries
the real time.
"""

from __future__ import annotations

import asyncio

from callboard_bench.api import App, trigger
from callboard_bench.clock import monotonic_ns
from callboard_bench.errors import BenchError
from callboard_bench.keepalive import KeepAlive
from callboard_bench.stamps import stamped_data


class PublishRefused(BenchError):
    """The server answered a publish with something else than 200."""


class Publisher:
    """One kept-alive connection that publishes numbered messages on one channel."""

    def __init__(self, connection: KeepAlive, app: App, address: tuple[str, int], channel: str):
        self._connection = connection
        self._app = app
        self._address = address
        self._channel = channel
        self.published = 0

    async def publish(self, count: int, rate: float, message_bytes: int) -> None:
        """Publish at most ``count`` messages, ``rate`` a second, and stop when the time is up.

        Fewer are sent only if the server could not keep up.

        Raises:
            PublishRefused: naming status and body.
            ConnectionError: the server closed the connection.
        """
        start = monotonic_ns()
        end = start + int(count * 1e9 / rate)
        for number in range(count):
            due = start + int(number * 1e9 / rate)
            now = monotonic_ns()
            if now > end:
                return
            behind = number > 0 and now > due
            if now < due:
                await asyncio.sleep((due - now) / 1e9)
            await self._one(due if behind else monotonic_ns(), message_bytes)

    async def _one(self, sent_ns: int, message_bytes: int) -> None:
        data = stamped_data(self.published, sent_ns, self._channel, message_bytes)
        self.published += 1
        request = trigger(self._app, *self._address, self._channel, data)
        status, body = await self._connection.request(request)
        if status != 200:
            raise PublishRefused(f"a publish was answered with {status} {body[:200]!r}")
