"""The options of the command line: one subcommand per scenario."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Final

from callboard_bench.process import raise_open_files_limit
from callboard_bench.scheduler import options as scheduler_options
from callboard_bench.scheduler.workload import Sizes
from callboard_bench.stamps import smallest_message_bytes

_OPEN_FILES_RESERVE: Final = 200
_MOST_OF: Final = {"rate": 10_000, "seconds": 60}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line, or leave with status 2 and say what was expected.

    ``None`` stands for the arguments of this process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    counts = ("rounds", "subscribers", "connections", "generators", "distinct")
    for name in (*counts, *(field.name for field in fields(Sizes))):
        if not getattr(options, name, 1) >= 1:
            flag = name.replace("_", "-")
            parser.error(f"--{flag} is a number from 1, not {getattr(options, name)}")
    for name in ("rate", "seconds"):
        if not 0 < getattr(options, name, 1) <= _MOST_OF[name]:
            parser.error(f"--{name} lies above 0 and up to {_MOST_OF[name]}")
    needed = _OPEN_FILES_RESERVE + max(
        getattr(options, "subscribers", 0), getattr(options, "connections", 0)
    )
    limit = raise_open_files_limit()
    if needed > limit:
        parser.error(
            f"a process may open {limit} files and this needs {needed}; ask for fewer "
            "connections, or raise the hard limit with `ulimit -Hn`"
        )
    smallest = smallest_message_bytes("bench-nobody")
    if getattr(options, "message_bytes", smallest) < smallest:
        parser.error(f"--message-bytes is at least {smallest}: the stamp needs room")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m callboard_bench",
        description="Measure `callboard serve` next to the floor: the least a server can do, "
        "with the same load, in the same run. Servers are started on loopback and stopped.",
        epilog="Exit status: 0 measured, 1 a fault (loss, order, a refused request), 2 usage, "
        "130 interrupted.",
    )
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")

    fanout = _scenario(
        scenarios, "fanout", "1 publisher, many subscribers: CPU per delivery, latency, loop lag"
    )
    _broadcast_options(fanout, subscribers=1000, rate=20.0)
    saturation = _scenario(
        scenarios, "saturation", "more than can be delivered: deliveries per second, loop lag"
    )
    _broadcast_options(saturation, subscribers=8000, rate=50.0)

    triggers = _scenario(scenarios, "trigger", "signed POST /events per second on one core")
    _number(triggers, "--connections", int, 32, "kept-alive connections")
    _number(triggers, "--distinct", int, 2000, "different pre-signed requests")
    _message_options(triggers)

    memory = _scenario(scenarios, "idle", "server memory per idle connection")
    _number(memory, "--connections", int, 8000, "WebSocket connections, one channel each")
    memory.add_argument(
        "--shared-channel",
        action="store_true",
        help="subscribe all to one channel instead of each to its own",
    )

    tasks = _scenario(
        scenarios,
        "scheduler",
        "tasks: latency, throughput, backlog, lost workers, punctuality, progress, changes",
        rounds=1,
        servers="callboard, huey, saq",
    )
    scheduler_options.add_options(tasks)
    return parser


def _scenario(
    scenarios: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    *,
    rounds: int = 3,
    servers: str = "floor, callboard, uvicorn",
) -> argparse.ArgumentParser:
    parser = scenarios.add_parser(name, help=purpose, description=purpose)
    _number(parser, "--rounds", int, rounds, "rounds of every server, interleaved")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"measure this server only ({servers}); may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _broadcast_options(parser: argparse.ArgumentParser, *, subscribers: int, rate: float) -> None:
    _number(parser, "--subscribers", int, subscribers, "WebSocket connections on the channel")
    _number(parser, "--rate", float, rate, "publishes per second")
    _number(parser, "--generators", int, 1, "client processes to share the subscribers")
    _message_options(parser)


def _message_options(parser: argparse.ArgumentParser) -> None:
    _number(parser, "--message-bytes", int, 220, "size of one WebSocket message")
    _number(parser, "--seconds", float, 5.0, "length of the counted window")


def _number(
    parser: argparse.ArgumentParser, flag: str, kind: type, default: float, meaning: str
) -> None:
    parser.add_argument(
        flag, type=kind, default=default, metavar="N", help=f"{meaning} (default {default:g})"
    )
