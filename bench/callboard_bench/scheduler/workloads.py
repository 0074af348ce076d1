"""All workloads, and the run of those that were chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from callboard_bench.rounds import Result, Round
from callboard_bench.run import Run
from callboard_bench.scheduler import (
    arrivals,
    backlog,
    changes,
    idle,
    latency,
    losses,
    progress,
    punctuality,
    throughput,
)
from callboard_bench.scheduler.peers import workloads as peers
from callboard_bench.scheduler.peers.environments import Peer, environments
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.server_process import ServerFailed
from callboard_bench.targets.started import callboard
from callboard_bench.targets.target import Contender

WORKLOADS: Final = (
    latency.WORKLOAD,
    arrivals.WORKLOAD,
    throughput.SINGLES,
    throughput.BATCHES,
    backlog.WORKLOAD,
    losses.KILLS,
    losses.KILLS_BESIDE_CHILDREN,
    losses.STOPS,
    punctuality.WORKLOAD,
    progress.WORKLOAD,
    progress.WATCHED_BY_MANY,
    changes.CHANGES,
    changes.CANCELS,
    idle.WORKLOAD,
)

#: What tasks of ours are in, as it is said of those of peers.
_OURS: Final = "SQLite with synchronous=FULL: callboard"

#: Nobody takes so long who still does something.
_ROUND_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, and on whom besides a server of ours."""

    workloads: Sequence[Workload]
    sizes: Sizes
    rounds: int
    peers: Sequence[str]
    durability: str
    #: Whether peers are installed anew.
    fresh: bool = False


async def run(order: Order, under_way: Run) -> None:
    """Run the workloads, one after the other, each with its rounds interleaved.

    Raises:
        ServerFailed: a peer could not be installed.
    """
    installed = await environments(order.peers, order.durability, fresh=order.fresh)
    for workload in order.workloads:
        contenders = [*(installed if workload.key in peers.WORKLOADS else ()), callboard()]
        await under_way.rounds(
            _result(workload, order, installed),
            contenders,
            order.rounds,
            partial(_run, workload, order.sizes),
        )


async def _run(workload: Workload, sizes: Sizes, contender: Contender | Peer) -> Round:
    try:
        async with asyncio.timeout(_ROUND_SECONDS + sizes.cron_seconds):
            if isinstance(contender, Peer):
                return await peers.WORKLOADS[workload.key](contender, sizes)
            return await workload.run(contender, sizes)
    except TimeoutError:
        raise ServerFailed(
            f"{contender.name} was not done with {workload.key} within {_ROUND_SECONDS:g} s"
        ) from None


def _result(workload: Workload, order: Order, installed: Sequence[Peer]) -> Result:
    setting = workload.title(order.sizes)
    if installed and workload.key in peers.WORKLOADS:
        setting += f"; {_OURS}; {_in_words(installed, recovery=workload.key == losses.KILLS.key)}"
    options = {**asdict(order.sizes), "rounds": order.rounds}
    return Result(f"scheduler {workload.key}", setting, options, workload.metrics)


def _in_words(installed: Sequence[Peer], *, recovery: bool) -> str:
    """Return what the peers are, by what they keep their tasks in."""
    groups: dict[str, list[str]] = {}
    for peer in installed:
        program = peer.program
        facts = f"{program.concurrency}, {program.recovery}" if recovery else program.concurrency
        groups.setdefault(peer.kept_in, []).append(f"{peer.name} {peer.version} ({facts})")
    return "; ".join(f"{kept_in}: {', '.join(names)}" for kept_in, names in groups.items())
