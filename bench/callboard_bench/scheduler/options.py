"""The flags of ``callboard bench scheduler``."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import click

from callboard_bench.scenario import Flag
from callboard_bench.scheduler.peers.programs import PROGRAMS
from callboard_bench.scheduler.peers.redis_server import FSYNCS
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.scheduler.workloads import WORKLOADS

_ALL: Final = "all"

_MEANINGS: Final = {
    "samples": "submits of W1",
    "interval_ms": "time between two of them",
    "tasks": "tasks of W3 and W3b",
    "in_flight": "requests at once in W3",
    "batch": "tasks in a request of W3b and W4",
    "backlog": "tasks queued in W4",
    "kills": "workers killed in W5 and W5f",
    "stops": "workers stopped at once in W5b",
    "cron_seconds": "length of W6",
    "reports": "progress reports of W7",
    "changes": "tasks changed in W8",
    "cancels": "tasks cancelled in W9",
}


def workload_options() -> list[click.Option]:
    """Return the flags that say what to run, and on whom."""
    names = ", ".join(workload.key for workload in WORKLOADS)
    quick = [workload.key for workload in WORKLOADS if workload.quick]
    return [
        Flag(
            ["--workload", "workloads"],
            default=",".join(quick),
            metavar="W1,W3",
            callback=_workloads,
            help=f"Which, of {names}, or {_ALL}; by default those that take seconds.",
        ),
        Flag(
            ["--compare", "peers"],
            default="",
            metavar="NAMES",
            callback=_peers,
            help=f"Others to run W1, W3 and W4, of {', '.join(PROGRAMS)}: installed from PyPI "
            "for the run; they need redis-server.",
        ),
        Flag(
            ["--redis-fsync"],
            type=click.Choice(FSYNCS),
            default=FSYNCS[0],
            show_default=True,
            help="How the Redis of others keeps what it is given: always is on the disk before "
            "it is acknowledged, as here.",
        ),
    ]


def size_options() -> list[click.Option]:
    """Return a flag for each field of :class:`Sizes`."""
    return [
        Flag(
            [f"--{field.name.replace('_', '-')}"],
            type=click.IntRange(min=1) if isinstance(field.default, int) else click.FloatRange(1),
            default=field.default,
            show_default=True,
            metavar="N",
            help=f"{_MEANINGS[field.name][0].upper()}{_MEANINGS[field.name][1:]}.",
        )
        for field in fields(Sizes)
    ]


def _workloads(
    context: click.Context, parameter: click.Parameter, text: str
) -> tuple[Workload, ...]:
    if text == _ALL:
        return WORKLOADS
    known = {workload.key.lower(): workload for workload in WORKLOADS}
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in known:
            there_are = ", ".join(workload.key for workload in WORKLOADS)
            raise click.BadParameter(f"no workload {name!r}; there are: {there_are}.")
    return tuple(known[name] for name in names)


def _peers(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if name not in PROGRAMS:
            raise click.BadParameter(f"no peer {name!r}; there are: {', '.join(PROGRAMS)}.")
    return names
