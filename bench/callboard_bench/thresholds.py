"""Limits that make a run fail, for use in CI: ``--max-p99``, ``--max-loss``, ``--max-errors``.

They concern the main target, and each is judged once: the 99th percentile by its median over the
rounds, which one disturbed round does not move; loss and refused requests by all rounds together,
for no round may hide what another lost. A figure that is missing misses its limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from callboard_bench.figures import spread
from callboard_bench.rounds import Requests, Result

MAX_P99: Final = "--max-p99"
MAX_LOSS: Final = "--max-loss"
MAX_ERRORS: Final = "--max-errors"

_UNITS: Final = {MAX_P99: "ms", MAX_LOSS: "%", MAX_ERRORS: "%"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What was asked for; None where nothing was."""

    p99_ms: float | None = None
    loss_percent: float | None = None
    errors_percent: float | None = None

    @property
    def allowed(self) -> tuple[float, float]:
        """The shares of deliveries lost and of requests refused that are no fault."""
        return self.loss_percent or 0.0, self.errors_percent or 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a target kept to a limit; ``measured`` is NaN where there is no figure."""

    flag: str
    target: str
    limit: float
    measured: float

    @property
    def unit(self) -> str:
        return _UNITS[self.flag]

    @property
    def met(self) -> bool:
        return self.measured <= self.limit


def judge(result: Result, limits: Limits, p99: str) -> Sequence[Verdict]:
    """Return the verdict for each limit given; ``p99`` is the key of that value."""
    main = list(result.rounds)[-1]
    verdicts = []
    if limits.p99_ms is not None:
        median = spread(result.values(main, p99)).median
        verdicts.append(Verdict(MAX_P99, main, limits.p99_ms, median))
    if limits.loss_percent is not None:
        lost = _lost_percent(result, main)
        verdicts.append(Verdict(MAX_LOSS, main, limits.loss_percent, lost))
    if limits.errors_percent is not None:
        refused = _refused_percent(result, main)
        verdicts.append(Verdict(MAX_ERRORS, main, limits.errors_percent, refused))
    return verdicts


def _lost_percent(result: Result, name: str) -> float:
    audits = [round_.audit for round_ in result.rounds[name] if round_.audit is not None]
    expected = sum(audit.expected for audit in audits)
    return 100 * sum(audit.lost for audit in audits) / expected if expected else math.nan


def _refused_percent(result: Result, name: str) -> float:
    found = [round_.requests for round_ in result.rounds[name] if round_.requests is not None]
    total = sum(found, Requests())
    return total.refused_percent if total.asked else math.nan
