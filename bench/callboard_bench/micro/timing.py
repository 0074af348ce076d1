"""One round: every benchmark timed once, with the calibration in between.

Both clocks come in from outside, as :class:`Clocks`.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from callboard_bench.micro.benchmark import Benchmark, Body
from callboard_bench.micro.calibration import CALIBRATION

#: A timing of the calibration is this part of a slice.
_CALIBRATION_SHARE: Final = 0.25
#: Fewer in a round would let one that was disturbed count.
_LEAST_CALIBRATIONS: Final = 5
#: So much of a slice runs before it counts: a fresh interpreter has specialised nothing yet.
_WARM_UP_SHARE: Final = 0.1
#: One more try is this many times as long at most, for a first turn says little.
_MOST_GROWTH: Final = 16


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where times come from, both in nanoseconds."""

    #: Of the CPU, for all threads of this process.
    cpu: Callable[[], int] = time.process_time_ns
    #: On the wall; never goes back.
    elapsed: Callable[[], int] = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class Plan:
    """How a round goes."""

    #: How long one timing lasts, in nanoseconds.
    slice_ns: int
    #: How many turns that are, by benchmark, as far as an earlier round has found out.
    turns: Mapping[str, int] = field(default_factory=dict)
    #: Whether to find out besides how much memory the operations need.
    weigh: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """What a round found of one benchmark."""

    turns: int
    #: Per operation.
    ns: float
    #: The most memory that an operation needed at once, beyond what it found.
    peak_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a round found."""

    #: Per operation of the calibration, the median of its timings.
    calibration_ns: float
    measures: Mapping[str, Measure]


def time_round(benchmarks: Sequence[Benchmark], plan: Plan, clocks: Clocks | None = None) -> Found:
    """Prepare everything, time each benchmark once, and clean up."""
    timer = _Timer(plan, Clocks() if clocks is None else clocks)
    with ExitStack() as stack:
        calibration = timer.ready(CALIBRATION, stack, _CALIBRATION_SHARE)
        ready = [timer.ready(benchmark, stack) for benchmark in benchmarks]
        calibrations, ns = [], {}
        with _without_collection():
            for each in ready:
                calibrations.append(timer.timed(calibration))
                ns[each.benchmark.name] = timer.timed(each)
            while len(calibrations) < _LEAST_CALIBRATIONS:
                calibrations.append(timer.timed(calibration))
        weights = {each.benchmark.name: _weight(each) for each in ready} if plan.weigh else {}
    measures = {
        each.benchmark.name: Measure(
            each.turns, ns[each.benchmark.name], weights.get(each.benchmark.name)
        )
        for each in ready
    }
    return Found(statistics.median(calibrations), measures)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A benchmark that is prepared, and how many turns fill its slice."""

    benchmark: Benchmark
    body: Body
    turns: int


class _Timer:
    def __init__(self, plan: Plan, clocks: Clocks) -> None:
        self._plan = plan
        self._clocks = clocks

    def ready(self, benchmark: Benchmark, stack: ExitStack, share: float = 1.0) -> _Ready:
        """Prepare a benchmark, and run it for a moment."""
        body = stack.enter_context(benchmark.prepare())
        turns = self._plan.turns.get(benchmark.name)
        if turns is None:
            turns = self._turns(benchmark, body, math.ceil(self._plan.slice_ns * share))
        else:
            body(math.ceil(turns * _WARM_UP_SHARE))
        return _Ready(benchmark, body, turns)

    def timed(self, ready: _Ready) -> float:
        """Return nanoseconds per operation of one timing."""
        took = self._took(ready.benchmark, ready.body, ready.turns)
        return took / ready.turns / ready.benchmark.operations

    def _turns(self, benchmark: Benchmark, body: Body, slice_ns: int) -> int:
        turns = 1
        while (took := self._took(benchmark, body, turns)) < slice_ns:
            wanted = math.ceil(turns * slice_ns / took * 1.1) if took else turns * _MOST_GROWTH
            turns = min(max(wanted, turns + 1), turns * _MOST_GROWTH)
        return turns

    def _took(self, benchmark: Benchmark, body: Body, turns: int) -> int:
        clock = self._clocks.elapsed if benchmark.waits else self._clocks.cpu
        began = clock()
        body(turns)
        return clock() - began


def _weight(ready: _Ready) -> float:
    """Return the memory that an operation needs; nothing is timed meanwhile."""
    tracemalloc.start()
    try:
        # What the first turn leaves behind, such as a cache, is no part of the next.
        ready.body(1)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        ready.body(1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (peak - before) / ready.benchmark.operations


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collect garbage now, and none while the context lasts."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
