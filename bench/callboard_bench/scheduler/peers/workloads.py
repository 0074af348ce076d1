"""W1, W3, W4 and W5 of a peer: the same tasks, probe and audit of starts as ours.

What the audit finds is told as a warning: it is the peer's, and no fault of the run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Round
from callboard_bench.scheduler import audit, backlog, latency, losses, throughput
from callboard_bench.scheduler.marks import Mark, NeverMarked
from callboard_bench.scheduler.peers.environments import Peer
from callboard_bench.scheduler.peers.programs.program import REDIS
from callboard_bench.scheduler.peers.stage import PeerStage, PeerWorker, staged
from callboard_bench.scheduler.peers.trees import cpu_seconds, memory_bytes, peak_bytes
from callboard_bench.scheduler.timings import Timings
from callboard_bench.scheduler.workload import Sizes
from callboard_bench.targets.server_process import ServerFailed

_WARM_UP: Final = 100
_START_SECONDS: Final = 60.0
#: With nothing started for this long, what is missing will not be.
_QUIET_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 0.5
#: Enough for two workers to get some each, and few enough to be gone at once.
_PORTION: Final = 20
_PORTIONS: Final = 100
_POLL_SECONDS: Final = 0.01
_MIB: Final = 2**20


async def run_latency(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W1."""
    async with staged(peer) as stage:
        stage.start_worker()
        await _warm_up(stage)
        submitted = await stage.paced(sizes.samples, sizes.interval_ms / 1000)
        marks = await _all_started(stage, _WARM_UP + sizes.samples)
        fault = audit.starts_fault([*range(_WARM_UP), *submitted], marks)
    started = Timings((mark.number, mark.at_ns) for mark in marks if mark.number >= _WARM_UP)
    return Round(
        {**started.values("start"), "samples": float(len(started))},
        warnings=_warnings(fault),
        curves={"start": started.latencies()},
    )


