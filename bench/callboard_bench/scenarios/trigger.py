"""Signed triggers on a channel without subscribers, as fast as the server answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from callboard_bench.api import trigger
from callboard_bench.contenders import Contender, Server
from callboard_bench.generator import Generator
from callboard_bench.hammer import Answered, Trigger
from callboard_bench.process import Meter
from callboard_bench.rounds import SHARES, Metric, Round, doubts, shares
from callboard_bench.scenarios.under_load import under_load
from callboard_bench.stamps import stamped_data

_CHANNEL: Final = "bench-nobody"
_ANSWER_SECONDS: Final = 10.0
_WARM_UP_SECONDS: Final = 0.5
#: Below this the connections, not the server, were what everybody waited for.
_SATURATED_SHARE: Final = 0.9

METRICS: Final = (
    Metric("requests_per_second", "requests per second", 0),
    Metric("cpu_us", "server CPU per request, µs", 1),
    Metric("cpu_user_us", "  of which user", 1),
    Metric("cpu_system_us", "  of which system", 1),
    Metric("requests_per_core_second", "requests per second of server CPU", 0),
    Metric("requests", "requests counted", 0, ratio=False),
    *SHARES,
)


@dataclass(frozen=True, slots=True)
class Load:
    """``connections`` send in turn from ``distinct`` pre-signed requests."""

    connections: int
    distinct: int
    message_bytes: int
    seconds: float


async def run(contender: Contender, load: Load) -> Round:
    """Run one round."""
    async with under_load(contender) as (server, (generator,)):
        return await _measure(server, generator, load)


async def _measure(server: Server, generator: Generator, load: Load) -> Round:
    requests = [_request(server, number, load.message_bytes) for number in range(load.distinct)]
    question = Trigger(server.host, server.port, requests, load.connections)
    await generator.ask(question, _ANSWER_SECONDS)
    await asyncio.sleep(min(_WARM_UP_SECONDS, load.seconds))
    before, then = await generator.ask(Answered(), _ANSWER_SECONDS)
    meter = Meter([server.pid], [generator.pid])
    meter.begin()
    await asyncio.sleep(load.seconds)
    after, now = await generator.ask(Answered(), _ANSWER_SECONDS)
    use = meter.end()
    answered = after - before
    cpu = use.server
    per_request = 1e6 / max(1, answered)
    warnings = doubts(use)
    if use.server_share < _SATURATED_SHARE:
        warnings.append(f"the server was busy for {use.server_share:.0%} of the time only")
    values = {
        "requests_per_second": answered / ((now - then) / 1e9),
        "cpu_us": cpu.total * per_request,
        "cpu_user_us": cpu.user * per_request,
        "cpu_system_us": cpu.system * per_request,
        "requests_per_core_second": answered / cpu.total if cpu.total else float("nan"),
        "requests": float(answered),
        **shares(use),
    }
    return Round(values, None if answered else "no trigger was answered", warnings)


def _request(server: Server, number: int, message_bytes: int) -> bytes:
    data = stamped_data(number, 0, _CHANNEL, message_bytes)
    return trigger(server.app, server.host, server.port, _CHANNEL, data)
