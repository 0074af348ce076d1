"""The flags that every scenario has: which servers, how many rounds, what is printed.

What a scenario adds to them is :mod:`scenario`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from callboard_bench.conventions import CONTEXT
from callboard_bench.run import Output
from callboard_bench.scenario import Flag
from callboard_bench.targets.loopback import OWNED
from callboard_bench.targets.selection import Choice
from callboard_bench.targets.urls import FORM
from callboard_bench.thresholds import MAX_ERRORS, MAX_LOSS, MAX_P99, Limits

_PORT: Final = click.IntRange(1, 65535)
_LIMITED: Final = {
    MAX_P99: "latency",
    MAX_LOSS: "audit of deliveries",
    MAX_ERRORS: "count of refused requests",
}


def target_options() -> list[click.Option]:
    """Return the flags of :class:`Choice`."""
    return [
        Flag(["--url"], metavar="URL", help=f"A server that runs: {FORM}"),
        Flag(
            ["--server"],
            metavar="COMMAND",
            help="Start a server with this for each round, and end it. It listens where --url "
            "says, or takes {port}, {key}, {secret} and {app_id} from the command.",
        ),
        Flag(
            ["--compare"],
            metavar="NAME[=URL]",
            multiple=True,
            help="Another server, in the same rounds; may be repeated. The first is the reference.",
        ),
        Flag(["--alone"], is_flag=True, help="No other server, not even the floor."),
        Flag(["--ws-host"], metavar="HOST", help="Where WebSockets go, if not to --url."),
        Flag(["--ws-port"], type=_PORT, metavar="PORT", help="Likewise its port."),
        Flag(
            ["--pid", "pids"],
            type=click.IntRange(1),
            metavar="PID",
            multiple=True,
            help="A process of --url's server, where the tool cannot find it.",
        ),
        Flag(["--insecure"], is_flag=True, help="Take any certificate, on loopback only."),
        Flag([OWNED, "owned"], is_flag=True, help="Put load on a server beyond this machine."),
    ]


def run_options(
    rounds: int = 3, *, p99: bool = False, audited: bool = False, requests: bool = False
) -> list[click.Option]:
    """Return the flags of :class:`Output`, and ``--rounds``.

    Args:
        p99, audited, requests: whether there is what the limits are about.
    """
    return [
        Flag(
            ["--rounds"],
            type=click.IntRange(min=1),
            default=rounds,
            show_default=True,
            metavar="N",
            help="Rounds of every server, interleaved.",
        ),
        Flag(["--json"], is_flag=True, help="Print JSON instead of a table."),
        Flag(
            ["--html"],
            type=click.Path(path_type=Path, dir_okay=False, writable=True),
            metavar="PATH",
            callback=writable,
            help="Write a page with curves and timelines as well.",
        ),
        Flag(["--quiet"], is_flag=True, help="Show nothing while it runs."),
        _limit(MAX_P99, "MS", "Exit with 1 if the 99th percentile is above this.", known=p99),
        _limit(MAX_LOSS, "PERCENT", "Allow so much loss; exit with 1 beyond it.", known=audited),
        _limit(
            MAX_ERRORS,
            "PERCENT",
            "Allow so many refused requests; exit with 1 beyond it.",
            known=requests,
        ),
    ]


def writable(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Check that a file can be written there: the callback of a flag."""
    # Told now, for a run may take an hour.
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(path.parent)!r} to write it to.")
    if path is not None and not path.exists() and not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"the folder {str(path.parent)!r} may not be written to.")
    return path


def _limit(flag: str, metavar: str, meaning: str, *, known: bool) -> click.Option:
    def check(
        context: click.Context, parameter: click.Parameter, given: float | None
    ) -> float | None:
        if given is not None and not known:
            raise click.UsageError(
                f"{context.info_name} has no {_LIMITED[flag]} for {flag} to limit: leave it out",
                context,
            )
        return given

    return Flag(
        [flag],
        type=click.FloatRange(min=0, max=100 if metavar == "PERCENT" else None),
        metavar=metavar,
        help=meaning,
        callback=check,
        hidden=not known,
    )


def choice(given: Mapping[str, Any]) -> Choice:
    """Return what was typed about targets."""
    return Choice(**{name: given[name] for name in Choice.__dataclass_fields__})


def output(given: Mapping[str, Any], *, p99: str, command: str) -> Output:
    """Return what was typed about the results."""
    return Output(
        json=given["json"],
        html=given["html"],
        quiet=given["quiet"],
        limits=Limits(given["max_p99"], given["max_loss"], given["max_errors"]),
        p99=p99,
        command=command,
    )


class Sectioned(click.Command):
    """A command whose ``--help`` has its flags under several heads."""

    def __init__(
        self, name: str, sections: Sequence[tuple[str, Sequence[click.Option]]], **rest: Any
    ) -> None:
        params: list[click.Parameter] = [each for _, some in sections for each in some]
        super().__init__(name, params=params, context_settings=CONTEXT, **rest)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for head, options in self._sections:
            records = [each.get_help_record(ctx) for each in options]
            with formatter.section(head):
                formatter.write_dl([record for record in records if record is not None])
