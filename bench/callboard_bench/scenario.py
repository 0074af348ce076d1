"""What a scenario is: its name, its load and the flags for it, what it reports, how a round runs.

A scenario's module holds one :class:`Scenario`, and :mod:`cli` names the module. The flags are
plain :class:`click.Option` objects; each fills the field of the load that has its name. What the
flags of all scenarios are (targets, rounds, output, thresholds) is :mod:`options`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import click
from click.types import OptionHelpExtra

from callboard_bench.rounds import Metric, Round, Watch
from callboard_bench.targets.started import FLOOR
from callboard_bench.targets.target import Target

#: How often something happens where it happens as often as the server lets it.
MAX: Final = "max"

_MOST_PER_SECOND: Final = 1_000_000
_MOST_SECONDS: Final = 600
_MOST_GENERATORS: Final = 64


class Load(Protocol):
    """How much a scenario offers: a frozen dataclass whose fields are the scenario's flags."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def setting(self) -> str:
        """Return it in one line, for the head of the table."""

    def open_files(self) -> int:
        """Return how many connections one process holds at most, the server's included."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that a server can do, as a program of the bench."""

    #: The arguments of ``python``; the program takes ``--ports-file PATH`` besides, and finds the
    #: app's secret in ``BENCH_FLOOR_SECRET``.
    arguments: tuple[str, ...]
    name: str = FLOOR
    #: A module that it needs and that is not among our dependencies.
    needs: str = ""


LoadType = TypeVar("LoadType", bound=Load)


@dataclass(frozen=True, slots=True)
class Scenario(Generic[LoadType]):
    """One scenario, as the command line knows it."""

    name: str
    #: Paragraphs of ``--help`` after the summary that :mod:`cli` has.
    about: str
    #: Made from the flags; raises ValueError, which says what to type, when they do not fit.
    load: type[LoadType]
    options: Sequence[click.Option]
    metrics: Callable[[LoadType], Sequence[Metric]]
    run: Callable[[Target, LoadType, Watch], Awaitable[Round]]
    #: The first is measured next to a server of ours unless told otherwise.
    floors: tuple[Floor, ...] = ()
    #: The value that ``--max-p99`` limits, in milliseconds; empty without latencies.
    p99: str = ""
    #: Whether rounds have an audit, which ``--max-loss`` needs.
    audited: bool = False
    #: Whether rounds count refused requests, which ``--max-errors`` needs.
    requests: bool = False


class Flag(click.Option):
    """An option whose ``--help`` does without the range: an error says it when it matters."""

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


def count(flag: str, default: int, meaning: str, *, least: int = 1) -> Flag:
    """Return a flag for a whole number from ``least``."""
    return Flag(
        [flag],
        type=click.IntRange(min=least),
        default=default,
        show_default=True,
        metavar="N",
        help=meaning,
    )


def seconds(flag: str, default: float, meaning: str, *, least: float = 0.0) -> Flag:
    """Return a flag for a length of time, above ``least``."""
    return Flag(
        [flag],
        type=click.FloatRange(min=least, max=_MOST_SECONDS, min_open=True),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help=meaning,
    )


def rate(flag: str, default: int | str, meaning: str, *, unbounded: bool = False) -> Flag:
    """Return a flag for how often a second something happens; its value is a float.

    With ``unbounded`` it may be ``max``, which is ``math.inf``.
    """
    return Flag(
        [flag],
        callback=_rate(unbounded),
        default=str(default),
        show_default=True,
        metavar="N|max" if unbounded else "N",
        help=meaning,
    )


def window(seconds_default: float = 5.0) -> tuple[Flag, Flag]:
    """Return ``--seconds`` and ``--warm-up``, the fields ``seconds`` and ``warm_up``."""
    return (
        seconds("--seconds", seconds_default, "Length of the counted window."),
        Flag(
            ["--warm-up"],
            type=click.FloatRange(min=0, max=_MOST_SECONDS),
            default=1.0,
            show_default=True,
            metavar="SECONDS",
            help="The same load before it, not counted.",
        ),
    )


def generators() -> Flag:
    """Return ``--generators``; its value is never 0."""

    def number(context: click.Context, parameter: click.Parameter, given: int) -> int:
        return given or max(1, (os.cpu_count() or 1) - 1)

    return Flag(
        ["--generators"],
        type=click.IntRange(min=0, max=_MOST_GENERATORS),
        default=1,
        show_default=True,
        metavar="N",
        callback=number,
        help="Client processes that share the load; 0: one per spare core.",
    )


def message_bytes(default: int = 220) -> Flag:
    """Return ``--message-bytes``."""
    return count("--message-bytes", default, "Size of one WebSocket message.")


def switch(flag: str, meaning: str) -> Flag:
    """Return a flag without a value."""
    return Flag([flag], is_flag=True, help=meaning)


def choice(flag: str, choices: Sequence[str], meaning: str) -> Flag:
    """Return a flag for one of a few words; the first is the default."""
    return Flag(
        [flag],
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        metavar=flag.removeprefix("--").upper(),
        help=f"{meaning.removesuffix('.')}: {', '.join(choices)}.",
    )


def often(per_second: float) -> str:
    """Return how often a second in digits, such as 1,000,000 or 0.5."""
    return f"{per_second:,.9g}"


def _rate(unbounded: bool) -> Callable[[click.Context, click.Parameter, str], float]:
    def parse(context: click.Context, parameter: click.Parameter, text: str) -> float:
        if unbounded and text == MAX:
            return math.inf
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number <= _MOST_PER_SECOND:
            words = f", or {MAX!r} for as often as it goes" if unbounded else ""
            raise click.BadParameter(
                f"{text!r} is not a number above 0 and up to {_MOST_PER_SECOND:,}{words}.",
                context,
                parameter,
            )
        return number

    return parse
