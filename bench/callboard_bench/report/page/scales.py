"""From values to places along an axis, in percent of its length, and the ticks beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Steps between ticks, of which one in ten is chosen.
_STEPS: Final = (1, 2, 2.5, 5, 10)
_MOST_TICKS: Final = 5


class Tick(NamedTuple):
    """A mark: where, in percent, and what is written there."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Nines:
    """Percentiles by how many nines they have, which shows the tail as large as the bulk.

    90 % is at 1, 99 % at 2. The maximum of so many values is in the middle of the share that the
    last of them has: at the logarithm of twice their number.
    """

    most: float

    @classmethod
    def of(cls, counts: Iterable[int]) -> Nines:
        """Return the scale on which the largest of these numbers of values fits."""
        return cls(max(1.0, *(_last(count) for count in counts)))

    def place(self, percent: float, count: int) -> float:
        """Return where the percentile of ``count`` values is."""
        nines = -math.log10(1 - percent / 100) if percent < 100 else math.inf
        return 100 * min(nines, _last(count)) / self.most

    def ticks(self) -> list[Tick]:
        """Return the usual percentiles, as far as there are values."""
        found = []
        for percent in ("0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"):
            nines = -math.log10(1 - float(percent) / 100)
            if nines <= self.most + 1e-9:
                found.append(Tick(100 * nines / self.most, percent))
        return found


def _last(count: int) -> float:
    return math.log10(2 * max(count, 1))


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """Values above 0 by their logarithm; both ends are 1, 2 or 5 of a decade."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Logarithmic:
        """Return the scale on which these values fit; those that are not above 0 do not count."""
        real = [value for value in values if value > 0] or [1.0]
        return cls(_below(min(real)), _above(max(real)))

    def place(self, value: float) -> float:
        """Return where a value is; at the edge if it is beyond."""
        if value <= self.low:
            return 0.0
        return 100 * math.log(value / self.low) / math.log(self.high / self.low)

    def marks(self) -> list[float]:
        """Return the values for ticks: 1, 2 and 5 of each decade, or 1 alone if those are many."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for leading in ((1, 2, 5), (1,)):
            every = [lead * 10.0**power for power in range(first, last + 1) for lead in leading]
            found = [value for value in every if self.low <= value * 1.0001 <= self.high * 1.001]
            if len(found) <= _MOST_TICKS + 2:
                break
        return found


def _below(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return max(lead * decade for lead in (1, 2, 5) if lead * decade <= value * 1.0001)


def _above(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    # Never the same as below, or there would be no length to place anything on.
    return min(lead * decade for lead in (2, 5, 10) if lead * decade > value * 1.0001)


@dataclass(frozen=True, slots=True)
class Linear:
    """Values from 0 up to a round number."""

    high: float
    step: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Linear:
        """Return the scale on which these values fit."""
        most = max(values, default=0.0)
        if most <= 0:
            return cls(1.0, 1.0)
        decade = 10.0 ** math.floor(math.log10(most / _MOST_TICKS))
        step = next(each * decade for each in _STEPS if most <= each * decade * _MOST_TICKS)
        return cls(step * math.ceil(most / step - 1e-9), step)

    def place(self, value: float) -> float:
        """Return where a value is."""
        return 100 * value / self.high

    def marks(self) -> list[float]:
        """Return the values for ticks."""
        return [self.step * number for number in range(round(self.high / self.step) + 1)]
