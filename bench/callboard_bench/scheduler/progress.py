"""W7: one task that reports ten times a second, and one watcher."""

from __future__ import annotations

import asyncio
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.feeds import Feeds
from callboard_bench.scheduler.stage import staged
from callboard_bench.scheduler.timings import Timings, latency_metrics
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_INTERVAL_SECONDS: Final = 0.1
#: The watcher is there before the task begins.
_DELAY_MS: Final = 500
_GRACE_SECONDS: Final = 30.0


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round."""
    async with staged(contender) as stage:
        await stage.add_workers(1, slots=1)
        feeds = await Feeds.open(stage.server)
        try:
            number = monotonic_ns()
            args = {
                "number": number,
                "reports": sizes.reports,
                "interval_seconds": _INTERVAL_SECONDS,
            }
            task_id = await stage.caller.submit("report", args, delay_ms=_DELAY_MS)
            feed = await feeds.watch(task_id)
            async with asyncio.timeout(sizes.reports * _INTERVAL_SECONDS + _GRACE_SECONDS):
                await feed.until("result")
        finally:
            feeds.close()
        await stage.until_quiet()
        fault = audit.joined(
            audit.starts_fault([number], stage.marks.read()),
            await audit.records_fault(stage.caller, [task_id]),
        )
    reports = [event for event in feed.events if event.name == "progress"]
    seen = [event.data["data"][0] for event in reports]
    if seen != list(range(sizes.reports)):
        wrong = f"of {sizes.reports} reports {len(seen)} were seen, or not in their order"
        fault = audit.joined(wrong, fault)
    latencies = Timings((event.data["data"][1], event.at_ns) for event in reports)
    return Round({**latencies.values("progress"), "reports": float(len(seen))}, fault)


METRICS: Final = (
    *latency_metrics("progress", "report to watcher"),
    Metric("reports", "reports counted", 0, ratio=False),
)

WORKLOAD: Final = Workload(
    "W7",
    lambda sizes: f"progress: {sizes.reports} reports of one task, ten a second, one watcher",
    METRICS,
    run,
)
