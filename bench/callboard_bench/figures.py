"""Percentiles of one round, and the median and spread over rounds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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
        rank = max(1, math.ceil(len(self) * percent / 100))
        seen = 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= rank:
                return float(value)
        return math.nan


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
    """Return ``values`` over ``reference`` round by round, NaN where the reference is 0."""
    return [
        value / base if base else math.nan for value, base in zip(values, reference, strict=True)
    ]
