"""Percentiles of one round, and the median and spread over rounds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: Where a curve has its points: denser towards the slow end, which is what is looked at.
CURVE_PERCENTS: Final = (
    *(0.0, 1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0),
    *(96.0, 97.0, 98.0, 98.5, 99.0, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.99, 99.995),
    *(99.999, 99.9999, 100.0),
)


class Latencies:
    """Latencies in whole microseconds, kept as counts so that generators can be merged."""

    __slots__ = ("_counts",)

    def __init__(self, microseconds: Iterable[int] = ()) -> None:
        self._counts = Counter(microseconds)

    def __len__(self) -> int:
        return self._counts.total()

    def merge(self, other: Latencies) -> None:
        """Add the latencies another generator saw."""
        self._counts.update(other._counts)

    def percentile(self, percent: float) -> float:
        """Return the smallest latency that ``percent`` of all are not above (nearest rank).

        No interpolation: the value is one that was measured. 0 is the minimum, 100 the
        maximum; NaN when there is none.

        Raises:
            ValueError: ``percent`` outside 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile lies between 0 and 100, not {percent}")
        return self._at([percent])[0]

    def curve(self) -> list[tuple[float, float]]:
        """Return percent and latency at each of :data:`CURVE_PERCENTS`; empty when there is none.

        Beyond what so many latencies can tell apart, a curve ends with its maximum.
        """
        if not self._counts:
            return []
        told_apart = 100 * (1 - 1 / len(self))
        percents = [each for each in CURVE_PERCENTS if each <= told_apart or each == 100]
        return list(zip(percents, self._at(percents), strict=True))

    def _at(self, percents: Sequence[float]) -> list[float]:
        """Return the values at ascending percents, by one pass over the counts."""
        total, seen = len(self), 0
        found: list[float] = []
        for value in sorted(self._counts):
            seen += self._counts[value]
            while len(found) < len(percents):
                if seen < max(1, math.ceil(total * percents[len(found)] / 100)):
                    break
                found.append(float(value))
        return found or [math.nan] * len(percents)


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median, lowest and highest of one figure's rounds; NaN throughout if none is real."""
    real = [value for value in values if not math.isnan(value)]
    if not real:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(statistics.median(real), min(real), max(real))


def ratios(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return ``values`` over ``reference`` round by round, NaN where the reference is 0.

    Rounds that only one of them has, because the run was interrupted, give none.
    """
    return [
        value / base if base else math.nan for value, base in zip(values, reference, strict=False)
    ]
