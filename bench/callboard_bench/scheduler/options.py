"""The options of ``python -m callboard_bench scheduler``."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Final

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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to the scenario's parser."""
    names = ", ".join(workload.key for workload in WORKLOADS)
    quick = tuple(workload for workload in WORKLOADS if workload.quick)
    parser.add_argument(
        "--workload",
        type=chosen,
        default=quick,
        metavar="W1,W3",
        help=f"which, of {names}; '{_ALL}' for all of them (default: those that take seconds, "
        f"{', '.join(workload.key for workload in quick)})",
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default=(),
        metavar="NAMES",
        help=f"run W1, W3 and W4 on these too, of {', '.join(PROGRAMS)}: each is installed from "
        "PyPI into an environment for the run; needs redis-server",
    )
    parser.add_argument(
        "--redis-fsync",
        choices=FSYNCS,
        default=FSYNCS[0],
        help="how the Redis of peers keeps what it is given (default always: on the disk before "
        "it is acknowledged, as Callboard does)",
    )
    for field in fields(Sizes):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help=f"{_MEANINGS[field.name]} (default {field.default:g})",
        )


def chosen(text: str) -> tuple[Workload, ...]:
    """Return the workloads that ``--workload`` names.

    Raises:
        argparse.ArgumentTypeError: there is none of that name.
    """
    if text == _ALL:
        return WORKLOADS
    known = {workload.key.lower(): workload for workload in WORKLOADS}
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in known:
            there_are = ", ".join(workload.key for workload in WORKLOADS)
            raise argparse.ArgumentTypeError(f"no workload {name!r}; there are: {there_are}")
    return tuple(known[name] for name in names)


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if name not in PROGRAMS:
            there_are = ", ".join(PROGRAMS)
            raise argparse.ArgumentTypeError(f"no peer {name!r}; there are: {there_are}")
    return names
