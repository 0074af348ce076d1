"""One window of load by the parts of several generators, and what it cost the server.

All parts begin, begin to count and end at moments agreed upon beforehand. The parent reads what
the server has used and how much the clients have heard at the same two moments, so that a cost
per delivery has the same time above and below the line; and every half second, for the timeline.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.audit import most_of
from callboard_bench.clients.pace import until
from callboard_bench.clients.part import Findings, Open, Run, Schedule, Spec
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import (
    Counts,
    Generator,
    GeneratorFailed,
    ask_all,
    counted,
    letting_in,
    p99_ms,
)
from callboard_bench.process import Meter, Use
from callboard_bench.recording import STEP_SECONDS, Recorded
from callboard_bench.rounds import Round, Timeline, Watch, doubts, shares, unsaturated
from callboard_bench.sampler import Sampler
from callboard_bench.targets.target import Target

DELIVERIES: Final = "deliveries_per_second"
ANSWERS: Final = "answers_per_second"

_OPEN_SECONDS: Final = 120.0
#: Beyond the load's own time: to wait for what is missing, and to sum up.
_END_SECONDS: Final = 120.0
#: From the order to begin to the beginning, so that it reaches every generator before.
_LEAD_NS: Final = 100_000_000
_LOOK_SECONDS: Final = 0.1
#: From this part of the offered load on, a server kept up; the rest may still be under way.
_KEPT_UP: Final = 0.98
_STEP_NS: Final = int(STEP_SECONDS * 1e9)


@dataclass(frozen=True, slots=True)
class Length:
    """How long the load lasts before the window, and in it."""

    warm_up: float
    seconds: float

    def schedule(self) -> Schedule:
        """Return a schedule that begins at once."""
        start_ns = monotonic_ns() + _LEAD_NS
        counted_ns = start_ns + int(self.warm_up * 1e9)
        return Schedule(start_ns, counted_ns, counted_ns + int(self.seconds * 1e9))


@dataclass(frozen=True, slots=True)
class Advice:
    """What to set where what the server says fits: a limit is not all that it can refuse for."""

    fits: re.Pattern[str]
    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """What a window cost, and what the parts have found, in all generators together."""

    use: Use
    #: How much the clients heard and were answered in the window.
    counts: Counts
    findings: Sequence[Findings]
    series: dict[str, list[float]]
    #: What to set where the server refuses something.
    advice: Sequence[Advice]

    def per(self, count: int, kind: str = "total") -> float:
        """Return the CPU time (total, user, system) of the server for each of so many, in µs."""
        seconds: float = getattr(self.use.server, kind)
        return seconds * 1e6 / count if count else math.nan

    def timeline(self, recorded: Recorded) -> Timeline:
        """Return the series, with the percentiles of one kind of latency."""
        return Timeline(STEP_SECONDS, {**self.series, "p99_ms": recorded.p99_ms()})


def run_name() -> str:
    """Return a beginning for the names of channels that no round before this one has used.

    A server that runs on between rounds may not have noticed yet who has left.
    """
    return f"bench-{secrets.token_hex(3)}"


def percentiles(name: str, recorded: Recorded) -> dict[str, float]:
    """Return p50 and p99 in milliseconds, as values of a round."""
    prefix = f"{name}_" if name else ""
    return {
        f"{prefix}p{percent}_ms": recorded.latencies.percentile(percent) / 1000
        for percent in (50, 99)
    }


@asynccontextmanager
async def loaders(count: int) -> AsyncIterator[Sequence[Generator]]:
    """Start so many generators, and end them."""
    started: list[Generator] = []
    try:
        started.extend(Generator() for _ in range(count))
        yield started
    finally:
        for generator in started:
            generator.close()


async def measured(
    target: Target,
    processes: Sequence[Generator],
    specs: Sequence[Sequence[Spec]],
    length: Length,
    watch: Watch,
    advice: Sequence[Advice],
) -> Window:
    """Open the parts of every generator, run them, and return what came of it.

    Args:
        specs: for each generator those of its parts, of the same kinds in the same order.
        advice: what to set where the server refuses something for a limit of it.

    Raises:
        GeneratorFailed: the server did not let the parts open, or a generator died.
    """
    opening = ask_all(processes, [Open(each) for each in specs], _OPEN_SECONDS)
    try:
        with letting_in(processes):
            await _watched(opening, lambda: watch.count(counted(processes).connected))
    except GeneratorFailed as error:
        for note in _fitting(advice, str(error)):
            error.add_note(note)
        raise
    meter = Meter(target.pids, [generator.pid for generator in processes])
    schedule = length.schedule()
    longest = length.warm_up + length.seconds + _END_SECONDS
    running = asyncio.ensure_future(ask_all(processes, [Run(schedule)] * len(processes), longest))
    try:
        watch.phase("warming up")
        await _unless_over(running, schedule.counted_ns)
        watch.phase("measuring")
        meter.begin()
        before = counted(processes)
        sampler = Sampler(target.pids, watch.sample)
        try:
            series = await _rates(running, processes, schedule, watch)
            after, use = counted(processes), meter.end()
        finally:
            costs = sampler.stop()
        watch.phase("waiting for what is under way")
        answers = await running
    finally:
        running.cancel()
    counts = Counts(*(now - then for now, then in zip(after, before, strict=True)))
    findings = [_merged(parts) for parts in zip(*answers, strict=True)]
    return Window(use, counts, findings, {**series, **costs}, advice)


async def _watched(asked: Any, look: Callable[[], None]) -> None:
    asking = asyncio.ensure_future(asked)
    try:
        while not asking.done():
            look()
            await asyncio.wait({asking}, timeout=_LOOK_SECONDS)
        await asking
    finally:
        asking.cancel()


async def _unless_over(running: asyncio.Future[Any], moment_ns: int) -> None:
    """Wait for a moment, but no longer than the parts run, which is until they fail."""
    waiting = asyncio.ensure_future(until(moment_ns))
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        await waiting
    finally:
        waiting.cancel()


async def _rates(
    running: asyncio.Future[Any], processes: Sequence[Generator], schedule: Schedule, watch: Watch
) -> dict[str, list[float]]:
    """Read how far the clients are until the end of the window; of what they do not do, nothing."""
    series: dict[str, list[float]] = {DELIVERIES: [], ANSWERS: []}
    moment_ns, before = schedule.counted_ns, counted(processes)
    while moment_ns < schedule.end_ns:
        then_ns, moment_ns = moment_ns, min(moment_ns + _STEP_NS, schedule.end_ns)
        await _unless_over(running, moment_ns)
        now, seconds = counted(processes), (moment_ns - then_ns) / 1e9
        series[DELIVERIES].append((now.received - before.received) / seconds)
        series[ANSWERS].append((now.answered - before.answered) / seconds)
        for name, values in series.items():
            if values[-1]:
                watch.sample(name, values[-1])
        watch.sample("p99_ms", p99_ms(processes))
        before = now
    return {name: values for name, values in series.items() if any(values)}


def _merged(parts: Sequence[Findings]) -> Findings:
    merged = Findings()
    for part in parts:
        merged.merge(part)
    return merged


def as_round(window: Window, values: dict[str, float], faults: Sequence[str] = ()) -> Round:
    """Return a round: the values and shares, what all parts have found, and further faults."""
    total = _merged(window.findings)
    warnings = doubts(window.use)
    if total.unsent:
        warnings.append(f"{total.unsent:,} messages never left in their time, and have no latency")
    return Round(
        {**values, **shares(window.use)},
        fault="; ".join([*faults, *_refusals(total, window.advice)]) or None,
        warnings=warnings,
        audit=total.tally.audited(),
        requests=total.requests if total.requests.asked else None,
        curves={name: recorded.latencies for name, recorded in total.times.items()},
    )


def off_pace(window: Window, done: int, offered: float, advice: str) -> list[str]:
    """Return why the pace was not the one that was asked for.

    Args:
        done, offered: how much there was in the window, and would be with a server that keeps up;
            infinite where each followed the last.
        advice: which flags make more of a closed loop's load.
    """
    if math.isinf(offered):
        return unsaturated(window.use, advice)
    if done < _KEPT_UP * offered:
        return [f"the server did {done:,} in the window of the {offered:,.0f} that were offered"]
    return []


def _refusals(found: Findings, advice: Sequence[Advice]) -> list[str]:
    faults = [found.tally.faults()] if found.tally.faults() else []
    if found.refused:
        count = max(found.refused.values())
        faults.append(f"{count:,} times {most_of(found.refused)}")
    said = "\n".join([*found.refused, *found.tally.closed])
    return [*(fault for fault in faults if fault), *_fitting(advice, said)]


def _fitting(advice: Sequence[Advice], said: str) -> list[str]:
    return [each.text for each in advice if each.fits.search(said)]
