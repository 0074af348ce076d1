"""A storm of joins and leaves on presence channels: every member hears of every other one.

Half of the members stay. In a turn one of the others leaves and another comes back, and all who
are there are told of both. A join is timed twice, from the moment at which it was due: until its
own roster has come, and until the last of the others has heard of it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS, Wire
from callboard_bench.clients.part import Spec
from callboard_bench.clients.presence import JOIN, SEEN, PresenceSpec
from callboard_bench.generator import divided
from callboard_bench.recording import Recorded
from callboard_bench.rounds import SHARES, Metric, Round, Watch
from callboard_bench.scenario import Scenario, count, generators, often, rate, window
from callboard_bench.scenarios.delivery import http_path, over, transport
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

METRICS: Final = (
    Metric("joins_per_second", "joins per second", 1, better="higher"),
    Metric("deliveries_per_second", "member events delivered per second", 0, better="higher"),
    Metric("cpu_us", "server CPU per member event delivered, µs", 2, better="lower"),
    Metric("join_p50_ms", "join to its roster p50, ms", 2, better="lower"),
    Metric("join_p99_ms", "join to its roster p99, ms", 2, better="lower"),
    Metric("seen_p50_ms", "join to all others have heard p50, ms", 2, better="lower"),
    Metric("seen_p99_ms", "join to all others have heard p99, ms", 2, better="lower"),
    Metric("joins", "joins counted", 0, ratio=False),
    *SHARES[:2],
)

#: What to set where a channel is full, or the app.
ADVICE: Final = Advice(
    re.compile(r"\b4004\b|limit|is full|over (capacity|quota)", re.IGNORECASE),
    "if a channel may have fewer members, ask for that with --members, or raise the limit "
    "(Callboard: max_presence_members of the app; soketi: SOKETI_PRESENCE_MAX_MEMBERS)",
)


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` turns a second over all channels, or one after the other where it is infinite."""

    channels: int
    members: int
    rate: float
    transport: str = TRANSPORTS[0]
    http_path: str = HTTP_PATH
    seconds: float = 5.0
    warm_up: float = 1.0
    generators: int = 1

    def setting(self) -> str:
        turns = "turns as fast as they are answered (closed loop)"
        if not math.isinf(self.rate):
            turns = f"{often(self.rate)} joins and leaves/s"
        channels = "1 presence channel" if self.channels == 1 else f"{self.channels:,} channels"
        members = f"{self.members:,} members{over(self.transport)}"
        return f"{channels} of {members}, {turns} for {self.seconds:g} s"

    def open_files(self) -> int:
        return self.channels * self.members


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    specs = specs_of(target, load)
    watch.phase("joining", load.open_files())
    async with loaders(len(specs)) as processes:
        length = Length(load.warm_up, load.seconds)
        done = await measured(target, processes, specs, length, watch, [ADVICE])
    (found,) = done.findings
    joins = found.times.get(JOIN, Recorded())
    seen = found.times.get(SEEN, Recorded())
    values = {
        "joins_per_second": done.counts.answered / load.seconds,
        "deliveries_per_second": done.counts.received / load.seconds,
        "cpu_us": done.per(done.counts.received),
        **percentiles("join", joins),
        **percentiles("seen", seen),
        "joins": float(done.counts.answered),
    }
    result = as_round(done, values)
    result.timeline = done.timeline(seen)
    offered = load.rate * load.seconds
    result.warnings += off_pace(done, done.counts.answered, offered, "add --channels")
    return result


def specs_of(target: Target, load: Load, before: int = 0) -> list[list[Spec]]:
    """Divide the channels among the generators; ``before`` are connections of other parts."""
    prefix = f"presence-{run_name()}"
    shares = divided(load.channels, min(load.generators, load.channels))
    names = iter(f"{prefix}-{number}" for number in range(load.channels))
    specs: list[list[Spec]] = []
    for share in shares:
        wire = Wire.to(target, load.transport, load.http_path, before)
        channels = [next(names) for _ in range(share)]
        rate_here = load.rate * share / load.channels
        specs.append([PresenceSpec(wire, target.app, channels, load.members, rate_here)])
        before += share * load.members
    return specs


SCENARIO: Final = Scenario(
    name="presence",
    about="""
    Half of the members of a presence channel stay, the others leave in turn and come back. What
    each hears of the others is audited: all of it, once, and in an order that fits.

    A channel of hosted Pusher has at most 100 members; more need a server that is told so.
    """,
    load=Load,
    options=(
        count("--channels", 1, "Presence channels."),
        count("--members", 100, "Members of each.", least=4),
        rate("--rate", 50, "Joins a second, over all channels; as many leave.", unbounded=True),
        transport(),
        http_path(),
        *window(),
        generators(),
    ),
    metrics=lambda load: METRICS,
    run=run,
    p99="seen_p99_ms",
    audited=True,
)
