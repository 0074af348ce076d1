"""What is to be seen of a round while it runs."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from callboard_bench.rounds import Unwatched
from callboard_bench.scenarios import churn, connect, fanout, mixed, trigger
from callboard_bench.targets.started import callboard

#: Longer than two steps of a recording: one is told about as the next begins.
WINDOW: dict[str, Any] = {"seconds": 1.3, "warm_up": 0.0}
LOADS: list[tuple[Any, Any]] = [
    (fanout, fanout.Load(subscribers=2, rate=40, probe=True, **WINDOW)),
    (trigger, trigger.Load(rate=40, connections=2, distinct=4, **WINDOW)),
    (churn, churn.Load(4, 8, 40, **WINDOW)),
    (connect, connect.Load(connections=50, rate=40)),
]


class Onlooker(Unwatched):
    """Keeps the samples of one figure."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.seen: list[float] = []

    def sample(self, name: str, value: float) -> None:
        if name == self._name and not math.isnan(value):
            self.seen.append(value)


async def test_latency_is_shown_while_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_SETTLE_SECONDS", 0.0)
    onlookers = [Onlooker("p99_ms") for _ in LOADS]
    async with callboard().open() as target:
        await asyncio.gather(
            *(
                module.run(target, load, onlooker)
                for (module, load), onlooker in zip(LOADS, onlookers, strict=True)
            )
        )

    for (module, _), onlooker in zip(LOADS, onlookers, strict=True):
        assert onlooker.seen, f"nothing was shown of {module.__name__}"
        assert all(milliseconds > 0 for milliseconds in onlooker.seen)


async def test_latencies_of_several_kinds_are_not_shown_as_one() -> None:
    onlooker = Onlooker("p99_ms")
    load = mixed.Load("chat", 2, 0, 40, 0, 0, 2, **{**WINDOW, "seconds": 0.8})
    async with callboard().open() as target:
        await mixed.run(target, load, onlooker)

    assert onlooker.seen == []
