"""What rounds measure: figures, distributions, timelines, and what was wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from callboard_bench.figures import Latencies
from callboard_bench.process import Use
from callboard_bench.repeated_warnings import said_once

#: From here a client process may have been what was measured.
BUSY_SHARE: Final = 0.85
#: Below this share of a core, a closed loop waited for something else than the server.
SATURATED_SHARE: Final = 0.9
#: Below this a server's CPU time, which is counted in steps of 10 ms, is uncertain by 5 % and more.
COARSE_CPU_SECONDS: Final = 0.2
#: Work of strangers on the machine that makes times (not CPU costs) doubtful.
STRANGERS_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the report: the key of its values and how to print them."""

    key: str
    title: str
    digits: int = 1
    #: Whether value over that of the first contender says something.
    ratio: bool = True
    #: Which way is an improvement; empty where neither is.
    better: Literal["lower", "higher", ""] = ""


@dataclass(frozen=True, slots=True)
class Audited:
    """What became of the deliveries that a round had to see, warm-up included."""

    expected: int
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0

    @property
    def lost_percent(self) -> float:
        """The share that never came, 0 where nothing was expected."""
        return 100 * self.lost / self.expected if self.expected else 0.0

    def fault(self, allowed_percent: float = 0.0) -> str | None:
        """Return what went wrong in words; None if all came once, in order, but a share allowed."""
        lost = self.lost if self.lost_percent > allowed_percent else 0
        counts = ((lost, "lost"), (self.duplicated, "duplicated"), (self.reordered, "out of order"))
        parts = [f"{count:,} of {self.expected:,} {word}" for count, word in counts if count]
        return ", ".join(parts) or None


@dataclass(frozen=True, slots=True)
class Requests:
    """What became of the requests that a round has made, warm-up included."""

    asked: int = 0
    refused: int = 0
    #: What the first of the refused was answered with.
    first: str = ""

    def __add__(self, other: Requests) -> Requests:
        first = self.first or other.first
        return Requests(self.asked + other.asked, self.refused + other.refused, first)

    @property
    def refused_percent(self) -> float:
        """The share that was refused, 0 where nothing was asked."""
        return 100 * self.refused / self.asked if self.asked else 0.0

    def fault(self, allowed_percent: float = 0.0) -> str | None:
        """Return in words how many were refused; None if no more than the share allowed."""
        if self.refused_percent <= allowed_percent:
            return None
        return (
            f"{self.refused:,} of {self.asked:,} requests refused ({self.refused_percent:.3g} %), "
            f"the first with {self.first}"
        )


@dataclass(frozen=True, slots=True)
class Timeline:
    """Series over the counted window, one value a step from its beginning; NaN where none was.

    Keys have their unit as the last word, as those of metrics do: ``deliveries_per_second``,
    ``p99_ms``, ``server_cpu_percent``, ``server_rss_mib``.
    """

    step_seconds: float
    series: Mapping[str, Sequence[float]]


@dataclass(slots=True)
class Round:
    """What one contender did in one round.

    ``fault`` is what it did wrong besides the deliveries that ``audit`` counts and the refusals
    among ``requests``, None if nothing: the report puts all into words, and a limit of loss or of
    errors concerns those two alone.
    """

    values: dict[str, float]
    fault: str | None = None
    warnings: list[str] = field(default_factory=list)
    audit: Audited | None = None
    requests: Requests | None = None
    #: Distributions in microseconds, by what was timed.
    curves: dict[str, Latencies] = field(default_factory=dict)
    timeline: Timeline | None = None

    def fault_beyond(
        self, allowed_percent: float = 0.0, allowed_errors_percent: float = 0.0
    ) -> str | None:
        """Return all that went wrong, leaving out those shares of lost deliveries and refusals."""
        audited = self.audit.fault(allowed_percent) if self.audit is not None else None
        refused = None
        if self.requests is not None:
            refused = self.requests.fault(allowed_errors_percent)
        return "; ".join(part for part in (self.fault, refused, audited) if part) or None

    def allowed(self, allowed_percent: float, allowed_errors_percent: float) -> str | None:
        """Return what :meth:`fault_beyond` leaves out of these shares, None if it is nothing."""
        parts = []
        if self.requests is not None and not self.requests.fault(allowed_errors_percent):
            parts.append(self.requests.fault())
        if self.audit is not None and self.audit.lost_percent <= allowed_percent:
            parts.append(Audited(self.audit.expected, self.audit.lost).fault())
        return "; ".join(part for part in parts if part) or None


