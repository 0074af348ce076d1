"""What a result looks like: in the terminal, as JSON, and while it comes about."""

from __future__ import annotations

import io
import math
import os
import signal

import orjson
import pytest
from rich.console import Console

from callboard_bench.figures import Latencies
from callboard_bench.process import Cpu, Use
from callboard_bench.repeated_warnings import said_once
from callboard_bench.report import display as display_module
from callboard_bench.report.display import Lines, Live, Quiet, display
from callboard_bench.report.document import as_json, document
from callboard_bench.report.scene import Scene
from callboard_bench.report.table import as_table
from callboard_bench.rounds import Audited, Metric, Result, Round, doubts
from callboard_bench.thresholds import Verdict

SECOND_NS = 1_000_000_000


@pytest.fixture
def result() -> Result:
    rounds = {
        "floor": [Round({"cpu": 10.0, "n": 5.0}), Round({"cpu": 20.0, "n": 5.0})],
        "callboard": [
            Round({"cpu": 11.0, "n": 5.0}, warnings=["the generator was busy"]),
            Round({"cpu": 24.0, "n": 5.0}, fault="closed", audit=Audited(1000, lost=1)),
        ],
    }
    metrics = (Metric("cpu", "CPU, µs", 2), Metric("n", "counted", 0, ratio=False))
    return Result("fanout", "two subscribers", {"rounds": 2}, metrics, rounds)


def table(result: Result, *verdicts: Verdict) -> list[str]:
    return as_table(result, verdicts, result.faults()).splitlines()


def test_a_table_holds_median_spread_and_ratio_and_what_is_wrong(result: Result) -> None:
    lines = table(result, Verdict("--max-p99", "callboard", 50.0, 12.1))
    cpu, counted = (next(line for line in lines if line.startswith(t)) for t in ("CPU", "counted"))

    assert "15.00 (10.00 – 20.00)" in cpu
    assert "17.50 (11.00 – 24.00)" in cpu
    assert cpu.endswith("1.15 (1.10 – 1.20)")
    assert counted.split() == ["counted", "5", "5"]
    assert lines[-3:] == [
        "warning: callboard, round 1: the generator was busy",
        "kept: --max-p99 50 ms: callboard 12.1 ms",
        "FAULT: callboard, round 2: closed; 1 of 1,000 lost",
    ]


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        ([[], ["it was slow"]], ["round 2: it was slow"]),
        ([["1.20 busy"], ["1.60 busy"], ["1.3 busy"]], ["rounds 1–3: 1.20–1.60 busy"]),
        ([["9 of 10 lost"], [], ["1,000 of 10 lost"]], ["rounds 1, 3: 9–1,000 of 10 lost"]),
        ([["85% busy", "slow"], ["97% busy"]], ["rounds 1–2: 85–97% busy", "round 1: slow"]),
        (
            [["p99 of 1.2.3.4:5"], ["p50 of 1.2.3.4:5"]],
            ["round 1: p99 of 1.2.3.4:5", "round 2: p50 of 1.2.3.4:5"],
        ),
    ],
)
def test_a_warning_is_said_once_with_its_rounds_and_the_range_of_its_numbers(
    rounds: list[list[str]], said: list[str]
) -> None:
    assert said_once(rounds) == said


def test_a_warning_of_several_rounds_is_one_line_and_stays_with_each_round_in_json(
    result: Result,
) -> None:
    result.rounds["callboard"][1].warnings.append("the generator was busy")
    once = "callboard, rounds 1–2: the generator was busy"
    made = document(result, [], [], "callboard bench fanout", 0)

    assert [line for line in table(result) if line.startswith("warning")] == [f"warning: {once}"]
    assert made["warnings"] == [once]
    assert [each["warnings"] for each in made["rounds"]["callboard"]] == [
        ["the generator was busy"],
        ["the generator was busy"],
    ]


def test_what_was_not_measured_is_a_dash_and_not_zero(result: Result) -> None:
    for round_ in result.rounds["callboard"]:
        round_.values["cpu"] = math.nan

    cpu = next(line for line in table(result) if line.startswith("CPU"))
    assert cpu.split()[-2:] == ["-", "-"]


def test_ratios_are_of_rounds_that_both_have(result: Result) -> None:
    del result.rounds["callboard"][1]
    result.partial = True

    lines = table(result)
    assert "of rounds: 2 / 1, PARTIAL: interrupted" in lines[1]
    assert lines[4].endswith("1.10")


def test_a_document_holds_every_round_and_the_summary(result: Result) -> None:
    result.rounds["floor"][0].values["cpu"] = math.nan
    result.options["rate"] = math.inf
    made = document(result, [], result.faults(), "callboard bench fanout", 0)

    assert made["rounds"]["callboard"][1]["values"] == {"cpu": 24.0, "n": 5.0}
    assert made["rounds"]["floor"][0]["values"]["cpu"] is None
    assert made["summary"]["callboard"]["cpu"]["ratio_median"] == pytest.approx(1.2)
    assert made["summary"]["floor"]["cpu"]["median"] == 20.0
    assert made["faults"] == ["callboard, round 2: closed; 1 of 1,000 lost"]
    assert made["options"] == {"rounds": 2, "rate": "max"}
    assert made["date"] == "1970-01-01T00:00:00Z"
    assert orjson.loads(as_json(made)) == made
    assert orjson.loads(as_json([made, made])) == [made, made]


