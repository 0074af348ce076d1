"""Chance of the bench, from a seed: the same times in every run, on every machine."""

from __future__ import annotations

import math
from random import Random  # noqa: TID251 - seeded, and no secret


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return when things come that do so independently, ``rate`` a second on average (Poisson).

    In seconds from the beginning, before ``seconds``. The gaps are exponentially distributed.
    """
    uniform = Random(seed).random  # noqa: S311 - no secret
    times: list[float] = []
    now = 0.0
    while True:
        now -= math.log(1.0 - uniform()) / rate
        if now >= seconds:
            return times
        times.append(now)
