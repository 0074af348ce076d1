"""What every scenario's command does, with a scenario and servers that exist in this file only."""

from __future__ import annotations

import asyncio
import errno
import io
import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from callboard_bench.api import App
from callboard_bench.command import scenario_command
from callboard_bench.errors import BenchError
from callboard_bench.figures import Latencies
from callboard_bench.rounds import Audited, Metric, Requests, Round, Timeline, Watch
from callboard_bench.scenario import Scenario, count, rate
from callboard_bench.targets.target import Address, Contender, Target

LIMITED = [("--max-p99", "latency"), ("--max-loss", "audit"), ("--max-errors", "count of refused")]
METRICS = (Metric("p99_ms", "latency p99, ms", 1, better="lower"),)


@dataclass(frozen=True, slots=True)
class Load:
    """Nothing is done with it."""

    subscribers: int
    rate: float

    def setting(self) -> str:
        return f"{self.subscribers} subscribers"

    def open_files(self) -> int:
        return self.subscribers


Running = Callable[[], Awaitable[Round]]


class Stage:
    """Two servers, whose rounds are what a test says; without a word each has a p99 of 1 ms."""

    def __init__(self) -> None:
        self.check: Callable[[], Awaitable[None]] | None = None
        self.rounds: dict[str, Iterator[Running]] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []

    def contenders(self, *_: object) -> list[Contender]:
        return [Contender(name, partial(self._open, name), self.check) for name in ("one", "two")]

    @asynccontextmanager
    async def _open(self, name: str) -> AsyncIterator[Target]:
        self.opened.append(name)
        where = Address("127.0.0.1", 1)
        try:
            yield Target(name, App("id", "key", "secret"), where, where)
        finally:
            self.closed.append(name)

    async def run(self, target: Target, load: Load, watch: Watch) -> Round:
        return await next(self.rounds.get(target.name, iter(())), p99(1.0))()


def p99(milliseconds: float, **rest: Any) -> Running:
    async def measure() -> Round:
        return Round({"p99_ms": milliseconds}, **rest)

    return measure


def failing(error: Exception) -> Running:
    async def fail() -> Round:
        raise error

    return fail


def interrupted(number: signal.Signals) -> Running:
    async def interrupt() -> Round:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        raise AssertionError("there is nothing to wait for")

    return interrupt


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr("callboard_bench.command.contenders", stage.contenders)
    return stage


def bench(stage: Stage, *arguments: str, p99: str = "p99_ms", limited: bool = True) -> int:
    scenario = Scenario(
        name="fake",
        about="Nothing is measured.",
        load=Load,
        options=(
            count("--subscribers", 5, "Subscribers."),
            rate("--rate", 20, "Publishes.", unbounded=True),
        ),
        metrics=lambda load: METRICS,
        run=stage.run,
        p99=p99,
        audited=limited,
        requests=limited,
    )
    command = scenario_command(scenario, "A scenario of a test.")
    with pytest.raises(SystemExit) as exit_:
        command.main(arguments, prog_name="fake")
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_servers_take_turns_and_are_compared_with_the_first(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds["two"] = iter([p99(2.0), p99(4.0)])

    assert bench(stage, "--rounds", "2") == 0

    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "fake",
        "round 1 of 2: one",
        "round 1 of 2: two",
        "round 2 of 2: one",
        "round 2 of 2: two",
    ]
    assert stage.opened == stage.closed == ["one", "two", "one", "two"]
    lines = printed.out.splitlines()
    assert lines[0] == "fake: 5 subscribers"
    assert lines[3].split(maxsplit=2) == ["one", "two", "two / one"]
    assert lines[4].split(maxsplit=4)[3:] == ["1.0", "3.0 (2.0 – 4.0)  3.00 (2.00 – 4.00)"]