def test_a_curve_is_called_as_the_metric_of_its_percentile_is(result: Result) -> None:
    result.metrics = [
        Metric("join_p99_ms", "join to its roster p99, ms"),
        Metric("start_p99", "submit to start, p99, ms"),
    ]
    names = ("join", "start", "loop_lag")
    result.rounds["floor"][0].curves = {name: Latencies([5]) for name in names}
    found = document(result, [], [], "callboard bench presence", 0)["rounds"]["floor"][0]["curves"]

    titles = ["join to its roster", "submit to start", "loop lag"]
    assert [found[name]["title"] for name in names] == titles


@pytest.mark.parametrize(
    ("audit", "allowed_percent", "said"),
    [
        (Audited(0), 0, None),
        (Audited(100), 0, None),
        (Audited(100, lost=2), 0, "2 of 100 lost"),
        (Audited(100, lost=2), 2, None),
        (Audited(100, lost=2), 1.9, "2 of 100 lost"),
        (Audited(100, 0, 1, 3), 50, "1 of 100 duplicated, 3 of 100 out of order"),
    ],
)
def test_an_audit_says_what_went_wrong_beyond_what_is_allowed(
    audit: Audited, allowed_percent: float, said: str | None
) -> None:
    assert audit.fault(allowed_percent) == said


@pytest.mark.parametrize(
    ("generator", "publisher", "others", "cpu", "warned"),
    [
        (0.5, 0.1, 0.1, 0.5, []),
        (0.9, 0.1, 0.1, 0.5, ["the generator kept 90% of a core busy and may have been the lim"]),
        (0.5, 0.95, 0.1, 0.5, ["the publisher and probe kept 95% of a core busy"]),
        (0.5, 0.1, 0.6, 0.5, ["other processes kept 0.60 cores busy meanwhile"]),
        (0.5, 0.1, 0.1, 0.05, ["the server used 0.10 s of CPU, which is counted in steps"]),
        (0.5, 0.1, math.nan, math.nan, []),
    ],
)
def test_a_window_that_measured_something_else_is_doubted(
    generator: float, publisher: float, others: float, cpu: float, warned: list[str]
) -> None:
    use = Use(1.0, Cpu(cpu, cpu), 1.0, generator, publisher, others)

    found = doubts(use)
    assert len(found) == len(warned)
    assert all(text.startswith(start) for text, start in zip(found, warned, strict=True))


def test_a_curve_ends_with_its_maximum_where_its_latencies_cannot_be_told_apart() -> None:
    curve = dict(Latencies([*range(1, 100), 1000]).curve())

    assert (curve[0], curve[50], curve[99], curve[100]) == (1, 50, 99, 1000)
    assert 99.5 not in curve
    assert Latencies().curve() == []


def drawn(scene: Scene, now_ns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(scene.drawn(now_ns))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_scene_shows_phase_figures_and_what_is_left() -> None:
    scene = Scene()
    scene.begin("fanout", now_ns=0)
    scene.round("floor", 1, 2, now_ns=0)
    assert drawn(scene, 0) == ["fanout · round 1 of 2 · floor", "starting", ""]

    scene.phase("connecting", 1000, now_ns=0)
    scene.count(250, now_ns=0)
    scene.sample("server_cpu_percent", 48.2, now_ns=0)
    scene.sample("deliveries_per_second", 20_013.0, now_ns=0)
    scene.sample("p99_ms", math.nan, now_ns=0)
    _, progress, figures = drawn(scene, 0)
    assert progress.startswith("connecting ━━━━━━━━━━")
    assert progress.endswith(" 250 of 1,000")
    assert figures == "20,013 deliveries/s · server CPU 48 %"


def test_what_is_left_is_known_from_the_second_round_on() -> None:
    scene = Scene()
    scene.begin("fanout", now_ns=0)
    scene.round("floor", 1, 3, now_ns=0)
    scene.round("callboard", 1, 3, now_ns=4 * SECOND_NS)
    assert math.isnan(scene.left_seconds(5 * SECOND_NS))

    scene.round("floor", 2, 3, now_ns=10 * SECOND_NS)
    # 4 s of this one, 6 s of the other, and a third round of both.
    assert scene.left_seconds(11 * SECOND_NS) == 3 + 6 + 10
    scene.round("callboard", 3, 3, now_ns=14 * SECOND_NS)
    assert scene.left_seconds(99 * SECOND_NS) == 0


def test_lines_are_printed_where_nobody_draws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = display(quiet=False)
    assert isinstance(shown, Lines)
    shown.begin("fanout")
    shown.round("floor", 1, 3)
    shown.phase("connecting", 5)
    shown.sample("p99_ms", 1.0)
    shown.close()

    assert capsys.readouterr().err.splitlines() == ["fanout", "round 1 of 3: floor"]
    assert isinstance(display(quiet=True), Quiet)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a drawing process take its time to begin, as it does on a busy machine."""
    monkeypatch.setattr(display_module, "_END_SECONDS", 30.0)


@pytest.mark.usefixtures("unhurried")
def test_a_drawing_process_ends_with_its_run_and_is_not_missed_when_it_dies() -> None:
    shown = Live()
    shown.begin("fanout")
    shown.round("floor", 1, 1)
    shown._process.kill()
    shown._process.join()
    for done in range(1000):
        shown.count(done)
    shown.close()

    other = Live()
    other.begin("fanout")
    other.close()
    assert other._process.exitcode == 0


@pytest.mark.usefixtures("unhurried")
def test_a_terminal_that_is_held_holds_no_run() -> None:
    shown = Live()
    pid = shown._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    # More than a pipe takes.
    for done in range(5000):
        shown.count(done)
    os.kill(pid, signal.SIGCONT)
    shown.close()
    assert shown._process.exitcode == 0
