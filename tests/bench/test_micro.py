"""The benchmarks run, are timed as they are said to be, and are compared honestly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callboard.measuring import benchmarks
from callboard_bench.figures import Spread
from callboard_bench.micro.benchmark import Benchmark, Body, calling
from callboard_bench.micro.comparison import Comparison, compare
from callboard_bench.micro.record import Record, record
from callboard_bench.micro.timing import Clocks, Timer, Timing

MACHINE: dict[str, str | int | None] = {"cpu": "abacus", "cores": 2}


def named(found: Benchmark) -> str:
    return found.name


@pytest.mark.parametrize("benchmark", benchmarks(), ids=named)
def test_each_benchmark_runs(benchmark: Benchmark) -> None:
    timer = Timer(slice_ns=1_000)
    with timer.prepared([benchmark]):
        timer.round()
        timer.weigh()
    (timing,) = timer.timings
    assert timing.ns[0] > 0
    assert timing.peak_bytes is not None


def test_every_part_that_the_bench_promises_to_time_is_there() -> None:
    assert {
        "frame-encode",
        "frame-cut",
        "client-decode",
        "rest-verify",
        "channel-auth",
        "webhook-sign",
        "trigger",
        "hub-delivery",
        "fallback-line",
        "scheduler-step",
        "cron-next",
        "store-commit-memory",
        "store-commit-sqlite",
    } <= {benchmark.name for benchmark in benchmarks()}


def test_a_benchmark_that_does_not_do_what_is_meant_is_not_timed() -> None:
    wrong = calling("wrong", "a comparison that is to hold", int.__eq__, 1, 2, gives=True)
    with pytest.raises(AssertionError, match="wrong is to return True, not False"), wrong.prepare():
        pass


class Time:
    """Two clocks that stand still but for what a body takes."""

    def __init__(self) -> None:
        self.cpu = 0
        self.elapsed = 0
        self.ran: list[tuple[str, int]] = []
        self.clocks = Clocks(lambda: self.cpu, lambda: self.elapsed)

    def takes(
        self, name: str, cpu: int, elapsed: int = 0, *, operations: int = 1, waits: bool = False
    ) -> Benchmark:
        """A benchmark whose turn takes these nanoseconds of each clock."""

        def body(turns: int) -> None:
            self.ran.append((name, turns))
            self.cpu += cpu * turns
            self.elapsed += elapsed * turns

        return running(name, body, operations=operations, waits=waits)


def running(name: str, body: Body, *, operations: int = 1, waits: bool = False) -> Benchmark:
    @contextmanager
    def prepare() -> Iterator[Body]:
        yield body

    return Benchmark(name, f"what {name} does", prepare, operations, waits)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Clocks under which an operation of the calibration takes 50 ns."""
    time = Time()
    calibration = time.takes("calibration", cpu=50)
    monkeypatch.setattr("callboard_bench.micro.timing.CALIBRATION", calibration)
    return time


def test_turns_are_as_many_as_fill_a_slice(time: Time) -> None:
    timer = Timer(10_000, time.clocks)
    with timer.prepared([time.takes("quick", cpu=10), time.takes("slow", cpu=1_000_000)]):
        quick, slow = timer.timings
    assert 1_000 <= quick.turns <= 2_000
    assert slow.turns == 1


def test_a_round_times_each_once_right_behind_a_calibration(time: Time) -> None:
    timer = Timer(1_000, time.clocks)
    with timer.prepared([time.takes("a", cpu=100), time.takes("b", cpu=200)]):
        time.ran.clear()
        timer.round()
        timer.round()
    assert [name for name, _ in time.ran] == ["calibration", "a", "calibration", "b"] * 2
    a, b = timer.timings
    assert (a.ns, a.relative) == ([100, 100], [2, 2])
    assert (b.ns, b.relative) == ([200, 200], [4, 4])
    assert timer.calibration_ns == [50, 50]


