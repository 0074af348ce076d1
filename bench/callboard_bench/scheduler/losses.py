"""W5: a worker is lost in mid-task, and the task runs on another.

* W5: SIGKILL to its process group.
* W5f: SIGKILL to the process alone; a forked child and a program that it started live on.
* W5b: SIGSTOP to its group: the connection stays open, and only the lease tells.

The body stays for ever at the first try and ends at the second, so a task that succeeded was
started twice and finished once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.marks import Mark, NeverMarked
from callboard_bench.scheduler.stage import Stage, staged
from callboard_bench.scheduler.timings import Timings, latency_metrics
from callboard_bench.scheduler.worker_process import WorkerProcess
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.002
#: How long a silent worker keeps its tasks: the profile of a server of ours.
_LEASE_MS: Final = 10_000
_LATEST: Final = 1.1


async def run_kills(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W5."""
    return await _kill(contender, sizes.kills, "hold", WorkerProcess.kill)


async def run_kills_beside_children(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W5f."""
    return await _kill(contender, sizes.kills, "hold_with_children", WorkerProcess.kill_alone)


async def _kill(
    contender: Contender, count: int, name: str, kill: Callable[[WorkerProcess], None]
) -> Round:
    async with staged(contender) as stage:
        await stage.add_workers(2, slots=1)
        ids: list[str] = []
        submitted: list[int] = []
        restarts = Timings()
        for _ in range(count):
            (held,) = await _hold(stage, name, 1, ids, submitted)
            victim = _worker_of(stage, held)
            then = monotonic_ns()
            kill(victim)
            marks = await stage.marks.wait(2 * len(ids), _START_SECONDS)
            restarts.add(then, marks[-1].at_ns)
            stage.remove_worker(victim)
            await stage.add_workers(1, slots=1)
        fault = await _fault(stage, ids, submitted)
    return Round(
        {**restarts.values("restart"), "unrecovered": 0.0, "losses": float(count)},
        fault,
        curves={"restart": restarts.latencies()},
    )


async def run_stops(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of W5b: all of them are stopped at once, for each takes a lease."""
    count = sizes.stops
    async with staged(contender) as stage:
        await stage.add_workers(count, slots=1)
        ids: list[str] = []
        submitted: list[int] = []
        held = await _hold(stage, "hold", count, ids, submitted)
        victims = [_worker_of(stage, mark) for mark in held]
        await stage.add_workers(count, slots=1)
        stopped = {}
        for mark, victim in zip(held, victims, strict=True):
            victim.signal_group(signal.SIGSTOP)
            stopped[mark.number] = monotonic_ns()
        marks = await stage.marks.wait(2 * count, _START_SECONDS)
        restarts = Timings((stopped[mark.number], mark.at_ns) for mark in marks[count:])
        for victim in victims:
            victim.signal_group(signal.SIGCONT)
        fault = await _fault(stage, ids, submitted)
    values = restarts.values("restart")
    late = values["restart_max"] > _LEASE_MS * _LATEST
    return Round(
        {**values, "unrecovered": 0.0, "losses": float(count)},
        audit.joined(fault, "a task was not elsewhere within the lease + 10 %" if late else None),
        curves={"restart": restarts.latencies()},
    )


async def _hold(
    stage: Stage, name: str, count: int, ids: list[str], submitted: list[int]
) -> Sequence[Mark]:
    """Submit tasks that stay, and return their starts once the scheduler has heard of them."""
    known = len(stage.marks.read())
    for _ in range(count):
        number = monotonic_ns()
        submitted.append(number)
        ids.append(await stage.caller.submit(name, {"number": number}))
    marks = await stage.marks.wait(known + count, _START_SECONDS)
    for task_id in ids[-count:]:
        await _until_running(stage, task_id)
    return marks[known:]


async def _until_running(stage: Stage, task_id: str) -> None:
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        if (await stage.caller.get(f"tasks/{task_id}"))["state"] == "running":
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise NeverMarked(f"task {task_id} was started, and is not known to run")


def _worker_of(stage: Stage, mark: Mark) -> WorkerProcess:
    (found,) = (worker for worker in stage.workers if worker.pid == mark.pid)
    return found


async def _fault(stage: Stage, ids: Sequence[str], submitted: Sequence[int]) -> str | None:
    await stage.until_quiet()
    processes: dict[int, set[int]] = {}
    for mark in stage.marks.read():
        processes.setdefault(mark.number, set()).add(mark.pid)
    again = sum(len(pids) == 1 for pids in processes.values())
    return audit.joined(
        audit.starts_fault(submitted, stage.marks.all, starts=2),
        await audit.records_fault(stage.caller, ids),
        f"{again} started twice on one worker" if again else None,
    )


METRICS: Final = (
    *latency_metrics("restart", "loss to start on another worker"),
    Metric("unrecovered", "tasks that did not run again in time", 0, ratio=False, better="lower"),
    Metric("losses", "losses counted", 0, ratio=False),
)

KILLS: Final = Workload(
    "W5",
    lambda sizes: f"SIGKILL of a worker's process group in mid-task, {sizes.kills} times",
    METRICS,
    run_kills,
)
KILLS_BESIDE_CHILDREN: Final = Workload(
    "W5f",
    lambda sizes: (
        f"SIGKILL of a worker whose forked child and subprocess live on, {sizes.kills} times"
    ),
    METRICS,
    run_kills_beside_children,
)
STOPS: Final = Workload(
    "W5b",
    lambda sizes: (
        f"SIGSTOP of {sizes.stops} workers in mid-task: the lease is {_LEASE_MS / 1000:g} s"
    ),
    METRICS,
    run_stops,
    quick=False,
)
