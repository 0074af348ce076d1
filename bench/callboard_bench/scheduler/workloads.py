"""All workloads, and the run of those that were chosen."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, fields
from functools import partial
from typing import Final

from callboard_bench.contenders import Contender
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


async def run(options: argparse.Namespace) -> list[Result]:
    """Run the workloads that the options choose, one after the other."""
    given = {field.name: getattr(options, field.name) for field in fields(Sizes)}
    sizes = Sizes(**given)
    results = []
    for workload in options.workload:
        print(f"{workload.key}: {workload.title(sizes)}", file=sys.stderr, flush=True)
        rounds = await interleave([callboard()], options.rounds, partial(_run, workload, sizes))
        result = Result(
            f"scheduler {workload.key}",
            workload.title(sizes),
            {**asdict(sizes), "rounds": options.rounds},
            workload.metrics,
            rounds,
        )
        results.append(result)
    return results


async def _run(workload: Workload, sizes: Sizes, contender: Contender) -> Round:
    return await workload.run(contender, sizes)
