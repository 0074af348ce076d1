"""What an idle connection costs in memory: growth of the server's resident set.

A first batch connects before the baseline is read, so that what a server loads once is not
counted on the connections.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from callboard_bench.contenders import Contender, Server
from callboard_bench.generator import Generator
from callboard_bench.process import rss_of
from callboard_bench.rounds import Metric, Round
from callboard_bench.scenarios.under_load import under_load
from callboard_bench.subscribers import Subscribe

_CONNECT_SECONDS: Final = 120.0
_FIRST: Final = 100
_SETTLE_SECONDS: Final = 0.5
_SETTLE_TIMES: Final = 10

METRICS: Final = (
    Metric("bytes_per_connection", "server memory per connection, bytes", 0),
    Metric("rss_before_mib", "server RSS before, MiB", 1, ratio=False),
    Metric("rss_after_mib", "server RSS after, MiB", 1, ratio=False),
    Metric("connections", "connections counted", 0, ratio=False),
)


@dataclass(frozen=True, slots=True)
class Load:
    """``connections`` subscribe to one public channel each: all to one, or each to its own."""

    connections: int
    shared_channel: bool


async def run(contender: Contender, load: Load) -> Round:
    """Run one round."""
    async with under_load(contender) as (server, (generator,)):
        return await _measure(server, generator, load)


async def _measure(server: Server, generator: Generator, load: Load) -> Round:
    channels = [
        "bench-idle" if load.shared_channel else f"bench-idle-{number}"
        for number in range(load.connections)
    ]
    first = min(_FIRST, load.connections // 10)
    path = f"/app/{server.app.key}?protocol=7&client=callboard-bench&version=1"
    for part in (channels[:first], channels[first:]):
        before = await _settled(server)
        question = Subscribe(server.host, server.port, path, part)
        await generator.ask(question, _CONNECT_SECONDS)
    after = await _settled(server)
    counted = load.connections - first
    values = {
        "bytes_per_connection": (after - before) / counted,
        "rss_before_mib": before / 2**20,
        "rss_after_mib": after / 2**20,
        "connections": float(counted),
    }
    return Round(values)


async def _settled(server: Server) -> int:
    """Return the resident set once it has stood still for a moment."""
    last = rss_of(server.pid)
    for _ in range(_SETTLE_TIMES):
        await asyncio.sleep(_SETTLE_SECONDS)
        now = rss_of(server.pid)
        if now == last:
            break
        last = now
    return last
