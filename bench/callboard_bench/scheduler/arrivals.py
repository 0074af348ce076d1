"""W2: submits that come by chance, at a share of what server and worker can do.

What they can do is measured first, in the same round, by W3's closed loop. Then arrivals are
independent of each other and of the answers (open loop): some come together, and wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.figures import Latencies
from callboard_bench.recording import STEP_SECONDS, Recording
from callboard_bench.rounds import Metric, Round, Timeline
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.chance import arrivals
from callboard_bench.scheduler.stage import Stage, staged
from callboard_bench.scheduler.throughput import SLOTS, ids_of, requests
from callboard_bench.scheduler.timings import Timings, latency_metrics, latency_values
from callboard_bench.scheduler.volley import Volley, fire
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

SHARES: Final = (30, 70)

_WARM_UP: Final = 200
#: Of how many tasks of W3 one is enough to tell how many a second there can be.
_TO_CAPACITY: Final = 5
#: More than are ever under way, so that no arrival waits for a connection of ours.
_CONNECTIONS: Final = 64
_MARK_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Part:
    """The arrivals of one share."""

    share: int
    rate: float
    volley: Volley
    first: int
    started: list[int] = field(default_factory=list)


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round."""
    ids: list[str] = []
    async with staged(contender) as stage:
        await stage.add_workers(1, SLOTS)
        await _at_once(stage, ids, 0, _WARM_UP, sizes)
        capacity = await _at_once(stage, ids, _WARM_UP, max(1, sizes.tasks // _TO_CAPACITY), sizes)
        parts = []
        for share in SHARES:
            parts.append(await _by_chance(stage, ids, capacity * share / 100, share, sizes))
            await stage.until_quiet()
        marks = stage.marks.read()
        fault = audit.joined(
            audit.starts_fault(range(len(ids)), marks),
            await audit.records_fault(stage.caller, ids),
        )
    at = {mark.number: mark.at_ns for mark in marks}
    values = {"capacity": capacity}
    curves: dict[str, Latencies] = {}
    for part in parts:
        part.started = [at[part.first + n] for n in range(len(part.volley.since_ns))]
        started = Timings(zip(part.volley.since_ns, part.started, strict=True))
        answered = zip(part.volley.since_ns, part.volley.answered_ns, strict=True)
        acknowledged = Timings(answered).latencies()
        curves[f"start_{part.share}"] = started.latencies()
        values |= started.values(f"start_{part.share}")
        values |= latency_values(f"acknowledged_{part.share}", acknowledged)
        values |= {f"rate_{part.share}": part.rate, f"tasks_{part.share}": float(len(started))}
    return Round(values, fault, curves=curves, timeline=_timeline(parts[-1]))


async def _at_once(stage: Stage, ids: list[str], first: int, count: int, sizes: Sizes) -> float:
    """Run no-ops as fast as they go; return how many a second that were."""
    ready = requests(stage.caller, first, count, 1)
    volley = await fire(stage.server.host, stage.server.port, ready, sizes.in_flight)
    ids += ids_of(volley)
    marks = await stage.marks.wait(first + count, _MARK_SECONDS)
    last = max(mark.at_ns for mark in marks)
    await stage.until_quiet()
    return count / ((last - volley.began_ns) / 1e9)


async def _by_chance(stage: Stage, ids: list[str], rate: float, share: int, sizes: Sizes) -> _Part:
    first = len(ids)
    schedule = arrivals(rate, sizes.arrival_seconds, sizes.seed + share)
    ready = requests(stage.caller, first, len(schedule), 1)
    volley = await fire(stage.server.host, stage.server.port, ready, _CONNECTIONS, schedule)
    ids += ids_of(volley)
    await stage.marks.wait(len(ids), _MARK_SECONDS)
    return _Part(share, rate, volley, first)


def _timeline(part: _Part) -> Timeline:
    """Return starts by the time at which their submits were due."""
    began = part.volley.began_ns
    recording = Recording(began, monotonic_ns())
    for since, started in zip(part.volley.since_ns, part.started, strict=True):
        slot = recording.slot(since)
        if slot is not None:
            slot((started - since) // 1000)
    recorded = recording.result()
    series: dict[str, Sequence[float]] = {
        "tasks_per_second": recorded.per_second(),
        "p99_ms": recorded.p99_ms(),
    }
    return Timeline(STEP_SECONDS, series)


METRICS: Final = (
    Metric("capacity", "tasks per second as fast as they go", 0, better="higher"),
    *(
        metric
        for share in SHARES
        for metric in (
            Metric(f"rate_{share}", f"{share} %: tasks submitted per second", 0, ratio=False),
            *latency_metrics(f"start_{share}", f"{share} %: submit to start", whole=True),
            *latency_metrics(f"acknowledged_{share}", f"{share} %: submit to acknowledgement"),
            Metric(f"tasks_{share}", f"{share} %: tasks counted", 0, ratio=False),
        )
    ),
)

WORKLOAD: Final = Workload(
    "W2",
    lambda sizes: (
        f"latency under load: submits by chance (Poisson, seed {sizes.seed}, open loop) at "
        f"{' % and '.join(map(str, SHARES))} % of what one worker with {SLOTS} slots can do, "
        f"{sizes.arrival_seconds} s each"
    ),
    METRICS,
    run,
)
