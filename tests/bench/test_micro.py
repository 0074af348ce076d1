"""The benchmarks run, are timed as they are said to be, and are compared honestly."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from callboard.measuring import benchmarks
from callboard_bench.figures import Spread
from callboard_bench.micro.benchmark import Benchmark, Body, calling
from callboard_bench.micro.comparison import Comparison, compare
from callboard_bench.micro.record import Record, record
from callboard_bench.micro.rounds import RoundFailed, in_fresh_process
from callboard_bench.micro.timing import Clocks, Found, Measure, Plan, time_round

MACHINE: dict[str, str | int | None] = {"cpu": "abacus", "cores": 2}


def named(found: Benchmark) -> str:
    return found.name


@pytest.mark.parametrize("benchmark", benchmarks(), ids=named)
def test_each_benchmark_runs(benchmark: Benchmark) -> None:
    found = time_round([benchmark], Plan(slice_ns=1_000, weigh=True))
    measure = found.measures[benchmark.name]
    assert measure.ns > 0
    assert measure.peak_bytes is not None


def test_a_round_runs_in_a_process_of_its_own() -> None:
    names = ["frame-encode", "cron-next"]
    found = in_fresh_process(benchmarks, names, Plan(1_000, {"frame-encode": 123}))
    assert list(found.measures) == names
    assert found.measures["frame-encode"].turns == 123
    assert not multiprocessing.active_children()


def test_a_process_that_fails_fails_the_run() -> None:
    with pytest.raises(RoundFailed, match="ended with status 3; the reason is above"):
        in_fresh_process(partial(os._exit, 3), ["frame-encode"], Plan(1_000))
    assert not multiprocessing.active_children()


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
    some = [time.takes("quick", cpu=10), time.takes("slow", cpu=1_000_000)]
    found = time_round(some, Plan(10_000), time.clocks)
    assert 1_000 <= found.measures["quick"].turns <= 2_000
    assert found.measures["slow"].turns == 1


def test_turns_that_are_known_are_not_looked_for_but_warmed_up(time: Time) -> None:
    plan = Plan(10_000, {"a": 40})
    assert time_round([time.takes("a", cpu=1)], plan, time.clocks).measures["a"].turns == 40
    assert [turns for name, turns in time.ran if name == "a"] == [4, 40]


def test_a_round_times_each_once_right_behind_a_calibration(time: Time) -> None:
    plan = Plan(1_000, {"a": 10, "b": 20, "calibration": 5})
    found = time_round([time.takes("a", cpu=100), time.takes("b", cpu=200)], plan, time.clocks)
    warm_up, counted = time.ran[:3], time.ran[3:]
    assert [name for name, _ in warm_up] == ["calibration", "a", "b"]
    calibration = ("calibration", 5)
    assert counted == [calibration, ("a", 10), calibration, ("b", 20), *[calibration] * 3]
    assert (found.measures["a"].ns, found.measures["b"].ns) == (100, 200)
    assert found.calibration_ns == 50


def test_calibrations_that_are_disturbed_do_not_count(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed = 0

    def body(turns: int) -> None:
        nonlocal disturbed
        disturbed += 1
        time.cpu += turns * (50_000 if disturbed % 3 == 0 else 50)

    calibration = running("calibration", body)
    monkeypatch.setattr("callboard_bench.micro.timing.CALIBRATION", calibration)
    found = time_round([time.takes("a", cpu=100)], Plan(1_000), time.clocks)
    assert found.calibration_ns == 50


def test_a_turn_of_many_operations_is_divided_among_them(time: Time) -> None:
    found = time_round([time.takes("a", cpu=100, operations=4)], Plan(1_000), time.clocks)
    assert found.measures["a"].ns == 25


def test_what_waits_is_timed_by_the_clock_on_the_wall(time: Time) -> None:
    disk = time.takes("disk", cpu=3, elapsed=700, waits=True)
    assert time_round([disk], Plan(1_000), time.clocks).measures["disk"].ns == 700


def test_the_garbage_collector_is_off_only_while_something_is_timed() -> None:
    seen: list[bool] = []
    benchmark = running("a", lambda turns: seen.append(gc.isenabled()))
    time_round([benchmark], Plan(1, {"a": 1}))
    assert seen == [True, False]  # the first is the warm-up
    assert gc.isenabled()


def test_what_an_operation_needs_at_once_is_weighed_without_what_it_leaves() -> None:
    kept: list[bytes] = []

    def body(turns: int) -> None:
        for _ in range(turns):
            if len(kept) < 3:  # a cache that is full once it is weighed
                kept.append(bytes(10_000_000))
            bytes(100_000)

    found = time_round([running("a", body)], Plan(1, {"a": 1}, weigh=True))
    assert len(kept) == 3
    assert 100_000 <= (found.measures["a"].peak_bytes or 0) < 200_000


# Comparison


def run(
    ns: list[float],
    *,
    calibration_ns: float = 50,
    waits: bool = False,
    title: str = "what a does",
) -> Record:
    benchmark = Benchmark("a", title, running("a", lambda turns: None).prepare, waits=waits)
    rounds = [Found(calibration_ns, {"a": Measure(1, each)}) for each in ns]
    return record([benchmark], rounds, date="", machine=MACHINE, slice_ms=1)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        ([110.0, 120, 120, 120, 130], "slower"),
        ([70.0, 80, 80, 80, 89], "faster"),
        ([100.0, 120, 120, 120, 130], ""),
        ([70.0, 80, 80, 80, 95], ""),
        ([210.0, 220, 220, 230], ""),
    ],
)
def test_a_verdict_is_given_only_where_the_spreads_of_enough_rounds_do_not_overlap(
    now: list[float], verdict: str
) -> None:
    compared = compare(run(now), run([90.0, 95, 95, 95, 105]))
    assert compared["a"].verdict == verdict


def test_a_machine_that_is_slower_today_is_no_regression() -> None:
    compared = compare(run([200.0] * 5, calibration_ns=100), run([100.0] * 5))
    assert compared["a"].ratios == [Spread(1, 1, 1), Spread(2, 2, 2)]
    assert compared["a"].verdict == ""


def test_a_calibration_that_was_disturbed_is_no_regression() -> None:
    compared = compare(run([100.0] * 5), run([100.0] * 5, calibration_ns=100))
    assert compared["a"].ratios == [Spread(2, 2, 2), Spread(1, 1, 1)]
    assert compared["a"].verdict == ""


def test_of_two_machines_only_what_is_over_the_calibrations_is_compared() -> None:
    here, there = run([300.0], calibration_ns=50), run([100.0], calibration_ns=25)
    compared = compare(here, there, same_machine=False)
    assert compared["a"].ratios == [Spread(1.5, 1.5, 1.5)]
    assert compare(run([1.0], waits=True), run([1.0], waits=True), same_machine=False) == {}


def test_what_waits_is_compared_by_its_own_times() -> None:
    compared = compare(run([300.0], waits=True), run([100.0], waits=True))
    assert compared["a"].ratios == [Spread(3, 3, 3)]


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
    assert Comparison("a", 7, [ratio]).regresses(allowed) is regresses


def test_a_regression_is_beyond_what_is_allowed_by_both_of_its_ratios() -> None:
    found = Comparison("a", 7, [Spread(1.5, 1.4, 1.6), Spread(1.2, 1.1, 1.3)])
    assert found.longer_percent == pytest.approx(20)
    assert found.regresses(10)
    assert not found.regresses(25)
