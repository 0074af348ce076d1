"""Rounds of several contenders, interleaved, and what they measured."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from callboard_bench.process import Use

#: From here a client process may have been what was measured.
BUSY_SHARE: Final = 0.85
#: Work of strangers on the machine that makes times (not CPU costs) doubtful.
STRANGERS_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the report: the key of its values and how to print them."""

    key: str
    title: str
    digits: int = 1
    #: Whether value over floor says something.
    ratio: bool = True


@dataclass(slots=True)
class Round:
    """What one contender did in one round; ``fault`` is None if it did nothing wrong."""

    values: dict[str, float]
    fault: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """A scenario's rounds by contender, the reference first."""

    scenario: str
    setting: str
    options: dict[str, object]
    metrics: Sequence[Metric]
    rounds: dict[str, list[Round]]

    def faults(self) -> list[str]:
        """Return every fault with the contender and round it happened in."""
        return [
            f"{name}, round {number}: {round_.fault}"
            for name, rounds in self.rounds.items()
            for number, round_ in enumerate(rounds, 1)
            if round_.fault is not None
        ]

    def warnings(self) -> list[str]:
        """Return every warning with the contender and round it belongs to."""
        return [
            f"{name}, round {number}: {warning}"
            for name, rounds in self.rounds.items()
            for number, round_ in enumerate(rounds, 1)
            for warning in round_.warnings
        ]


class Named(Protocol):
    """Whatever can be measured."""

    @property
    def name(self) -> str: ...


Measured = TypeVar("Measured", bound=Named)


async def interleave(
    contenders: Sequence[Measured], count: int, run: Callable[[Measured], Awaitable[Round]]
) -> dict[str, list[Round]]:
    """Run every contender once per round, in their order, ``count`` times."""
    rounds: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for number in range(1, count + 1):
        for contender in contenders:
            print(f"round {number} of {count}: {contender.name}", file=sys.stderr, flush=True)
            rounds[contender.name].append(await run(contender))
    return rounds


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
    if use.others_share > STRANGERS_SHARE:
        found.append(f"other processes kept {use.others_share:.2f} cores busy meanwhile")
    return found
