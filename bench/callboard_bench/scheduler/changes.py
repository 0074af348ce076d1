"""W8 and W9: what changes while it waits or runs, and how soon that counts."""

from __future__ import annotations

from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.pace import paced
from callboard_bench.scheduler.stage import staged
from callboard_bench.scheduler.throughput import ids_of
from callboard_bench.scheduler.timings import Timings, latency_metrics
from callboard_bench.scheduler.volley import fire
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_HOUR_MS: Final = 3_600_000
_BATCH: Final = 100
_CONNECTIONS: Final = 4
_INTERVAL_SECONDS: Final = 0.01
_WAIT_SECONDS: Final = 30.0


async def run_changes(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W8: one task after the other gets another time, which is now."""
    count = sizes.changes
    async with staged(contender) as stage:
        await stage.add_workers(1, slots=1)
        bodies = [
            {"name": "noop", "args": {"number": number}, "delay_ms": _HOUR_MS}
            for number in range(count)
        ]
        ready = [
            stage.caller.request("batch_tasks", {"batch": bodies[begin : begin + _BATCH]})
            for begin in range(0, count, _BATCH)
        ]
        ids = ids_of(await fire(stage.server.host, stage.server.port, ready, _CONNECTIONS))
        changed: list[int] = []
        acknowledged = Timings()
        async for at_ns in paced(count, _INTERVAL_SECONDS):
            await stage.caller.post(f"tasks/{ids[len(changed)]}/update", {"delay_ms": 0})
            acknowledged.add(at_ns, monotonic_ns())
            changed.append(at_ns)
        marks = await stage.marks.wait(count, _WAIT_SECONDS)
        started = Timings((changed[mark.number], mark.at_ns) for mark in marks)
        await stage.until_quiet()
        fault = audit.joined(
            audit.starts_fault(range(count), stage.marks.read()),
            await audit.records_fault(stage.caller, ids),
        )
    values = {
        **started.values("start"),
        **acknowledged.values("acknowledged"),
        "changes": float(len(started)),
    }
    curves = {"start": started.latencies(), "acknowledged": acknowledged.latencies()}
    return Round(values, fault, curves=curves)


async def run_cancels(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W9."""
    async with staged(contender) as stage:
        await stage.add_workers(1, slots=1)
        ids: list[str] = []
        submitted: list[int] = []
        seen = Timings()
        for done in range(1, sizes.cancels + 1):
            number = monotonic_ns()
            submitted.append(number)
            ids.append(await stage.caller.submit("wait_for_cancel", {"number": number}))
            await stage.marks.wait(done, _WAIT_SECONDS)
            then = monotonic_ns()
            await stage.caller.post(f"tasks/{ids[-1]}/cancel", {})
            stops = await stage.stops.wait(done, _WAIT_SECONDS)
            seen.add(then, stops[-1].at_ns)
        await stage.until_quiet()
        fault = audit.joined(
            audit.starts_fault(submitted, stage.marks.read()),
            await audit.records_fault(stage.caller, ids, "cancelled"),
        )
    values = {**seen.values("cancel"), "cancels": float(len(seen))}
    return Round(values, fault, curves={"cancel": seen.latencies()})


CHANGES: Final = Workload(
    "W8",
    lambda sizes: (
        f"live change: {sizes.changes:,} tasks of the future are moved to now, one by one, "
        f"{_INTERVAL_SECONDS * 1000:g} ms apart (open loop)"
    ),
    (
        *latency_metrics("start", "change to start"),
        *latency_metrics("acknowledged", "change to acknowledgement, durable"),
        Metric("changes", "changes counted", 0, ratio=False),
    ),
    run_changes,
)
CANCELS: Final = Workload(
    "W9",
    lambda sizes: f"cancel of a running task, {sizes.cancels} times",
    (
        *latency_metrics("cancel", "cancel to CancelledError in the body"),
        Metric("cancels", "cancels counted", 0, ratio=False),
    ),
    run_cancels,
)
