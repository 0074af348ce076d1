"""Connections: how fast they come in, and what they cost while they do nothing.

A first hundred connect before anything is counted, so that what a server loads once is not put
down to the connections. Memory is the resident set of the server's processes, read once it stands
still: kernel socket buffers are not part of it. A process that has had as many connections before
keeps their memory for the next, so of a server that runs on, it is the first round that tells.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from callboard_bench.clients.connector import Arrivals, Come, Leave, Lost
from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS, Wire
from callboard_bench.clients.pace import Turn
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import (
    Generator,
    Question,
    ask_all,
    counted,
    divided,
    letting_in,
    p99_ms,
)
from callboard_bench.process import Meter, Use, rss_if_alive, with_children
from callboard_bench.recording import STEP_SECONDS, Recorded
from callboard_bench.rounds import SHARES, Metric, Round, Timeline, Watch, doubts, shares
from callboard_bench.sampler import Sampler
from callboard_bench.scenario import Floor, Scenario, count, generators, often, rate, switch
from callboard_bench.scenarios.delivery import http_path, over, transport
from callboard_bench.scenarios.parts import loaders, run_name
from callboard_bench.targets.target import Target

CONNECTIONS: Final = "connections_per_second"

_FIRST: Final = 100
_CONNECT_SECONDS: Final = 300.0
_ANSWER_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.25
_SETTLE_SECONDS: Final = 0.5
_SETTLE_TIMES: Final = 10
_MOST_HOLD_SECONDS: Final = 3600

_USED: Final = (
    "memory per connection is that of the first round, for a server that runs on has room for "
    "them from then on: let --server start it for each round"
)

METRICS: Final = (
    Metric(CONNECTIONS, "connections per second", 0, better="higher"),
    Metric("p50_ms", "connect to subscribed p50, ms", 2, better="lower"),
    Metric("p99_ms", "connect to subscribed p99, ms", 2, better="lower"),
    Metric("cpu_us", "server CPU per connection, µs", 1, better="lower"),
    Metric("cpu_user_us", "  of which user", 1, better="lower"),
    Metric("cpu_system_us", "  of which system", 1, better="lower"),
    Metric("bytes_per_connection", "server memory per idle connection, bytes", 0, better="lower"),
    Metric("bytes_per_connection_held", "  after --hold", 0, better="lower"),
    Metric("rss_before_mib", "server RSS before, MiB", 1, ratio=False),
    Metric("rss_after_mib", "server RSS with all of them, MiB", 1, ratio=False),
    Metric("rss_left_mib", "server RSS once they have left, MiB", 1, ratio=False),
    Metric("connections", "connections counted", 0, ratio=False),
    *SHARES[:2],
)


@dataclass(frozen=True, slots=True)
class Load:
    """``connections`` come, ``rate`` a second, and stay for ``hold`` seconds."""

    connections: int = 9000
    rate: float = math.inf
    shared_channel: bool = False
    no_subscribe: bool = False
    hold: float = 0.0
    transport: str = TRANSPORTS[0]
    http_path: str = HTTP_PATH
    generators: int = 1

    def __post_init__(self) -> None:
        if self.shared_channel and self.no_subscribe:
            raise ValueError("--shared-channel and --no-subscribe contradict each other")

    def setting(self) -> str:
        pace = f"{often(self.rate)} a second"
        if math.isinf(self.rate):
            pace = "as fast as they are let in (closed loop)"
        channels = "a public channel each"
        if self.shared_channel:
            channels = "one public channel for all"
        elif self.no_subscribe:
            channels = "no channel"
        held = f", held for {self.hold:g} s" if self.hold else ""
        return f"{self.connections:,} connections{over(self.transport)}, {channels}, {pace}{held}"

    def open_files(self) -> int:
        return self.connections

    def channels(self) -> list[str]:
        """Return the channel of each connection; empty where it subscribes to none."""
        if self.no_subscribe:
            return [""] * self.connections
        name = run_name()
        if self.shared_channel:
            return [name] * self.connections
        return [f"{name}-{number}" for number in range(self.connections)]


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    async with loaders(min(load.generators, load.connections)) as processes:
        return await _Connecting(target, load, watch, processes).measured()


class _Connecting:
    """One round."""

    def __init__(
        self, target: Target, load: Load, watch: Watch, processes: Sequence[Generator]
    ) -> None:
        self._target = target
        self._load = load
        self._watch = watch
        self._processes = processes

    async def measured(self) -> Round:
        """Let all connect, stay and leave."""
        load, watch = self._load, self._watch
        channels = load.channels()
        first = min(_FIRST, load.connections // 10)
        watch.phase("connecting the first", first)
        await self._come(channels[:first], math.inf)
        before = await self._settled_rss()
        watch.phase("connecting", load.connections)
        meter = Meter(self._target.pids, [process.pid for process in self._processes])
        sampler = Sampler(self._target.pids, watch.sample)
        try:
            arrivals = await self._come(channels[first:], load.rate)
        finally:
            series = sampler.stop()
        use = meter.end()
        watch.phase("idle")
        after = held = await self._settled_rss()
        if load.hold:
            await asyncio.sleep(load.hold)
            held = await self._settled_rss()
        lost = [reason for part in await self._ask(Lost()) for reason in part]
        watch.phase("leaving")
        await self._ask(Leave())
        left = await self._settled_rss()
        counted_ones = load.connections - first
        memory = {
            "bytes_per_connection": self._memory(after - before) / counted_ones,
            "rss_before_mib": before / 2**20,
            "rss_after_mib": after / 2**20,
            "rss_left_mib": left / 2**20,
        }
        if load.hold:
            memory["bytes_per_connection_held"] = self._memory(held - before) / counted_ones
        unsaid = [_USED] if self._target.used and self._target.pids else []
        recorded = arrivals.recorded
        timeline = {CONNECTIONS: recorded.per_second(), "p99_ms": recorded.p99_ms(), **series}
        return Round(
            {**_values(arrivals, use, counted_ones, load.rate), **memory},
            _fault(lost),
            [*doubts(use), *unsaid],
            curves={"connect to subscribed": recorded.latencies},
            timeline=Timeline(STEP_SECONDS, timeline),
        )

    def _memory(self, grown: float) -> float:
        """Return by how much the connections have made the server grow, NaN where none can say."""
        return math.nan if self._target.used else grown

    async def _come(self, channels: Sequence[str], rate: float) -> Arrivals:
        questions, before = [], 0
        of = len(self._processes)
        for place, size in enumerate(divided(len(channels), of)):
            wire = Wire.to(self._target, self._load.transport, self._load.http_path, before)
            share = channels[before : before + size]
            questions.append(Come(wire, share, rate / of, Turn(place, of)))
            before += size
        arrivals = Arrivals(Recorded(), 0, 0)
        asking = asyncio.ensure_future(ask_all(self._processes, questions, self._longest(rate)))
        connected, then = counted(self._processes).connected, monotonic_ns()
        try:
            while not asking.done():
                await asyncio.wait({asking}, timeout=_LOOK_SECONDS)
                came, now = counted(self._processes).connected, monotonic_ns()
                self._watch.count(came)
                self._watch.sample(CONNECTIONS, (came - connected) / ((now - then) / 1e9))
                self._watch.sample("p99_ms", p99_ms(self._processes))
                connected, then = came, now
        finally:
            asking.cancel()
        with letting_in(self._processes):
            for part in await asking:
                arrivals.merge(part)
        return arrivals

    def _longest(self, rate: float) -> float:
        return _CONNECT_SECONDS + (0 if math.isinf(rate) else self._load.connections / rate)

    async def _ask(self, question: Question) -> list[Any]:
        return await ask_all(self._processes, [question] * len(self._processes), _ANSWER_SECONDS)

    async def _settled_rss(self) -> float:
        """Return the resident set in bytes, once it has stood still for a moment.

        NaN where nothing is known of the server's processes, or none of them is left.
        """
        last = self._rss()
        for _ in range(_SETTLE_TIMES):
            if math.isnan(last):
                break
            await asyncio.sleep(_SETTLE_SECONDS)
            before, last = last, self._rss()
            if last == before:
                break
        return last

    def _rss(self) -> float:
        pids = with_children(self._target.pids)
        resident = [rss for pid in pids if (rss := rss_if_alive(pid)) is not None]
        return float(sum(resident)) if resident else math.nan


def _values(arrivals: Arrivals, use: Use, number: int, rate: float) -> dict[str, float]:
    latencies = arrivals.recorded.latencies
    # What was due at last is not early because nothing was due behind it.
    took = max((arrivals.last_ns - arrivals.first_ns) / 1e9, number / rate, 1e-9)
    return {
        CONNECTIONS: number / took,
        "p50_ms": latencies.percentile(50) / 1000,
        "p99_ms": latencies.percentile(99) / 1000,
        "cpu_us": use.server.total * 1e6 / number,
        "cpu_user_us": use.server.user * 1e6 / number,
        "cpu_system_us": use.server.system * 1e6 / number,
        "connections": float(number),
        **shares(use),
    }


def _fault(lost: Sequence[str]) -> str | None:
    if not lost:
        return None
    ((reason, _),) = Counter(lost).most_common(1)
    return f"{len(lost):,} connections ended that were to stay: {reason}"


def _hold() -> click.Option:
    return click.Option(
        ["--hold"],
        type=click.FloatRange(min=0, max=_MOST_HOLD_SECONDS),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="Read memory again after so long.",
    )


SCENARIO: Final = Scenario(
    name="connect",
    about="""
    Clients connect, subscribe to a channel of their own, stay, and leave. A client's time runs
    from when it was due to its subscription_succeeded.

    The floor parses no HTTP; --compare websockets is a bare server of that library.

    Memory is that of the server's processes, once it stands still; it needs to be local. Of a
    server that runs already the first round tells it, and too little if it was busy before.
    """,
    load=Load,
    options=(
        count("--connections", 9000, "Connections.", least=2),
        rate("--rate", "max", "Connections a second.", unbounded=True),
        switch("--shared-channel", "Subscribe all to one channel."),
        switch("--no-subscribe", "Subscribe to nothing."),
        _hold(),
        transport(),
        http_path(),
        generators(),
    ),
    metrics=lambda load: [
        metric for metric in METRICS if load.hold or metric.key != "bytes_per_connection_held"
    ],
    run=run,
    floors=(
        Floor(("-m", "callboard_bench.floor", "connect")),
        Floor(("-m", "callboard_bench.websockets_floor"), "websockets"),
    ),
    p99="p99_ms",
)
