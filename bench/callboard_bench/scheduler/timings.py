"""Pairs of times, and the percentiles of what lies between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from callboard_bench.figures import Latencies
from callboard_bench.rounds import Metric

_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
_BRIEF: Final = ("p50", "p99", "max")


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

    def latencies(self) -> Latencies:
        """Return them as the curve of a round."""
        return Latencies(self._microseconds)

    def values(self, key: str) -> dict[str, float]:
        """Return the values of :func:`latency_metrics`, in ms."""
        return latency_values(key, self.latencies())


def latency_values(key: str, latencies: Latencies) -> dict[str, float]:
    """Return the values of :func:`latency_metrics`, in ms."""
    return {
        f"{key}_{name}": latencies.percentile(percent) / 1000
        for name, percent in _PERCENTILES.items()
    }


def latency_metrics(key: str, what: str, *, whole: bool = False) -> list[Metric]:
    """Return the lines of a report for :func:`latency_values`: three, or with p90 and p99.9."""
    names = _PERCENTILES if whole else _BRIEF
    return [Metric(f"{key}_{name}", f"{what}, {name}, ms", 2, better="lower") for name in names]
