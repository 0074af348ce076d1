"""One publisher, many subscribers of one channel: ``fanout`` and ``saturation``.

Both warm up first and wait until nothing is under way, so that a window's CPU time belongs to
exactly the deliveries counted in it. ``fanout`` then counts one window without the probe, whose
signed requests would cost the server CPU time, and sees loop lag in a second one.
``saturation`` offers more than a server can deliver, so there the probe runs in the window.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.audit import Tally
from callboard_bench.clock import monotonic_ns
from callboard_bench.contenders import Contender, Server
from callboard_bench.figures import Latencies
from callboard_bench.generator import Generator, Question, ask_all, divided
from callboard_bench.keepalive import KeepAlive
from callboard_bench.probe import Probe
from callboard_bench.process import Meter, Use
from callboard_bench.publisher import Publisher
from callboard_bench.rounds import SHARES, Metric, Round, doubts, shares
from callboard_bench.scenarios.under_load import under_load
from callboard_bench.subscribers import Await, Count, Finish, Subscribe, merge

CHANNEL: Final = "bench"

_CONNECT_SECONDS: Final = 60.0
#: With nothing received for this long, what is missing will not come.
_QUIET_SECONDS: Final = 2.0
_ARRIVE_SECONDS: Final = 60.0
_FINISH_SECONDS: Final = 60.0
_WARM_UP_SECONDS: Final = 1.0
#: From this part of the offered load on, a server was not saturated.
_KEPT_UP: Final = 0.9

FANOUT_METRICS: Final = (
    Metric("cpu_us", "server CPU per delivery, µs", 2),
    Metric("cpu_user_us", "  of which user", 2),
    Metric("cpu_system_us", "  of which system", 2),
    Metric("p50_ms", "latency p50, ms", 2),
    Metric("p99_ms", "latency p99, ms", 2),
    Metric("lag_p99_ms", "loop lag seen by the probe, p99, ms", 2),
    Metric("lag_worst_ms", "loop lag seen by the probe, worst, ms", 2),
    Metric("deliveries", "deliveries counted", 0, ratio=False),
    *SHARES,
)
SATURATION_METRICS: Final = (
    Metric("deliveries_per_second", "deliveries per second", 0),
    Metric("publishes_per_second", "publishes accepted per second", 1),
    Metric("cpu_us", "server CPU per delivery, µs", 2),
    Metric("lag_p99_ms", "loop lag seen by the probe, p99, ms", 1),
    Metric("lag_worst_ms", "loop lag seen by the probe, worst, ms", 1),
    Metric("p50_ms", "latency p50, ms", 1),
    Metric("p99_ms", "latency p99, ms", 1),
    Metric("deliveries", "deliveries counted", 0, ratio=False),
    *SHARES,
)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is offered: ``rate`` publishes a second for ``seconds``."""

    subscribers: int
    rate: float
    message_bytes: int
    seconds: float
    generators: int = 1


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of publishing and everything that arrived from it."""

    use: Use
    published: int
    delivered: int
    #: From the first publish to the last delivery.
    seconds: float
    lag: Latencies


class Stage:
    """A running contender with its subscribers connected, ready for windows of publishing."""

    def __init__(self, server: Server, generators: Sequence[Generator], load: Load) -> None:
        self._server = server
        self._address = (server.host, server.port)
        self._generators = generators
        self._load = load
        self._received = 0
        self._connections: list[KeepAlive] = []
        self._publisher: Publisher

    async def open(self) -> None:
        """Subscribe everyone and connect the publisher."""
        path = f"/app/{self._server.app.key}?protocol=7&client=callboard-bench&version=1"
        groups = divided(self._load.subscribers, len(self._generators))
        questions = [Subscribe(*self._address, path, [CHANNEL] * size) for size in groups]
        await ask_all(self._generators, questions, _CONNECT_SECONDS)
        connection = await self._connect()
        self._publisher = Publisher(connection, self._server.app, self._address, CHANNEL)

    def close(self) -> None:
        """Close the connections of this process."""
        for connection in self._connections:
            connection.close()

    async def window(self, seconds: float, *, probed: bool, counted: bool) -> Window:
        """Publish for a while, wait until it has arrived, and return what it cost."""
        count = max(1, round(self._load.rate * seconds))
        first = self._publisher.published
        counted_range = Count(first, first + count - 1) if counted else Count(0, -1)
        await self._ask(counted_range, _FINISH_SECONDS)
        probe = Probe(await self._connect(), self._server.app, self._address) if probed else None
        meter = Meter([self._server.pid], [generator.pid for generator in self._generators])
        meter.begin()
        start = monotonic_ns()
        async with asyncio.TaskGroup() as tasks:
            if probe is not None:
                tasks.create_task(probe.run())
            await self._publisher.publish(count, self._load.rate, self._load.message_bytes)
            last_ns, before = start, self._received
            last_ns = max(last_ns, await self._arrive())
            lag = probe.stop() if probe is not None else Latencies()
        return Window(
            use=meter.end(),
            published=self._publisher.published - first,
            delivered=self._received - before,
            seconds=(last_ns - start) / 1e9,
            lag=lag,
        )

    async def audit(self) -> tuple[Tally, Latencies]:
        """Return what went wrong in all windows together, and the latencies counted."""
        answers = await self._ask(Finish(self._publisher.published), _FINISH_SECONDS)
        return merge(answers)

    async def _arrive(self) -> int:
        published = self._publisher.published
        groups = divided(self._load.subscribers, len(self._generators))
        questions = [Await(size * published, _QUIET_SECONDS, _ARRIVE_SECONDS) for size in groups]
        answers = await ask_all(self._generators, questions, _ARRIVE_SECONDS + _QUIET_SECONDS + 5)
        self._received = sum(received for received, _ in answers)
        last: int = max(last_ns for _, last_ns in answers)
        return last

    async def _ask(self, question: Question, timeout_seconds: float) -> list[Any]:
        return await ask_all(self._generators, [question] * len(self._generators), timeout_seconds)

    async def _connect(self) -> KeepAlive:
        connection = await KeepAlive.open(*self._address)
        self._connections.append(connection)
        return connection


async def fanout(contender: Contender, load: Load) -> Round:
    """Run one round at a rate every contender can keep up with."""
    async with _stage(contender, load) as stage:
        await stage.window(min(_WARM_UP_SECONDS, load.seconds), probed=False, counted=False)
        counted = await stage.window(load.seconds, probed=False, counted=True)
        probed = await stage.window(load.seconds / 2, probed=True, counted=False)
        tally, latencies = await stage.audit()
    values = _values(counted, latencies, probed.lag)
    return Round(values, tally.faults(), doubts(counted.use), tally.audited())


async def saturation(contender: Contender, load: Load) -> Round:
    """Run one round at a rate meant to be too much."""
    async with _stage(contender, load) as stage:
        await stage.window(min(_WARM_UP_SECONDS, load.seconds), probed=False, counted=False)
        counted = await stage.window(load.seconds, probed=True, counted=True)
        tally, latencies = await stage.audit()
    values = _values(counted, latencies, counted.lag)
    values["deliveries_per_second"] = counted.delivered / counted.seconds
    values["publishes_per_second"] = counted.published / load.seconds
    warnings = doubts(counted.use)
    offered = load.subscribers * load.rate
    if values["deliveries_per_second"] > _KEPT_UP * offered:
        warnings.append(f"it kept up with the {offered:,.0f} deliveries/s offered: raise --rate")
    return Round(values, tally.faults(), warnings, tally.audited())


@asynccontextmanager
async def _stage(contender: Contender, load: Load) -> AsyncIterator[Stage]:
    async with under_load(contender, load.generators) as (server, generators):
        stage = Stage(server, generators, load)
        try:
            await stage.open()
            yield stage
        finally:
            stage.close()


def _values(counted: Window, latencies: Latencies, lag: Latencies) -> dict[str, float]:
    per_delivery = 1e6 / max(1, counted.delivered)
    cpu = counted.use.server
    return {
        "cpu_us": cpu.total * per_delivery,
        "cpu_user_us": cpu.user * per_delivery,
        "cpu_system_us": cpu.system * per_delivery,
        "p50_ms": latencies.percentile(50) / 1000,
        "p99_ms": latencies.percentile(99) / 1000,
        "lag_p99_ms": lag.percentile(99) / 1000,
        "lag_worst_ms": lag.percentile(100) / 1000,
        "deliveries": counted.delivered,
        **shares(counted.use),
    }
