"""Signed requests on a channel that nobody is subscribed to.

They are signed before the round, for a signature costs the client nearly as much as the server,
and sent again and again: each is valid for ten minutes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from callboard_bench.api import post
from callboard_bench.clients.hammer import Begin, CollectAnswers, RecordAnswers
from callboard_bench.clients.pace import Turn
from callboard_bench.clients.refusals import some_accepted
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import Generator, ask_all, counted, divided, p99_ms
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
from callboard_bench.scenario import (
    Floor,
    Scenario,
    count,
    generators,
    message_bytes,
    often,
    rate,
    window,
)
from callboard_bench.scenarios.delivery import room_for_stamps
from callboard_bench.scenarios.parts import loaders
from callboard_bench.stamps import EVENT, stamped_data
from callboard_bench.targets.target import Target

REQUESTS: Final = "requests_per_second"

_CHANNEL: Final = "bench-nobody"
_ANSWER_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.25
#: How long what was due in the window is waited for behind its end.
_PATIENCE_SECONDS: Final = 10.0
#: Below this share of what was due, a server has set the pace itself.
_TAKEN_SHARE: Final = 0.99
#: A signature is good for 600 s, and the clocks of two machines differ.
_MOST_SECONDS: Final = 500

METRICS: Final = (
    Metric(REQUESTS, "requests per second", 0, better="higher"),
    Metric("events_per_second", "events per second", 0, better="higher"),
    Metric("cpu_us", "server CPU per request, µs", 1, better="lower"),
    Metric("cpu_user_us", "  of which user", 1, better="lower"),
    Metric("cpu_system_us", "  of which system", 1, better="lower"),
    Metric("requests_per_core_second", "requests per second of server CPU", 0, better="higher"),
    Metric("p50_ms", "latency p50, ms", 2, better="lower"),
    Metric("p99_ms", "latency p99, ms", 2, better="lower"),
    Metric("requests", "requests counted", 0, ratio=False),
    *SHARES[:2],
)


@dataclass(frozen=True, slots=True)
class Load:
    """``connections`` send in turn from ``distinct`` pre-signed requests."""

    rate: float = math.inf
    connections: int = 32
    distinct: int = 2000
    batch: int = 1
    message_bytes: int = 220
    seconds: float = 5.0
    warm_up: float = 1.0
    generators: int = 1

    def __post_init__(self) -> None:
        room_for_stamps(self.message_bytes)
        if self.seconds + self.warm_up > _MOST_SECONDS:
            raise ValueError(
                f"--seconds and --warm-up are {_MOST_SECONDS} together at most: the requests are "
                "signed beforehand, and a signature is valid for ten minutes"
            )

    def setting(self) -> str:
        pace = f"{often(self.rate)} a second"
        if math.isinf(self.rate):
            pace = "as fast as they are answered (closed loop)"
        what = "signed triggers" if self.batch == 1 else f"signed batches of {self.batch} events"
        return (
            f"{what} of {self.message_bytes} bytes without subscribers, {pace} over "
            f"{self.connections} kept-alive connections for {self.seconds:g} s"
        )

    def open_files(self) -> int:
        return self.connections


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    async with loaders(min(load.generators, load.connections, load.distinct)) as processes:
        return await _measured(target, load, watch, processes)


async def _measured(
    target: Target, load: Load, watch: Watch, processes: Sequence[Generator]
) -> Round:
    watch.phase("warming up")
    requests = [_request(target, load, number) for number in range(load.distinct)]
    turns = [Turn(place, len(processes)) for place in range(len(processes))]
    questions = [
        Begin(target.api, requests[turn.place :: turn.of], share, load.rate / turn.of, turn)
        for turn, share in zip(turns, divided(load.connections, len(turns)), strict=True)
    ]
    await ask_all(processes, questions, _ANSWER_SECONDS)
    await _unless_failed(processes, load.warm_up, watch)
    watch.phase("measuring")
    start_ns = monotonic_ns()
    end_ns = start_ns + int(load.seconds * 1e9)
    await ask_all(processes, [RecordAnswers(start_ns, end_ns)] * len(processes), _ANSWER_SECONDS)
    meter = Meter(target.pids, [process.pid for process in processes])
    before = counted(processes).answered
    sampler = Sampler(target.pids, watch.sample)
    try:
        await _unless_failed(processes, load.seconds, watch)
    finally:
        series = sampler.stop()
    answered, use = counted(processes).answered - before, meter.end()
    recorded, refused, requests_made = Recorded(), 0, Requests()
    collecting = [CollectAnswers(end_ns, _PATIENCE_SECONDS)] * len(processes)
    for part in await ask_all(processes, collecting, _PATIENCE_SECONDS + _ANSWER_SECONDS):
        recorded.merge(part.recorded)
        refused += part.refused
        requests_made += part.requests
    some_accepted(requests_made)
    cpu, latencies = use.server, recorded.latencies
    per_request = 1e6 / answered if answered else math.nan
    values = {
        REQUESTS: answered / use.seconds,
        "events_per_second": answered * load.batch / use.seconds,
        "cpu_us": cpu.total * per_request,
        "cpu_user_us": cpu.user * per_request,
        "cpu_system_us": cpu.system * per_request,
        "requests_per_core_second": answered / cpu.total if cpu.total else math.nan,
        "p50_ms": latencies.percentile(50) / 1000,
        "p99_ms": latencies.percentile(99) / 1000,
        "requests": float(answered),
        **shares(use),
    }
    timeline = {REQUESTS: recorded.per_second(), "p99_ms": recorded.p99_ms(), **series}
    return Round(
        values,
        None if answered else "no request was answered",
        [*doubts(use), *_pace(load, answered + refused, use, len(latencies) + refused)],
        requests=requests_made,
        curves={"latency": latencies},
        timeline=Timeline(STEP_SECONDS, timeline),
    )


def _pace(load: Load, answered: int, use: Use, timed: int) -> list[str]:
    """Return why the pace was not the one that was asked for."""
    if math.isinf(load.rate):
        return unsaturated(use, "add --connections")
    if answered >= _TAKEN_SHARE * load.rate * use.seconds:
        return []
    missing = max(0, round(load.rate * load.seconds) - timed)
    never = f", and {missing:,} never, which have no latency" if missing else ""
    taken = f"{answered:,} of {round(load.rate * use.seconds):,} requests in their time{never}"
    return [f"the server answered {taken}: lower --rate, or add --connections"]


async def _unless_failed(processes: Sequence[Generator], seconds: float, watch: Watch) -> None:
    """Wait so long, or until a request was refused: the next question says why."""
    end = monotonic_ns() + int(seconds * 1e9)
    before, then = counted(processes), monotonic_ns()
    while (left := end - monotonic_ns()) > 0 and not before.failed:
        await asyncio.sleep(min(_LOOK_SECONDS, left / 1e9))
        counts, now = counted(processes), monotonic_ns()
        watch.sample(REQUESTS, (counts.answered - before.answered) / ((now - then) / 1e9))
        watch.sample("p99_ms", p99_ms(processes))
        before, then = counts, now


def _request(target: Target, load: Load, number: int) -> bytes:
    where = target.api
    data = stamped_data(number, 0, _CHANNEL, load.message_bytes)
    event = {"name": EVENT, "channel": _CHANNEL, "data": data}
    if load.batch == 1:
        return post(target.app, where.host, where.port, "events", orjson.dumps(event))
    body = orjson.dumps({"batch": [event] * load.batch})
    return post(target.app, where.host, where.port, "batch_events", body)


SCENARIO: Final = Scenario(
    name="trigger",
    about="""
    Requests to publish on a channel without subscribers, each signed, as a backend sends them.
    --rate max (the default) finds how many a second there can be; a rate shows latency.

    The floor checks the signature and nothing else; `uvicorn`, if installed, does the same as an
    ASGI application.
    """,
    load=Load,
    options=(
        rate("--rate", "max", "Requests a second.", unbounded=True),
        count("--connections", 32, "Kept-alive connections."),
        count("--distinct", 2000, "Different requests, signed beforehand and sent in turn."),
        count("--batch", 1, "Events of a request; more than one by batch_events."),
        message_bytes(),
        *window(),
        generators(),
    ),
    metrics=lambda load: [
        metric for metric in METRICS if metric.key != "events_per_second" or load.batch > 1
    ],
    run=run,
    floors=(
        Floor(("-m", "callboard_bench.floor", "verify")),
        Floor(("-m", "callboard_bench.asgi_floor"), "uvicorn", "uvicorn"),
    ),
    p99="p99_ms",
    requests=True,
)
