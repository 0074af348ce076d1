"""Clients that change channels all the time, and whether the server still knows who is where."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from callboard_bench.audit import Tally
from callboard_bench.clients.churn import SUBSCRIBE, ChurnSpec, HeardOf, Held
from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS, Wire
from callboard_bench.clients.part import Spec
from callboard_bench.generator import Generator, ask_all, divided
from callboard_bench.process import rss_if_alive
from callboard_bench.recording import Recorded
from callboard_bench.rounds import SHARES, Metric, Round, Watch
from callboard_bench.sampler import RSS
from callboard_bench.scenario import Scenario, count, generators, often, rate, window
from callboard_bench.scenarios.delivery import http_path, over, transport
from callboard_bench.scenarios.occupancy import publish_to, wrongly_occupied
from callboard_bench.scenarios.parts import (
    Advice,
    Length,
    as_round,
    loaders,
    measured,
    off_pace,
    percentiles,
    run_name,
)
from callboard_bench.targets.target import Target
from callboard_bench.websocket import Unexpected

METRICS: Final = (
    Metric("changes_per_second", "changes of channel per second", 0, better="higher"),
    Metric("cpu_us", "server CPU per change, µs", 1, better="lower"),
    Metric("subscribe_p50_ms", "change to its answer p50, ms", 2, better="lower"),
    Metric("subscribe_p99_ms", "change to its answer p99, ms", 2, better="lower"),
    Metric("changes", "changes counted", 0, ratio=False),
    Metric("rss_before_mib", "server RSS as the window begins, MiB", 1, ratio=False),
    Metric("rss_after_mib", "server RSS after the storm, MiB", 1, ratio=False),
    *SHARES[:2],
)

#: What is published on each channel after the storm.
_MESSAGES: Final = 3
_ANSWER_SECONDS: Final = 90.0
_MIB: Final = 2**20
_ADVICE: Final = Advice(
    re.compile(r"\b4004\b|limit|over (capacity|quota)", re.IGNORECASE),
    "see that the app's limits allow so many connections and channels",
)


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` changes a second over all clients, or each after its last where it is infinite."""

    connections: int
    channels: int
    rate: float
    transport: str = TRANSPORTS[0]
    http_path: str = HTTP_PATH
    seconds: float = 5.0
    warm_up: float = 1.0
    generators: int = 1

    def setting(self) -> str:
        changes = "changes as fast as they are answered (closed loop)"
        if not math.isinf(self.rate):
            changes = f"{often(self.rate)} changes/s"
        return (
            f"{self.connections:,} clients{over(self.transport)} on {self.channels:,} public and "
            f"private channels, {changes} for {self.seconds:g} s"
        )

    def open_files(self) -> int:
        return self.connections


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    prefix = run_name()
    watch.phase("connecting", load.connections)
    specs = specs_of(target, load, prefix)
    async with loaders(len(specs)) as processes:
        length = Length(load.warm_up, load.seconds)
        done = await measured(target, processes, specs, length, watch, [_ADVICE])
        watch.phase("asking who is where")
        wrong, tally = await afterwards(target, processes, prefix)
        rss_after = _resident_mib(target.pids)
    recorded = done.findings[0].times.get(SUBSCRIBE, Recorded())
    answered = done.counts.answered
    values = {
        "changes_per_second": answered / load.seconds,
        "cpu_us": done.per(answered),
        **percentiles("subscribe", recorded),
        "changes": float(answered),
        "rss_before_mib": next(iter(done.series[RSS]), math.nan),
        "rss_after_mib": rss_after,
    }
    done.findings[0].tally.merge(tally)
    result = as_round(done, values, wrong)
    result.timeline = done.timeline(recorded)
    result.warnings += off_pace(done, answered, load.rate * load.seconds, "add --connections")
    return result


async def afterwards(
    target: Target, processes: Sequence[Generator], prefix: str
) -> tuple[list[str], Tally]:
    """Return what is wrong in the server's list of channels, and the audit of what it delivers.

    Raises:
        OSError, Unexpected: the server did not answer.
    """
    answers = await ask_all(processes, [Held()] * len(processes), _ANSWER_SECONDS)
    held = sorted({channel for answer in answers for channel in answer})
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            wrong = await wrongly_occupied(target, [prefix, f"private-{prefix}"], set(held))
            await publish_to(target, held, _MESSAGES)
    except TimeoutError:
        raise Unexpected(
            f"after the storm the server did not answer its API within {_ANSWER_SECONDS:g} s"
        ) from None
    tally = Tally()
    for part in await ask_all(processes, [HeardOf(_MESSAGES)] * len(processes), _ANSWER_SECONDS):
        tally.merge(part)
    return wrong, tally


def specs_of(target: Target, load: Load, prefix: str, before: int = 0) -> list[list[Spec]]:
    """Divide the clients among the generators; ``before`` are connections of other parts."""
    specs: list[list[Spec]] = []
    first = 0
    for share in divided(load.connections, min(load.generators, load.connections)):
        wire = Wire.to(target, load.transport, load.http_path, before + first)
        rate_here = load.rate * share / load.connections
        spec = ChurnSpec(wire, target.app, prefix, load.channels, share, first, rate_here)
        specs.append([spec])
        first += share
    return specs


def _resident_mib(pids: Sequence[int]) -> float:
    resident = [rss for pid in pids if (rss := rss_if_alive(pid)) is not None]
    return sum(resident) / _MIB if resident else math.nan


SCENARIO: Final = Scenario(
    name="churn",
    about="""
    Clients change channels: each ends its subscription and begins another, on public and private
    channels in turn. After the storm the server must list the channels that somebody is on and no
    others, and what is published then must reach all who are there.
    """,
    load=Load,
    options=(
        count("--connections", 500, "Clients, each on one channel at a time."),
        count("--channels", 1000, "Channels that they go through.", least=2),
        rate("--rate", 1000, "Changes a second, over all clients.", unbounded=True),
        transport(),
        http_path(),
        *window(),
        generators(),
    ),
    metrics=lambda load: METRICS,
    run=run,
    p99="subscribe_p99_ms",
    audited=True,
)