def test_quiet_says_nothing_while_it_runs(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(stage, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_a_server_that_fails_a_round_leaves_the_others_theirs(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    error = BenchError("it refused")
    error.add_note("two said: not today")
    stage.rounds["two"] = iter([failing(error), p99(2.0)])

    assert bench(stage, "--rounds", "2") == 1

    lines = capsys.readouterr().out.splitlines()
    assert "of rounds: 2 (without 1 of two, which failed); " in lines[1]
    assert lines[4].split()[3:] == ["1.0", "2.0", "2.00"]
    assert lines[-1] == "FAULT: two, round 1: it refused; two said: not today"


def test_a_failure_among_tasks_is_told_by_the_first(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    group = ExceptionGroup("tasks", [OSError("closed"), OSError("closed too")])
    stage.rounds["two"] = iter([failing(group)])

    assert bench(stage, "--rounds", "1") == 1
    assert "FAULT: two, round 1: closed\n" in capsys.readouterr().out


def test_when_nobody_was_measured_there_is_no_table_and_no_other_round(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds = {name: iter([failing(BenchError("no"))]) for name in ("one", "two")}

    assert bench(stage, "--quiet") == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["error: one, round 1: no", "error: two, round 1: no"]
    assert stage.opened == ["one", "two"]


def test_a_mistake_of_ours_is_no_failure_of_a_server(stage: Stage) -> None:
    stage.rounds["one"] = iter([failing(KeyError("ours"))])
    scenario_fails = pytest.raises(KeyError, match="ours")

    with scenario_fails:
        bench(stage)
    assert stage.closed == ["one"]


@pytest.mark.parametrize(
    ("limit", "status", "said"),
    [
        ("2.5", 0, "kept: --max-p99 2.5 ms: two 2 ms"),
        ("1.5", 1, "MISSED: --max-p99 1.5 ms: two 2 ms"),
    ],
)
def test_a_limit_is_for_the_median_of_the_last_server(
    stage: Stage, limit: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds = {
        "one": iter([p99(9.0), p99(9.0), p99(9.0)]),
        "two": iter([p99(1.0), p99(50.0), p99(2.0)]),
    }

    assert bench(stage, "--max-p99", limit) == status
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_a_limit_of_a_figure_that_is_missing_is_missed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds["two"] = iter([p99(math.nan)])

    assert bench(stage, "--max-p99", "5", "--rounds", "1") == 1
    assert "MISSED: --max-p99 5 ms: two no figure" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 1, ["FAULT: two, round 1: 3 of 1,000 lost"]),
        (
            ["--max-loss", "0.5"],
            0,
            ["kept: --max-loss 0.5 %: two 0.3 %", "allowed: two, round 1: 3 of 1,000 lost"],
        ),
        (
            ["--max-loss", "0.1"],
            1,
            ["MISSED: --max-loss 0.1 %: two 0.3 %", "FAULT: two, round 1: 3 of 1,000 lost"],
        ),
    ],
)
def test_loss_is_a_fault_unless_it_is_allowed(
    stage: Stage,
    arguments: Sequence[str],
    status: int,
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage.rounds["two"] = iter([p99(1.0, audit=Audited(1000, lost=3))])

    assert bench(stage, "--rounds", "1", *arguments) == status
    assert capsys.readouterr().out.splitlines()[-len(said) :] == said


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 1, ["FAULT: two, round 1: 3 of 300 requests refused (1 %), the first with 503 b''"]),
        (
            ["--max-errors", "2"],
            0,
            [
                "kept: --max-errors 2 %: two 1 %",
                "allowed: two, round 1: 3 of 300 requests refused (1 %), the first with 503 b''",
            ],
        ),
        (
            ["--max-errors", "0.5"],
            1,
            [
                "MISSED: --max-errors 0.5 %: two 1 %",
                "FAULT: two, round 1: 3 of 300 requests refused (1 %), the first with 503 b''",
            ],
        ),
    ],
)
def test_refused_requests_are_a_fault_unless_they_are_allowed(
    stage: Stage,
    arguments: Sequence[str],
    status: int,
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage.rounds["two"] = iter([p99(1.0, requests=Requests(300, 3, "503 b''"))])

    assert bench(stage, "--rounds", "1", *arguments) == status
    assert capsys.readouterr().out.splitlines()[-len(said) :] == said


def test_a_limit_of_what_never_happened_is_missed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(stage, "--rounds", "1", "--max-errors", "2") == 1
    assert "MISSED: --max-errors 2 %: two no figure" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--max-loss", "--max-errors"])
def test_a_share_above_all_is_wrong_usage(
    stage: Stage, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(stage, flag, "101") == 2
    assert "101" in capsys.readouterr().err
    assert stage.opened == []


def test_allowed_loss_allows_nothing_else(stage: Stage) -> None:
    stage.rounds["two"] = iter([p99(1.0, audit=Audited(1000, lost=3, duplicated=1))])

    assert bench(stage, "--rounds", "1", "--max-loss", "1") == 1


@pytest.mark.parametrize(("flag", "what"), LIMITED)
def test_a_limit_of_what_is_not_measured_is_wrong_usage(
    stage: Stage, flag: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(stage, flag, "1", p99="", limited=False) == 2
    assert f"fake has no {what}" in capsys.readouterr().err


def test_more_connections_than_open_files_are_refused_beforehand(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(stage, "--subscribers", "99999999") == 2
    assert "raise the hard limit" in capsys.readouterr().err
    assert stage.opened == []


def test_json_holds_all_that_was_measured_and_no_secret(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    curves = {"latency": Latencies([100, 100, 300])}
    timeline = Timeline(0.5, {"deliveries_per_second": [10.0, math.nan]})
    audit = Audited(5)
    stage.rounds["two"] = iter([p99(math.nan, audit=audit, curves=curves, timeline=timeline)])
    url = "http://key:s3cret@127.0.0.1:1/apps/1"

    assert bench(stage, "--rate", "max", "--rounds", "1", "--json", "--url", url) == 0

    printed = capsys.readouterr().out
    assert "s3cret" not in printed
    document = orjson.loads(printed)
    assert document["command"] == (
        "callboard bench fake --rate max --rounds 1 --json "
        "--url 'http://key:***@127.0.0.1:1/apps/1'"
    )
    assert document["options"] == {"subscribers": 5, "rate": "max", "rounds": 1}
    assert document["targets"] == ["one", "two"]
    assert document["metrics"][0]["better"] == "lower"
    assert document["partial"] is False
    (measured,) = document["rounds"]["two"]
    assert measured["values"] == {"p99_ms": None}
    assert measured["audit"] == {"expected": 5, "lost": 0, "duplicated": 0, "reordered": 0}
    assert measured["curves"]["latency"]["count"] == 3
    assert measured["curves"]["latency"]["points"][-1] == [100.0, 300.0]
    assert measured["timeline"] == {
        "step_seconds": 0.5,
        "series": {"deliveries_per_second": [10.0, None]},
    }
    assert document["machine"]["cores"] >= 1


def test_json_is_one_object_even_if_there_was_no_round(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check() -> None:
        raise BenchError("nobody listens")

    stage.check = check
    assert bench(stage, "--json", "--quiet") == 1

    printed = capsys.readouterr()
    document = orjson.loads(printed.out)
    assert document["faults"] == ["nobody listens"]
    assert document["rounds"] == {"one": [], "two": []}
    assert document["summary"]["two"]["p99_ms"]["median"] is None
    assert printed.err == "error: nobody listens\n"


def test_json_is_one_object_even_if_it_was_interrupted_in_the_first_round(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds["one"] = iter([interrupted(signal.SIGINT)])

    assert bench(stage, "--json", "--quiet") == 130
    assert orjson.loads(capsys.readouterr().out)["partial"] is True


def test_a_page_is_written_besides(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"

    assert bench(stage, "--rounds", "1", "--html", str(path)) == 0
    assert "5 subscribers" in path.read_text()
    assert "latency p99" in capsys.readouterr().out


def test_a_page_that_cannot_be_written_is_told_and_takes_nothing_else_away(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(stage, "--rounds", "1", "--html", "/dev/full", "--quiet") == 1

    printed = capsys.readouterr()
    assert "error: the page was not written: [Errno 28]" in printed.err
    assert "latency p99" in printed.out


class Refusing(io.StringIO):
    """An output that takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._error = OSError(number, os.strerror(number))

    def write(self, text: str) -> int:
        raise self._error


def test_the_page_is_there_even_if_nobody_reads_the_table(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"

    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", Refusing(errno.EPIPE))
        assert bench(stage, "--rounds", "1", "--quiet", "--html", str(path)) == 1
    assert "5 subscribers" in path.read_text()


def test_a_table_that_cannot_be_printed_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", Refusing(errno.ENOSPC))
        assert bench(stage, "--rounds", "1", "--quiet") == 1
    assert "error: the result was not printed: [Errno 28]" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_prints_the_rounds_that_were_done(
    stage: Stage, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds["one"] = iter([p99(1.0), interrupted(number)])

    assert bench(stage, "--json", "--quiet") == 130

    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["interrupted"]
    document = orjson.loads(printed.out)
    assert document["partial"] is True
    assert len(document["rounds"]["two"]) == 1
    assert stage.opened == stage.closed


def test_a_table_says_that_it_is_partial(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.rounds["two"] = iter([interrupted(signal.SIGINT)])

    assert bench(stage) == 130
    assert "of rounds: 1 / 0, PARTIAL: interrupted" in capsys.readouterr().out


def test_what_is_interrupted_before_its_first_round_ends_prints_nothing(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.rounds["one"] = iter([interrupted(signal.SIGINT)])

    assert bench(stage) == 130
    assert capsys.readouterr().out == ""
