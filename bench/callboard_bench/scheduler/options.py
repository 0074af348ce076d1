"""The flags of ``callboard bench scheduler``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Final

import click

from callboard_bench.scenario import Flag
from callboard_bench.scheduler.peers.brokers import DURABILITIES
from callboard_bench.scheduler.peers.programs import PROGRAMS
from callboard_bench.scheduler.peers.workloads import WORKLOADS as PEER_WORKLOADS
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.scheduler.workloads import WORKLOADS

_ALL: Final = "all"

_MEANINGS: Final = {
    "samples": "submits of W1",
    "interval_ms": "time between two of them",
    "arrival_seconds": "length of each part of W2",
    "seed": "seed of W2's arrivals",
    "tasks": "tasks of W3 and W3b, and five times those that tell W2 what 100 % are",
    "in_flight": "requests at once in W3",
    "batch": "tasks in a request of W3b and W4",
    "backlog": "tasks queued in W4",
    "kills": "workers killed in W5 and W5f",
    "stops": "workers stopped at once in W5b",
    "peer_kills": "workers of each other one killed in W5",
    "peer_kill_seconds": "how long a task of theirs may take to run again",
    "cron_seconds": "length of W6",
    "reports": "progress reports of W7 and W7b",
    "watchers": "watchers of W7b",
    "changes": "tasks changed in W8",
    "cancels": "tasks cancelled in W9",
    "idle_seconds": "length of W10",
    "idle_workers": "workers of W10",
}


def workload_options() -> list[click.Option]:
    """Return the flags that say what to run, and on whom."""
    names = _listed(workload.key for workload in WORKLOADS)
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
            help=f"Others to run {_listed(PEER_WORKLOADS)}, of {_listed(PROGRAMS)}: installed "
            "from PyPI, and kept in the cache folder. They need redis-server; procrastinate, "
            "PostgreSQL.",
        ),
        Flag(
            ["--durability"],
            type=click.Choice(DURABILITIES),
            default=DURABILITIES[0],
            show_default=True,
            help="What an acknowledged task of the others survives: power cuts, as ours do, the "
            "crash of a process, or nothing.",
        ),
        Flag(["--fresh"], is_flag=True, help="Install the others anew."),
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
            there_are = _listed(workload.key for workload in WORKLOADS)
            raise click.BadParameter(f"no workload {name!r}; there are: {there_are}.")
    return tuple(known[name] for name in names)


def _peers(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if name not in PROGRAMS:
            raise click.BadParameter(f"no peer {name!r}; there are: {_listed(PROGRAMS)}.")
    return names


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
