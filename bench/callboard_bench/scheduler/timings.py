"""Pairs of times, and the percentiles of what lies between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from callboard_bench.figures import Latencies
from callboard_bench.rounds import Metric

_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}


class Timings:
    """Times from one event to another, both in ns of the monotonic clock."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._microseconds = [(end - begin) // 1000 for begin, end in pairs]

    def __len__(self) -> int:
        return len(self._microseconds)

    def add(self, begin_ns: int, end_ns: int) -> None:
        """Add one."""
        self._microseconds.append((end_ns - begin_ns) // 1000)

    def last(self, count: int) -> Timings:
        """Return the newest ``count`` of them."""
        newest = Timings()
        newest._microseconds = self._microseconds[-count:]
        return newest

    def values(self, key: str) -> dict[str, float]:
        """Return the values of :func:`latency_metrics`, in ms."""
        latencies = Latencies(self._microseconds)
        return {
            f"{key}_{name}": latencies.percentile(percent) / 1000
            for name, percent in _PERCENTILES.items()
        }


def latency_metrics(key: str, what: str, *, p90: bool = False) -> list[Metric]:
    """Return the lines of a report for what :meth:`Timings.values` returns."""
    names = [name for name in _PERCENTILES if p90 or name != "p90"]
    return [Metric(f"{key}_{name}", f"{what}, {name}, ms", 2) for name in names]
