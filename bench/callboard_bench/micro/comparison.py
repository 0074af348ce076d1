"""A run against its baseline, benchmark by benchmark.

What computes is compared by its times over the calibration's, what waits by its times. The ratio
is that of the medians. Its spread goes from the best now over the worst then to the worst now over
the best then; only if that leaves 1 out, so that no round of the one is within the rounds of the
other, is there a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from callboard_bench.figures import Spread, spread
from callboard_bench.micro.record import Figures, Record


@dataclass(frozen=True, slots=True)
class Comparison:
    """One benchmark, now over then: above 1 it takes longer than it took."""

    name: str
    ratio: Spread

    @property
    def verdict(self) -> Literal["slower", "faster", ""]:
        """Return what can be said; nothing where the spreads overlap."""
        if self.ratio.low > 1:
            return "slower"
        return "faster" if self.ratio.high < 1 else ""

    def regresses(self, most_percent: float) -> bool:
        """Whether it takes longer by more than ``most_percent``, and certainly longer."""
        return self.verdict == "slower" and self.ratio.median > 1 + most_percent / 100


def compare(now: Record, then: Record) -> dict[str, Comparison]:
    """Return a comparison of each benchmark that both runs have and timed alike."""
    return {found.name: found for found in _compared(now, then)}


def _compared(now: Record, then: Record) -> Iterator[Comparison]:
    for name, figures in now.benchmarks.items():
        earlier = then.benchmarks.get(name)
        if earlier is None or (earlier.clock, earlier.title) != (figures.clock, figures.title):
            continue
        here, there = spread(_basis(figures)), spread(_basis(earlier))
        yield Comparison(
            name,
            Spread(here.median / there.median, here.low / there.high, here.high / there.low),
        )


def _basis(figures: Figures) -> list[float]:
    return figures.relative if figures.clock == "cpu" else figures.ns
