"""Timing bodies: how many turns fill a slice, then round by round, with the calibration beside.

Both clocks come in from outside: :class:`Clocks` is given to :class:`Timer`.
"""

from __future__ import annotations

import gc
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from callboard_bench.micro.benchmark import Benchmark, Body
from callboard_bench.micro.calibration import CALIBRATION

#: A timing of the calibration is this part of a slice.
_CALIBRATION_SHARE: Final = 0.25
#: One more try is this many times as long at most, for a first turn says little.
_MOST_GROWTH: Final = 16


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where times come from, both in nanoseconds."""

    #: Of the CPU, for all threads of this process.
    cpu: Callable[[], int] = time.process_time_ns
    #: On the wall; never goes back.
    elapsed: Callable[[], int] = time.perf_counter_ns


@dataclass(slots=True)
class Timing:
    """What was found of one benchmark: one figure for each round."""

    benchmark: Benchmark
    turns: int
    #: Nanoseconds per operation.
    ns: list[float] = field(default_factory=list)
    #: The same over the calibration's, which was timed just before.
    relative: list[float] = field(default_factory=list)
    #: The most memory that an operation needed at once, beyond what it found.
    peak_bytes: float | None = None


class Timer:
    """Times prepared benchmarks; a round is whole or does not count.

    ``slice_ns`` is how long one timing lasts.
    """

    def __init__(self, slice_ns: int, clocks: Clocks | None = None) -> None:
        self._slice_ns = slice_ns
        self._clocks = Clocks() if clocks is None else clocks
        self._prepared: list[tuple[Timing, Body]] = []
        self._calibration: tuple[int, Body] = (0, lambda turns: None)
        #: Nanoseconds per operation of the calibration, the median of each round.
        self.calibration_ns: list[float] = []

    @property
    def timings(self) -> list[Timing]:
        """Return what is known of each benchmark, in their order."""
        return [timing for timing, _ in self._prepared]

    @contextmanager
    def prepared(self, benchmarks: Sequence[Benchmark]) -> Iterator[None]:
        """Have what the benchmarks need while the context lasts, and know their turns."""
        with ExitStack() as stack:
            body = stack.enter_context(CALIBRATION.prepare())
            share = math.ceil(self._slice_ns * _CALIBRATION_SHARE)
            self._calibration = self._turns(CALIBRATION, body, share), body
            for benchmark in benchmarks:
                body = stack.enter_context(benchmark.prepare())
                turns = self._turns(benchmark, body, self._slice_ns)
                self._prepared.append((Timing(benchmark, turns), body))
            yield

    def round(self) -> None:
        """Time everything once."""
        turns, calibrate = self._calibration
        found = []
        with _without_collection():
            for timing, body in self._prepared:
                calibration = self._timed(CALIBRATION, calibrate, turns)
                found.append((calibration, self._timed(timing.benchmark, body, timing.turns)))
        for (timing, _), (calibration, ns) in zip(self._prepared, found, strict=True):
            timing.ns.append(ns)
            timing.relative.append(ns / calibration)
        calibrations = sorted(calibration for calibration, _ in found)
        self.calibration_ns.append(calibrations[len(calibrations) // 2])

    def weigh(self) -> None:
        """Find out how much memory the operations need; nothing is timed meanwhile."""
        for timing, body in self._prepared:
            tracemalloc.start()
            try:
                # What the first turn leaves behind, such as a cache, is no part of the next.
                body(1)
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                body(1)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            timing.peak_bytes = (peak - before) / timing.benchmark.operations

    def _turns(self, benchmark: Benchmark, body: Body, slice_ns: int) -> int:
        """Return how many turns fill a slice."""
        turns = 1
        while True:
            per_turn = self._timed(benchmark, body, turns) * benchmark.operations
            if per_turn * turns >= slice_ns:
                return turns
            wanted = math.ceil(slice_ns / per_turn * 1.1) if per_turn else turns * _MOST_GROWTH
            turns = min(max(wanted, turns + 1), turns * _MOST_GROWTH)

    def _timed(self, benchmark: Benchmark, body: Body, turns: int) -> float:
        """Return nanoseconds per operation of one timing."""
        clock = self._clocks.elapsed if benchmark.waits else self._clocks.cpu
        began = clock()
        body(turns)
        return (clock() - began) / turns / benchmark.operations


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
