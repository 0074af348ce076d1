"""What the scenarios have in common that publish to subscribers: windows, audit and figures.

A *window* begins with nothing under way and ends when everything has arrived, so that its CPU
time belongs to exactly the deliveries counted in it. The warm-up is such a window that does not
count. Publisher and probe run in one process, subscribers in others, and all of them on one
machine, wherever the server is: latency needs one clock only.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.audit import Tally
from callboard_bench.clients.link import Wire
from callboard_bench.clients.probe import StartProbe, StopProbe
from callboard_bench.clients.publisher import OpenPublisher, Publish, Published
from callboard_bench.clients.refusals import some_accepted
from callboard_bench.clients.subscribers import Await, Collect, Finish, Record, Subscribe
from callboard_bench.clock import monotonic_ns
from callboard_bench.figures import Latencies
from callboard_bench.generator import (
    Generator,
    Question,
    ask_all,
    counted,
    divided,
    letting_in,
    p99_ms,
)
from callboard_bench.process import Meter, Use
from callboard_bench.recording import STEP_SECONDS, Recorded
from callboard_bench.rounds import (
    SHARES,
    Metric,
    Requests,
    Round,
    Timeline,
    Watch,
    doubts,
    shares,
    unsaturated,
)
from callboard_bench.sampler import Sampler
from callboard_bench.scenarios.parts import DELIVERIES, loaders
from callboard_bench.targets.target import Target

_CONNECT_SECONDS: Final = 120.0
#: With nothing received for this long, what is missing will not come.
_QUIET_SECONDS: Final = 2.0
_ARRIVE_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 60.0
#: How long after the counted window the publisher goes on with what was due in it. In the warm-up
#: that would be time lost.
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.25
#: Below this share of what was offered, a server has set the pace itself. Of a hundredth that
#: never left, the 99th percentile would show nothing.
_TAKEN_SHARE: Final = 0.999

METRICS: Final = (
    Metric("deliveries_per_second", "deliveries per second", 0, better="higher"),
    Metric("publishes_per_second", "messages accepted per second", 1, better="higher"),
    Metric("cpu_us", "server CPU per delivery, µs", 2, better="lower"),
    Metric("cpu_user_us", "  of which user", 2, better="lower"),
    Metric("cpu_system_us", "  of which system", 2, better="lower"),
    Metric("p50_ms", "latency p50, ms", 2, better="lower"),
    Metric("p99_ms", "latency p99, ms", 2, better="lower"),
    Metric("p999_ms", "latency p99.9, ms", 2, better="lower"),
    Metric("lag_p99_ms", "loop lag seen by the probe, p99, ms", 2, better="lower"),
    Metric("lag_worst_ms", "loop lag seen by the probe, worst, ms", 2, better="lower"),
    Metric("deliveries", "deliveries counted", 0, ratio=False),
    *SHARES,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published to whom."""

    channels: Sequence[str]
    #: Subscribers of each channel.
    subscribers: int
    #: Messages a second over all channels, or ``math.inf``.
    rate: float
    message_bytes: int
    #: Messages of a request.
    batch: int
    #: Connections that publish.
    publishers: int
    seconds: float
    warm_up: float
    #: Whether the probe runs in the counted window, and not in one of its own.
    probe: bool
    transport: str
    http_path: str
    generators: int


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of publishing and everything that arrived from it."""

    use: Use
    published: Published
    delivered: int
    #: From the first publish to the last delivery, or to the end of the schedule if that is later.
    seconds: float
    lag: Latencies
    recorded: Recorded
    series: dict[str, list[float]]


async def published(target: Target, plan: Plan, watch: Watch) -> Round:
    """Run one round.

    Raises:
        GeneratorFailed: the server refused a client or a message; the text has its words.
    """
    async with _stage(target, plan, watch) as stage:
        if plan.warm_up:
            await stage.window("warming up", plan.warm_up, probed=False)
        window = await stage.window("measuring", plan.seconds, _PATIENCE_SECONDS, probed=plan.probe)
        some_accepted(window.published.requests)
        lag = window.lag
        if not plan.probe:
            lag = (await stage.window("probing", plan.seconds / 2, probed=True)).lag
        tally, requests = await stage.audit(), stage.requests
    return Round(
        _values(window, lag),
        tally.faults(),
        [*doubts(window.use), *_pace(window, plan)],
        tally.audited(),
        requests,
        {"latency": window.recorded.latencies, "loop lag": lag},
        Timeline(
            STEP_SECONDS,
            {
                DELIVERIES: window.recorded.per_second(),
                "p99_ms": window.recorded.p99_ms(),
                **window.series,
            },
        ),
    )


class Stage:
    """A target with its subscribers connected, ready for windows of publishing."""

    def __init__(
        self,
        target: Target,
        plan: Plan,
        watch: Watch,
        generators: Sequence[Generator],
        publisher: Generator,
    ) -> None:
        self._target = target
        self._plan = plan
        self._watch = watch
        self._generators = generators
        self._publisher = publisher
        self._received = 0
        self._published: Published | None = None

    async def open(self) -> None:
        """Subscribe everyone and connect the publisher."""
        plan, target = self._plan, self._target
        everyone = [channel for channel in plan.channels for _ in range(plan.subscribers)]
        self._watch.phase("connecting", len(everyone))
        streams = math.ceil(plan.publishers / len(plan.channels))
        questions, before = [], 0
        for size in divided(len(everyone), len(self._generators)):
            wire = Wire.to(target, plan.transport, plan.http_path, before)
            questions.append(Subscribe(wire, everyone[before : before + size], streams))
            before += size
        async with self._looked_at():
            with letting_in(self._generators):
                await ask_all(self._generators, questions, _CONNECT_SECONDS)
        order = OpenPublisher(
            target.app, target.api, plan.channels, plan.publishers, plan.message_bytes, plan.batch
        )
        await self._publisher.ask(order, _ANSWER_SECONDS)

    async def window(
        self, phase: str, seconds: float, patience_seconds: float = 0.0, *, probed: bool
    ) -> Window:
        """Publish for a while, wait until it has arrived, and return what it cost."""
        self._watch.phase(phase)
        pids = [generator.pid for generator in self._generators]
        await self._ask(Record(monotonic_ns()), _ANSWER_SECONDS)
        if probed:
            target = self._target
            await self._publisher.ask(StartProbe(target.app, target.api), _ANSWER_SECONDS)
        meter = Meter(self._target.pids, pids, self._publisher.pid)
        sampler = Sampler(self._target.pids, self._watch.sample)
        try:
            async with self._looked_at():
                question = Publish(self._plan.rate, seconds, patience_seconds)
                timeout_seconds = seconds + patience_seconds + _ANSWER_SECONDS
                start_ns = monotonic_ns()
                published = await self._publisher.ask(question, timeout_seconds)
                received, last_ns = await self._arrived(published)
        finally:
            series = sampler.stop()
        use = meter.end()
        lag = await self._publisher.ask(StopProbe(), _ANSWER_SECONDS) if probed else Latencies()
        recorded = Recorded()
        for part in await self._ask(Collect(), _ANSWER_SECONDS):
            recorded.merge(part)
        delivered, self._received, self._published = received - self._received, received, published
        took = max((last_ns - start_ns) / 1e9, seconds)
        return Window(use, published, delivered, took, lag, recorded, series)

    @property
    def requests(self) -> Requests:
        """What became of the publishes of all windows together."""
        assert self._published is not None
        return self._published.requests

    async def audit(self) -> Tally:
        """Return what went wrong in all windows together."""
        assert self._published is not None
        tally = Tally()
        for part in await self._ask(Finish(self._published.counts), _ANSWER_SECONDS):
            tally.merge(part)
        return tally

    async def _arrived(self, published: Published) -> tuple[int, int]:
        question = Await(published.counts, _QUIET_SECONDS, _ARRIVE_SECONDS)
        answers = await self._ask(question, _ARRIVE_SECONDS + _QUIET_SECONDS + 5)
        return sum(received for received, _ in answers), max(last_ns for _, last_ns in answers)

    async def _ask(self, question: Question, timeout_seconds: float) -> list[Any]:
        return await ask_all(self._generators, [question] * len(self._generators), timeout_seconds)

    @asynccontextmanager
    async def _looked_at(self) -> AsyncIterator[None]:
        looking = asyncio.ensure_future(self._look())
        try:
            yield
        finally:
            looking.cancel()

    async def _look(self) -> None:
        before, then = counted(self._generators), monotonic_ns()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            counts, now = counted(self._generators), monotonic_ns()
            self._watch.count(counts.connected)
            if counts.received:
                heard = counts.received - before.received
                self._watch.sample(DELIVERIES, heard / ((now - then) / 1e9))
                self._watch.sample("p99_ms", p99_ms(self._generators))
            before, then = counts, now


@asynccontextmanager
async def _stage(target: Target, plan: Plan, watch: Watch) -> AsyncIterator[Stage]:
    async with loaders(plan.generators + 1) as (publisher, *generators):
        stage = Stage(target, plan, watch, generators, publisher)
        await stage.open()
        yield stage


def _values(window: Window, lag: Latencies) -> dict[str, float]:
    per_delivery = 1e6 / window.delivered if window.delivered else math.nan
    cpu = window.use.server
    latencies = window.recorded.latencies
    return {
        "deliveries_per_second": window.delivered / window.seconds,
        "publishes_per_second": window.published.sent / window.published.seconds,
        "cpu_us": cpu.total * per_delivery,
        "cpu_user_us": cpu.user * per_delivery,
        "cpu_system_us": cpu.system * per_delivery,
        "p50_ms": latencies.percentile(50) / 1000,
        "p99_ms": latencies.percentile(99) / 1000,
        "p999_ms": latencies.percentile(99.9) / 1000,
        "lag_p99_ms": lag.percentile(99) / 1000,
        "lag_worst_ms": lag.percentile(100) / 1000,
        "deliveries": window.delivered,
        **shares(window.use),
    }


def _pace(window: Window, plan: Plan) -> list[str]:
    """Return why the pace was not the one that was asked for."""
    found, offered = window.published, window.published.offered
    answered = found.sent + found.refused
    in_time, missing = answered - found.late, offered - answered
    if in_time < _TAKEN_SHARE * offered:
        never = f", and {missing:,} never, which have no latency" if missing else ""
        taken = f"{in_time:,} of {offered:,} messages in their time{never}"
        return [f"the server took {taken}: lower --rate, or add --publishers"]
    return unsaturated(window.use, "add --publishers") if math.isinf(plan.rate) else []
