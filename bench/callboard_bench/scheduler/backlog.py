"""W4: what queues up while no worker is there, and how fast it drains when one comes."""

from __future__ import annotations

import asyncio
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.process import peak_rss_of, rss_of
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.stage import staged
from callboard_bench.scheduler.throughput import SLOTS, ids_of, requests
from callboard_bench.scheduler.volley import fire
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_CONNECTIONS: Final = 4
_DRAIN_SECONDS: Final = 300.0
_WARM_UP: Final = 100
_MIB: Final = 2**20


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round."""
    tasks = sizes.backlog
    async with staged(contender) as stage:
        server = stage.server
        # What is loaded once is not the backlog's.
        warm_up = await fire(
            server.host, server.port, requests(stage.caller, 0, _WARM_UP, 1), _CONNECTIONS
        )
        ready = requests(stage.caller, _WARM_UP, tasks, sizes.batch)
        before = rss_of(server.pid)
        volley = await fire(server.host, server.port, ready, _CONNECTIONS)
        await asyncio.sleep(0.5)
        queued = rss_of(server.pid)
        started = monotonic_ns()
        worker = stage.spawn_worker(SLOTS)
        marks = await stage.marks.wait(_WARM_UP + tasks, _DRAIN_SECONDS)
        await stage.until_quiet()
        peak, worker_peak = peak_rss_of(server.pid), peak_rss_of(worker.pid)
        fault = audit.joined(
            audit.starts_fault(range(_WARM_UP + tasks), stage.marks.read()),
            await audit.records_fault(stage.caller, [*ids_of(warm_up), *ids_of(volley)]),
        )
    first, last = min(mark.at_ns for mark in marks), max(mark.at_ns for mark in marks)
    values = {
        "enqueued_per_second": tasks / ((volley.ended_ns - volley.began_ns) / 1e9),
        "drained_per_second": (_WARM_UP + tasks) / ((last - first) / 1e9),
        "first_start": (first - started) / 1e9,
        "rss_before": before / _MIB,
        "rss_queued": queued / _MIB,
        "bytes_per_task": (queued - before) / tasks,
        "rss_peak": peak / _MIB,
        "worker_rss_peak": worker_peak / _MIB,
        "tasks": float(tasks),
    }
    return Round(values, fault)


METRICS: Final = (
    Metric("enqueued_per_second", "tasks queued per second, durable", 0),
    Metric("drained_per_second", "tasks run per second, first start to last", 0),
    Metric("first_start", "start of the worker's process to first task, s", 2),
    Metric("rss_before", "server RSS before, MiB", 0, ratio=False),
    Metric("rss_queued", "server RSS with all of them queued, MiB", 0),
    Metric("bytes_per_task", "server memory per queued task, bytes", 0),
    Metric("rss_peak", "server RSS, peak, MiB", 0),
    Metric("worker_rss_peak", "worker RSS, peak, MiB", 0),
    Metric("tasks", "tasks counted", 0, ratio=False),
)

WORKLOAD: Final = Workload(
    "W4",
    lambda sizes: (
        f"backlog: {sizes.backlog:,} no-ops queued, {sizes.batch} a request, before a worker "
        f"with {SLOTS} slots is started"
    ),
    METRICS,
    run,
    quick=False,
)
