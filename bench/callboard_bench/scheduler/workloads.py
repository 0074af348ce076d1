"""All workloads, and the run of those that were chosen."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Final

from callboard_bench.contenders import Contender, ServerFailed
from callboard_bench.rounds import Result, Round, interleave
from callboard_bench.scheduler import (
    backlog,
    changes,
    latency,
    losses,
    progress,
    punctuality,
    throughput,
)
from callboard_bench.scheduler.peers import workloads as peers
from callboard_bench.scheduler.peers.environments import Peer, environments
from callboard_bench.scheduler.stage import callboard
from callboard_bench.scheduler.workload import Sizes, Workload

WORKLOADS: Final = (
    latency.WORKLOAD,
    throughput.SINGLES,
    throughput.BATCHES,
    backlog.WORKLOAD,
    losses.KILLS,
    losses.KILLS_BESIDE_CHILDREN,
    losses.STOPS,
    punctuality.WORKLOAD,
    progress.WORKLOAD,
    changes.CHANGES,
    changes.CANCELS,
)


#: Nobody takes so long who still does something.
_ROUND_SECONDS: Final = 900.0

#: The workloads that peers run as well.
_OF_PEERS: Final = {
    latency.WORKLOAD.key: peers.latency,
    throughput.SINGLES.key: peers.throughput,
    backlog.WORKLOAD.key: peers.backlog,
}


async def run(options: argparse.Namespace) -> list[Result]:
    """Run the workloads that the options choose, one after the other.

    Raises:
        ServerFailed: one could not be run.
    """
    given = {field.name: getattr(options, field.name) for field in fields(Sizes)}
    sizes = Sizes(**given)
    results = []
    async with environments(options.peers, options.redis_fsync) as installed:
        for workload in options.workload:
            print(f"{workload.key}: {workload.title(sizes)}", file=sys.stderr, flush=True)
            contenders = [callboard(), *(installed if workload.key in _OF_PEERS else ())]
            chosen = [one for one in contenders if not options.only or one.name in options.only]
            if not chosen:
                continue
            rounds = await interleave(chosen, options.rounds, partial(_run, workload, sizes))
            results.append(_result(workload, sizes, installed, options.rounds, rounds))
    if not results:
        raise ServerFailed("--only names nobody who runs these workloads; see --peers")
    return results


async def _run(workload: Workload, sizes: Sizes, contender: Contender | Peer) -> Round:
    try:
        async with asyncio.timeout(_ROUND_SECONDS + sizes.cron_seconds):
            if isinstance(contender, Peer):
                return await _OF_PEERS[workload.key](contender, sizes)
            return await workload.run(contender, sizes)
    except TimeoutError:
        raise ServerFailed(
            f"{contender.name} was not done with {workload.key} within {_ROUND_SECONDS:g} s"
        ) from None


def _result(
    workload: Workload,
    sizes: Sizes,
    installed: Sequence[Peer],
    count: int,
    rounds: dict[str, list[Round]],
) -> Result:
    setting = workload.title(sizes)
    for peer in installed:
        if peer.name in rounds:
            setting += (
                f"; {peer.name}: {peer.program.concurrency}, Redis with appendfsync {peer.fsync}"
            )
    options = {**asdict(sizes), "rounds": count}
    return Result(f"scheduler {workload.key}", setting, options, workload.metrics, rounds)
