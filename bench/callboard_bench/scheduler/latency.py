"""W1: one idle worker, submits that come one by one."""

from __future__ import annotations

import asyncio
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.feeds import Feeds
from callboard_bench.scheduler.pace import paced
from callboard_bench.scheduler.stage import Stage, staged
from callboard_bench.scheduler.timings import Timings, latency_metrics
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_WARM_UP: Final = 100
_MARK_SECONDS: Final = 30.0
#: Of how many submits one is followed by a watcher until its result.
_WATCHED: Final = 5


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round."""
    async with staged(contender) as stage:
        await stage.add_workers(1, slots=1)
        interval = sizes.interval_ms / 1000
        submitted: list[int] = []
        ids: list[str] = []
        acknowledged = Timings()
        async for number in paced(min(_WARM_UP, sizes.samples) + sizes.samples, interval):
            ids.append(await stage.caller.submit("noop", {"number": number}))
            acknowledged.add(number, monotonic_ns())
            submitted.append(number)
        marks = await stage.marks.wait(len(submitted), _MARK_SECONDS)
        counted = submitted[-sizes.samples :]
        at = {mark.number: mark.at_ns for mark in marks}
        started = Timings((number, at[number]) for number in counted if number in at)
        seen = await _results(stage, max(1, sizes.samples // _WATCHED), ids, submitted)
        await stage.until_quiet()
        fault = audit.joined(
            audit.starts_fault(submitted, stage.marks.read()),
            await audit.records_fault(stage.caller, ids),
        )
    acknowledged = acknowledged.last(sizes.samples)
    values = {
        **started.values("start"),
        **acknowledged.values("acknowledged"),
        **seen.values("seen"),
        "samples": float(len(started)),
    }
    curves = {
        "start": started.latencies(),
        "acknowledged": acknowledged.latencies(),
        "seen": seen.latencies(),
    }
    return Round(values, fault, curves=curves)


async def _results(stage: Stage, count: int, ids: list[str], submitted: list[int]) -> Timings:
    """Follow tasks one after the other, from before their end until their result is seen."""
    seen = Timings()
    feeds = await Feeds.open(stage.server)
    try:
        for _ in range(count):
            number = monotonic_ns()
            task_id = await stage.caller.submit("timed", {"number": number})
            ids.append(task_id)
            submitted.append(number)
            feed = await feeds.watch(task_id)
            async with asyncio.timeout(_MARK_SECONDS):
                result = await feed.until("result")
            seen.add(result.data["result"], result.at_ns)
    finally:
        feeds.close()
    return seen


METRICS: Final = (
    *latency_metrics("start", "submit to start", whole=True),
    *latency_metrics("acknowledged", "submit to acknowledgement, durable", whole=True),
    *latency_metrics("seen", "end to result seen by a watcher", whole=True),
    Metric("samples", "submits counted", 0, ratio=False),
)

WORKLOAD: Final = Workload(
    "W1",
    lambda sizes: (
        f"idle latency: {sizes.samples:,} submits {sizes.interval_ms:g} ms apart (open loop), "
        "one idle worker"
    ),
    METRICS,
    run,
)