async def run_throughput(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W3."""
    tasks = sizes.tasks
    async with staged(peer) as stage:
        worker = stage.start_worker().pid
        await _warm_up(stage)
        pids = (stage.broker.pid, worker)
        before = [cpu_seconds(pid) for pid in pids]
        began, ended = await stage.burst(_WARM_UP, tasks)
        marks = await _all_started(stage, _WARM_UP + tasks)
        await asyncio.sleep(_SETTLE_SECONDS)
        kept, ran = (cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True))
        fault = audit.starts_fault(range(_WARM_UP + tasks), marks)
        values = {
            "server_rss": memory_bytes(stage.broker.pid) / _MIB,
            "worker_rss": memory_bytes(worker) / _MIB,
        }
    last = max(mark.at_ns for mark in marks)
    values |= {
        "tasks_per_second": (len(marks) - _WARM_UP) / ((last - began) / 1e9),
        "submits_per_second": tasks / ((ended - began) / 1e9),
        "server_cpu": kept * 1000 / tasks,
        "worker_cpu": ran * 1000 / tasks,
        "tasks": float(tasks),
    }
    return Round(values, warnings=_warnings(fault))


async def run_backlog(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W4."""
    tasks, in_memory = sizes.backlog, peer.program.broker == REDIS
    async with staged(peer) as stage:
        await stage.burst(0, _WARM_UP)
        before = memory_bytes(stage.broker.pid)
        began, ended = await stage.burst(_WARM_UP, tasks)
        await asyncio.sleep(_SETTLE_SECONDS)
        queued = memory_bytes(stage.broker.pid)
        started = monotonic_ns()
        worker = stage.start_worker().pid
        marks = await _all_started(stage, _WARM_UP + tasks)
        if not marks:
            raise ServerFailed(f"the worker of {peer.name} ran nothing; it said: {stage.said()}")
        fault = audit.starts_fault(range(_WARM_UP + tasks), marks)
        values = {
            "rss_peak": _mib(peak_bytes(stage.broker.pid)),
            "worker_rss_peak": _mib(peak_bytes(worker)),
        }
    first, last = min(mark.at_ns for mark in marks), max(mark.at_ns for mark in marks)
    values |= {
        "enqueued_per_second": tasks / ((ended - began) / 1e9),
        "drained_per_second": len(marks) / ((last - first) / 1e9),
        "first_start": (first - started) / 1e9,
        "rss_before": before / _MIB,
        "rss_queued": queued / _MIB,
        # PostgreSQL has them on the disk.
        "bytes_per_task": (queued - before) / tasks if in_memory else math.nan,
        "tasks": float(tasks),
    }
    return Round(values, warnings=_warnings(fault))


async def run_kills(peer: Peer, sizes: Sizes) -> Round:
    """Run one round of W5: what has not run again within the limit is counted, and no time."""
    restarts = Timings()
    async with staged(peer) as stage:
        stage.start_worker()
        submitted = 0
        for _ in range(sizes.peer_kills):
            stage.start_worker()
            submitted += await _until_each_ran(stage, submitted)
            number = monotonic_ns()
            await stage.hold(number)
            victim = await _holder(stage, number)
            then = monotonic_ns()
            stage.kill_worker(victim)
            again = await _starts(stage, number, 2, sizes.peer_kill_seconds)
            if again is not None:
                restarts.add(then, again[1])
    missed = sizes.peer_kills - len(restarts)
    warnings = []
    if missed:
        warnings.append(
            f"{missed} of {sizes.peer_kills} tasks did not run again within "
            f"{sizes.peer_kill_seconds} s"
        )
    return Round(
        {
            **restarts.values("restart"),
            "unrecovered": float(missed),
            "losses": float(sizes.peer_kills),
        },
        warnings=warnings,
        curves={"restart": restarts.latencies()} if restarts else {},
    )


#: The workloads that peers run as well.
WORKLOADS: Final[dict[str, Callable[[Peer, Sizes], Awaitable[Round]]]] = {
    latency.WORKLOAD.key: run_latency,
    throughput.SINGLES.key: run_throughput,
    backlog.WORKLOAD.key: run_backlog,
    losses.KILLS.key: run_kills,
}


async def _warm_up(stage: PeerStage) -> None:
    await stage.burst(0, _WARM_UP)
    try:
        await stage.marks.wait(_WARM_UP, _START_SECONDS)
    except NeverMarked as error:
        raise ServerFailed(f"{error}; the worker said: {stage.said()}") from None


async def _all_started(stage: PeerStage, count: int) -> list[Mark]:
    """Return all marks once so many tasks have one, or none has come for a while."""
    twice = 0
    while True:
        marks = await stage.marks.settle(count + twice, _QUIET_SECONDS)
        # One that was started twice is not another one.
        more = len(marks) - len({mark.number for mark in marks}) - twice
        if not more or len(marks) < count + twice:
            return marks
        twice += more


async def _until_each_ran(stage: PeerStage, first: int) -> int:
    """Submit, from a number on, until every worker has run something; return how many."""
    for portion in range(1, _PORTIONS + 1):
        seen = len(stage.marks.read())
        await stage.burst(first + (portion - 1) * _PORTION, _PORTION)
        await stage.marks.settle(seen + _PORTION, _SETTLE_SECONDS)
        if {mark.pid for mark in stage.marks.all} >= stage.workers.keys():
            return portion * _PORTION
    raise ServerFailed(f"a worker of two ran nothing; they said: {stage.said()}")


async def _holder(stage: PeerStage, number: int) -> PeerWorker:
    """Return the worker that holds a task."""
    if await _starts(stage, number, 1, _START_SECONDS) is None:
        raise ServerFailed(f"the task that stays did not start; the workers said: {stage.said()}")
    (held,) = (mark for mark in stage.marks.all if mark.number == number)
    return stage.workers[held.pid]


async def _starts(
    stage: PeerStage, number: int, count: int, timeout_seconds: float
) -> list[int] | None:
    """Return when a task was started, once that was so often; None if that takes too long."""
    for _ in range(int(timeout_seconds / _POLL_SECONDS)):
        found = [mark.at_ns for mark in stage.marks.read() if mark.number == number]
        if len(found) >= count:
            return found
        await asyncio.sleep(_POLL_SECONDS)
    return None


def _mib(size: int | None) -> float:
    return math.nan if size is None else size / _MIB


def _warnings(fault: str | None) -> list[str]:
    return [] if fault is None else [f"of the tasks that it acknowledged {fault}"]
