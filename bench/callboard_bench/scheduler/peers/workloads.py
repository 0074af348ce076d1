"""W1, W3 and W4 of a peer: the same tasks, probe and audit of starts as ours.

What the audit finds is told as a warning: it is the peer's, and no fault of the run.
"""

from __future__ import annotations

import asyncio
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.process import cpu_of, peak_rss_of, rss_of
from callboard_bench.rounds import Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.peers.environments import Peer
from callboard_bench.scheduler.peers.stage import staged
from callboard_bench.scheduler.timings import Timings
from callboard_bench.scheduler.workload import Sizes

_WARM_UP: Final = 100
_START_SECONDS: Final = 60.0
#: With nothing started for this long, what is missing will not be.
_QUIET_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 0.5
_MIB: Final = 2**20


async def latency(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W1."""
    async with staged(peer) as stage:
        stage.start_worker()
        await stage.burst(0, _WARM_UP)
        await stage.marks.wait(_WARM_UP, _START_SECONDS)
        submitted = await stage.paced(sizes.samples, sizes.interval_ms / 1000)
        marks = await stage.marks.settle(_WARM_UP + sizes.samples, _QUIET_SECONDS)
        fault = audit.starts_fault([*range(_WARM_UP), *submitted], marks)
    started = Timings((mark.number, mark.at_ns) for mark in marks if mark.number >= _WARM_UP)
    return Round(
        {**started.values("start"), "samples": float(len(started))}, None, _warnings(fault)
    )


async def throughput(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W3."""
    tasks = sizes.tasks
    async with staged(peer) as stage:
        worker = stage.start_worker()
        await stage.burst(0, _WARM_UP)
        await stage.marks.wait(_WARM_UP, _START_SECONDS)
        pids = (stage.redis_pid, worker)
        before = [cpu_of(pid).total for pid in pids]
        began, ended = await stage.burst(_WARM_UP, tasks)
        marks = await stage.marks.settle(_WARM_UP + tasks, _QUIET_SECONDS)
        await asyncio.sleep(_SETTLE_SECONDS)
        redis, ran = (cpu_of(pid).total - then for pid, then in zip(pids, before, strict=True))
        fault = audit.starts_fault(range(_WARM_UP + tasks), marks)
        values = {
            "server_rss": rss_of(stage.redis_pid) / _MIB,
            "worker_rss": rss_of(worker) / _MIB,
        }
    last = max(mark.at_ns for mark in marks)
    values |= {
        "tasks_per_second": (len(marks) - _WARM_UP) / ((last - began) / 1e9),
        "submits_per_second": tasks / ((ended - began) / 1e9),
        "server_cpu": redis * 1000 / tasks,
        "worker_cpu": ran * 1000 / tasks,
        "tasks": float(tasks),
    }
    return Round(values, None, _warnings(fault))


async def backlog(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W4."""
    tasks = sizes.backlog
    async with staged(peer) as stage:
        await stage.burst(0, _WARM_UP)
        before = rss_of(stage.redis_pid)
        began, ended = await stage.burst(_WARM_UP, tasks)
        await asyncio.sleep(_SETTLE_SECONDS)
        queued = rss_of(stage.redis_pid)
        started = monotonic_ns()
        worker = stage.start_worker()
        marks = await stage.marks.settle(_WARM_UP + tasks, _QUIET_SECONDS)
        fault = audit.starts_fault(range(_WARM_UP + tasks), marks)
        values = {
            "rss_peak": peak_rss_of(stage.redis_pid) / _MIB,
            "worker_rss_peak": peak_rss_of(worker) / _MIB,
        }
    first, last = min(mark.at_ns for mark in marks), max(mark.at_ns for mark in marks)
    values |= {
        "enqueued_per_second": tasks / ((ended - began) / 1e9),
        "drained_per_second": len(marks) / ((last - first) / 1e9),
        "first_start": (first - started) / 1e9,
        "rss_before": before / _MIB,
        "rss_queued": queued / _MIB,
        "bytes_per_task": (queued - before) / tasks,
        "tasks": float(tasks),
    }
    return Round(values, None, _warnings(fault))


def _warnings(fault: str | None) -> list[str]:
    return [] if fault is None else [f"of the tasks that it acknowledged {fault}"]