def test_a_turn_of_many_operations_is_divided_among_them(time: Time) -> None:
    timer = Timer(1_000, time.clocks)
    with timer.prepared([time.takes("a", cpu=100, operations=4)]):
        timer.round()
    assert timer.timings[0].ns == [25]


def test_what_waits_is_timed_by_the_clock_on_the_wall(time: Time) -> None:
    timer = Timer(1_000, time.clocks)
    with timer.prepared([time.takes("disk", cpu=3, elapsed=700, waits=True)]):
        timer.round()
    assert timer.timings[0].ns == [700]


def test_an_interrupted_round_does_not_count(time: Time) -> None:
    def interrupted(turns: int) -> None:
        time.cpu += 1_000
        if timer.timings and timer.timings[0].ns:
            raise KeyboardInterrupt

    timer = Timer(1_000, time.clocks)
    with timer.prepared([time.takes("a", cpu=100), running("last", interrupted)]):
        timer.round()
        with pytest.raises(KeyboardInterrupt):
            timer.round()
    assert [len(timing.ns) for timing in timer.timings] == [1, 1]
    assert len(timer.calibration_ns) == 1


def test_the_garbage_collector_is_off_only_while_something_is_timed() -> None:
    seen: list[bool] = []
    timer = Timer(1)
    with timer.prepared([running("a", lambda turns: seen.append(gc.isenabled()))]):
        seen.clear()
        timer.round()
    assert not any(seen)
    assert gc.isenabled()


def test_what_an_operation_needs_at_once_is_weighed_without_what_it_leaves() -> None:
    kept: list[bytes] = []

    def body(turns: int) -> None:
        for _ in range(turns):
            if not kept:
                kept.append(bytes(10_000_000))
            bytes(100_000)

    timer = Timer(1)
    with timer.prepared([running("a", body)]):
        kept.clear()
        timer.weigh()
    assert 100_000 <= (timer.timings[0].peak_bytes or 0) < 200_000


# Comparison


def run(
    ns: list[float],
    *,
    calibration_ns: float = 50,
    waits: bool = False,
    title: str = "what a does",
) -> Record:
    benchmark = Benchmark("a", title, running("a", lambda turns: None).prepare, waits=waits)
    relative = [each / calibration_ns for each in ns]
    timing = Timing(benchmark, 1, ns, relative)
    return record([timing], [calibration_ns] * len(ns), date="", machine=MACHINE, slice_ms=1)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        ([110.0, 120, 130], "slower"),
        ([70.0, 80, 89], "faster"),
        ([100.0, 120, 130], ""),
        ([70.0, 80, 95], ""),
    ],
)
def test_a_verdict_is_given_only_where_the_spreads_do_not_overlap(
    now: list[float], verdict: str
) -> None:
    compared = compare(run(now), run([90.0, 95, 105]))
    assert compared["a"].verdict == verdict


def test_a_machine_that_is_slower_today_is_no_regression() -> None:
    compared = compare(run([200.0], calibration_ns=100), run([100.0], calibration_ns=50))
    assert compared["a"].ratio == Spread(1, 1, 1)


def test_what_waits_is_compared_by_its_own_times() -> None:
    compared = compare(run([300.0], waits=True), run([100.0], waits=True))
    assert compared["a"].ratio == Spread(3, 3, 3)


def test_an_operation_that_became_another_is_not_compared() -> None:
    assert compare(run([1.0]), run([1.0], title="what it did before")) == {}


@pytest.mark.parametrize(
    ("ratio", "allowed", "regresses"),
    [
        (Spread(1.2, 1.05, 1.4), 10, True),
        (Spread(1.2, 1.05, 1.4), 25, False),
        (Spread(1.2, 0.99, 1.4), 10, False),
        (Spread(0.5, 0.4, 0.6), 0, False),
    ],
)
def test_a_regression_is_certain_and_beyond_what_is_allowed(
    ratio: Spread, allowed: float, regresses: bool
) -> None:
    assert Comparison("a", ratio).regresses(allowed) is regresses
