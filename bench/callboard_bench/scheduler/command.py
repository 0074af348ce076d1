"""``callboard bench scheduler``: the workloads of tasks, on a server of ours and on others."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any

import click

from callboard_bench.command import BenchCommand, repeatable
from callboard_bench.conventions import EPILOG
from callboard_bench.options import output, run_options
from callboard_bench.run import run
from callboard_bench.scheduler import workloads
from callboard_bench.scheduler.options import size_options, workload_options
from callboard_bench.scheduler.workload import Sizes
from callboard_bench.scheduler.workloads import Order

_HELP = """Tasks: latency, throughput, backlog, lost workers, punctuality, changes.

`callboard serve` with a data directory of its own, workers and clients, all started for a round.
"""


@click.pass_context
def _scheduler(context: click.Context, /, **given: Any) -> None:
    order = Order(
        given["workloads"],
        Sizes(**{field.name: given[field.name] for field in fields(Sizes)}),
        given["rounds"],
        given["peers"],
        given["durability"],
        given["fresh"],
    )
    command = repeatable(context)
    told = replace(output(given, p99="", command=command), array=True)
    context.exit(run(partial(workloads.run, order), told))


COMMAND = BenchCommand(
    "scheduler",
    callback=_scheduler,
    help=_HELP,
    epilog=EPILOG,
    sections=[
        ("What", workload_options()),
        ("How much", size_options()),
        ("Run", run_options(1)),
    ],
)
