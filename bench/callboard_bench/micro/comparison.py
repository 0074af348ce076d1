"""A run against its baseline, benchmark by benchmark.

1. The ratio is that of the medians. Its spread goes from the best now over the worst then to the
   worst now over the best then; it leaves 1 out only if no round of the one run is within the
   rounds of the other.
2. What computes is compared twice: by its times over the calibration's, which a machine that is
   slower today leaves as they are, and by its times themselves, which a calibration that was
   disturbed leaves as they are. There is a verdict only if both leave 1 out on the same side.
3. Fewer than :data:`LEAST_ROUNDS` on either side give no verdict: of two runs of the same code,
   the rounds of one are all above those of the other once in 126 times with five rounds, once in
   1,716 with seven.
4. What waits has no part in the calibration, and another machine's times mean nothing here: then
   there is one comparison instead of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from callboard_bench.figures import Spread, spread
from callboard_bench.micro.record import Figures, Record

#: From so many rounds on a spread says something.
LEAST_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """One benchmark, now over then: above 1 it takes longer than it took."""

    name: str
    #: Of the run that has fewer.
    rounds: int
    #: One or two, the one to be shown first.
    ratios: Sequence[Spread]

    @property
    def verdict(self) -> Literal["slower", "faster", ""]:
        """Return what can be said; nothing where spreads overlap or are those of few rounds."""
        if self.rounds < LEAST_ROUNDS:
            return ""
        if all(ratio.low > 1 for ratio in self.ratios):
            return "slower"
        return "faster" if all(ratio.high < 1 for ratio in self.ratios) else ""

    @property
    def longer_percent(self) -> float:
        """How much longer it takes at least, by the medians."""
        return 100 * (min(ratio.median for ratio in self.ratios) - 1)

    def regresses(self, most_percent: float) -> bool:
        """Whether it takes longer by more than ``most_percent``, and certainly longer."""
        return self.verdict == "slower" and self.longer_percent > most_percent


def compare(now: Record, then: Record, *, same_machine: bool = True) -> dict[str, Comparison]:
    """Return a comparison of each benchmark that both runs have and timed alike."""
    found = {}
    for name, figures in now.benchmarks.items():
        earlier = then.benchmarks.get(name)
        if earlier is None or (earlier.clock, earlier.title) != (figures.clock, figures.title):
            continue
        ratios = list(_ratios(figures, earlier, same_machine=same_machine))
        if ratios:
            found[name] = Comparison(name, min(now.rounds, then.rounds), ratios)
    return found


def _ratios(now: Figures, then: Figures, *, same_machine: bool) -> Iterator[Spread]:
    if now.clock == "cpu":
        yield _ratio(now.relative, then.relative)
    if same_machine:
        yield _ratio(now.ns, then.ns)


def _ratio(now: Sequence[float], then: Sequence[float]) -> Spread:
    here, there = spread(now), spread(then)
    return Spread(here.median / there.median, here.low / there.high, here.high / there.low)
