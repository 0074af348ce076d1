"""Latencies of one window, whole and by the step in which each message was due.

What a message waited counts for the moment at which it should have been sent, not for the one at
which it came: a stall of the server shows as a peak where it began.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from callboard_bench.figures import Latencies

#: The step of every timeline.
STEP_SECONDS: Final = 0.5

_STEP_NS: Final = int(STEP_SECONDS * 1e9)
#: Leading binary digits that are kept of a latency in the steps: 1 to 2 % of precision.
_KEPT_DIGITS: Final = 6
#: How many of a step are looked at for the eye, which is told while load goes on: half a
#: millisecond's work.
_LOOKED_AT: Final = 2_000


@dataclass(slots=True)
class Recorded:
    """What one generator, or several together, have recorded."""

    latencies: Latencies = field(default_factory=Latencies)
    steps: dict[int, Latencies] = field(default_factory=dict)

    def merge(self, other: Recorded) -> None:
        """Add what another generator has recorded of the same window."""
        self.latencies.merge(other.latencies)
        for step, latencies in other.steps.items():
            self.steps.setdefault(step, Latencies()).merge(latencies)

    def per_second(self) -> list[float]:
        """Return how many a second there were, step by step."""
        return [
            len(self.steps[step]) / STEP_SECONDS if step in self.steps else 0.0
            for step in range(self._length())
        ]

    def p99_ms(self) -> list[float]:
        """Return the 99th percentile step by step, NaN where nothing was due."""
        return [
            self.steps[step].percentile(99) / 1000 if step in self.steps else math.nan
            for step in range(self._length())
        ]

    def _length(self) -> int:
        return max(self.steps, default=-1) + 1


class Recording:
    """Takes the latencies, in microseconds, of messages that were due in a window.

    It costs an append a message: nothing is counted before the end, and of a step only a sample
    is sorted, as it is followed by the next.
    """

    def __init__(
        self, start_ns: int = 0, end_ns: int = 0, tell: Callable[[int], None] | None = None
    ) -> None:
        """Record what is due from ``start_ns`` to before ``end_ns``; by default nothing.

        Args:
            tell: is told about the 99th percentile of each step but the last, in microseconds.
        """
        self._tell = tell
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._steps: dict[int, array[int]] = {}

    def slot(self, due_ns: int) -> Callable[[int], None] | None:
        """Return what takes the latencies of a message due then; None outside the window."""
        if not self._start_ns <= due_ns < self._end_ns:
            return None
        step = (due_ns - self._start_ns) // _STEP_NS
        samples = self._steps.get(step)
        if samples is None:
            self._tell_of_newest()
            samples = self._steps[step] = array("Q")
        return samples.append

    def _tell_of_newest(self) -> None:
        newest = next(reversed(self._steps.values()), None)
        if self._tell is not None and newest:
            looked_at = sorted(newest[:: len(newest) // _LOOKED_AT + 1])
            self._tell(looked_at[len(looked_at) * 99 // 100])

    def result(self) -> Recorded:
        """Sum up."""
        recorded = Recorded()
        for step, samples in self._steps.items():
            counts = Counter(samples)
            recorded.latencies.merge(Latencies(counts))
            recorded.steps[step] = Latencies(_coarse(counts))
        return recorded


def _coarse(counts: Counter[int]) -> Counter[int]:
    coarse: Counter[int] = Counter()
    for value, count in counts.items():
        shift = max(0, value.bit_length() - _KEPT_DIGITS)
        coarse[value >> shift << shift] += count
    return coarse