@dataclass(slots=True)
class Result:
    """A scenario's rounds by contender, the reference first."""

    scenario: str
    setting: str
    options: dict[str, object]
    metrics: Sequence[Metric]
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    #: Whether it was interrupted before all rounds were done.
    partial: bool = False

    @property
    def measured(self) -> bool:
        """Whether anybody has figures in any round."""
        return any(round_.values for rounds in self.rounds.values() for round_ in rounds)

    def faults(
        self, allowed_percent: float = 0.0, allowed_errors_percent: float = 0.0
    ) -> list[str]:
        """Return every fault with the contender and round it happened in."""
        return self._told(lambda each: each.fault_beyond(allowed_percent, allowed_errors_percent))

    def allowed(self, allowed_percent: float, allowed_errors_percent: float) -> list[str]:
        """Return what is no fault for these shares alone, with contender and round."""
        return self._told(lambda each: each.allowed(allowed_percent, allowed_errors_percent))

    def warnings(self) -> list[str]:
        """Return every warning once, with the contender and the rounds it belongs to."""
        return [
            f"{name}, {warning}"
            for name, rounds in self.rounds.items()
            for warning in said_once([round_.warnings for round_ in rounds])
        ]

    def _told(self, said: Callable[[Round], str | None]) -> list[str]:
        return [
            f"{name}, round {number}: {text}"
            for name, rounds in self.rounds.items()
            for number, round_ in enumerate(rounds, 1)
            if (text := said(round_)) is not None
        ]

    def curve_title(self, name: str) -> str:
        """Return what a curve is called: what the metric of its 99th percentile says it is of."""
        for metric in self.metrics:
            if metric.key in (f"{name}_p99_ms", f"{name}_p99"):
                return metric.title.partition(" p99")[0].strip(" ,")
        return name.replace("_", " ")

    def values(self, name: str, key: str) -> list[float]:
        """Return a contender's figure round by round, NaN where it has none."""
        return [round_.values.get(key, math.nan) for round_ in self.rounds[name]]


class Watch(Protocol):
    """Who looks on while a round runs. All of it is for the eye; nothing is measured with it."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a part of the round ("connecting"), of so many things if that is known."""

    def count(self, done: int) -> None:
        """Say how many of the phase's things are done."""

    def sample(self, name: str, value: float) -> None:
        """Give the newest value of a figure that :class:`Timeline` names."""


class Unwatched:
    """A :class:`Watch` that nobody looks through."""

    def phase(self, name: str, total: int | None = None) -> None: ...

    def count(self, done: int) -> None: ...

    def sample(self, name: str, value: float) -> None: ...


def shares(use: Use) -> dict[str, float]:
    """Return the share of a core each part of the run kept busy, in percent, for the report."""
    return {
        "server_core_percent": use.server_share * 100,
        "generator_core_percent": use.generator_share * 100,
        "publisher_core_percent": use.publisher_share * 100,
    }


SHARES: Final = (
    Metric("server_core_percent", "server's share of a core, %", 0, ratio=False),
    Metric("generator_core_percent", "busiest generator's share, %", 0, ratio=False),
    Metric("publisher_core_percent", "publisher's and probe's share, %", 0, ratio=False),
)


def doubts(use: Use) -> list[str]:
    """Return why a window may have measured something else than the server."""
    found = []
    for name, share in (
        ("the generator", use.generator_share),
        ("the publisher and probe", use.publisher_share),
    ):
        if share > BUSY_SHARE:
            found.append(f"{name} kept {share:.0%} of a core busy and may have been the limit")
    if use.server.total < COARSE_CPU_SECONDS:
        found.append(
            f"the server used {use.server.total:.2f} s of CPU, which is counted in steps of "
            "0.01 s: longer --seconds or more load make its figures surer"
        )
    if use.others_share > STRANGERS_SHARE:
        found.append(f"other processes kept {use.others_share:.2f} cores busy meanwhile")
    return found


def unsaturated(use: Use, advice: str) -> list[str]:
    """Return, for a closed loop, that it was not the server which set its pace.

    Args:
        advice: which flags make more of the load.
    """
    if use.server_share < SATURATED_SHARE:
        share = f"{use.server_share:.0%}"
        return [f"the server was busy for {share} of the time only: {advice}"]
    return []
