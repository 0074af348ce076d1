"""W7 and W7b: one task that reports ten times a second, and one watcher or many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.feeds import Feed, Feeds
from callboard_bench.scheduler.stage import Stage, staged
from callboard_bench.scheduler.timings import Timings, latency_metrics
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_INTERVAL_SECONDS: Final = 0.1
#: The task begins when it is told to, and the watchers are there.
_LATER_MS: Final = 3_600_000
_GRACE_SECONDS: Final = 30.0


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W7."""
    return await _run(contender, sizes.reports, 1)


async def run_watched_by_many(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W7b."""
    return await _run(contender, sizes.reports, sizes.watchers)


async def _run(contender: Contender, reports: int, watchers: int) -> Round:
    async with staged(contender) as stage:
        await stage.add_workers(1, slots=1)
        number = monotonic_ns()
        args = {"number": number, "reports": reports, "interval_seconds": _INTERVAL_SECONDS}
        task_id = await stage.caller.submit("report", args, delay_ms=_LATER_MS)
        feeds = await _watched(stage, task_id, reports, watchers)
        await stage.until_quiet()
        fault = audit.joined(
            audit.starts_fault([number], stage.marks.read()),
            await audit.records_fault(stage.caller, [task_id]),
        )
    progress = [[event for event in feed.events if event.name == "progress"] for feed in feeds]
    wrong = sum(
        [event.data["data"][0] for event in events] != list(range(reports)) for events in progress
    )
    if wrong:
        told = f"{wrong} of {watchers} watchers did not see all {reports} reports in their order"
        fault = audit.joined(told, fault)
    latencies = Timings(
        (event.data["data"][1], event.at_ns) for events in progress for event in events
    )
    return Round(
        {**latencies.values("progress"), "reports": float(len(latencies))},
        fault,
        curves={"progress": latencies.latencies()},
    )


async def _watched(stage: Stage, task_id: str, reports: int, watchers: int) -> Sequence[Feed]:
    """Watch a task over as many connections, let it begin, and return what each saw of it."""
    async with AsyncExitStack() as stack:
        connections = [await _opened(stack, stage) for _ in range(watchers)]
        feeds = [await connection.watch(task_id) for connection in connections]
        await stage.caller.post(f"tasks/{task_id}/update", {"delay_ms": 0})
        async with asyncio.timeout(reports * _INTERVAL_SECONDS + _GRACE_SECONDS):
            await asyncio.gather(*(feed.until("result") for feed in feeds))
    return feeds


async def _opened(stack: AsyncExitStack, stage: Stage) -> Feeds:
    feeds = await Feeds.open(stage.server)
    stack.callback(feeds.close)
    return feeds


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
WATCHED_BY_MANY: Final = Workload(
    "W7b",
    lambda sizes: (
        f"progress: {sizes.reports} reports of one task, ten a second, {sizes.watchers} watchers "
        "on a connection each"
    ),
    METRICS,
    run_watched_by_many,
    quick=False,
)
