from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from callboard_bench.options import parse
from callboard_bench.scheduler.workloads import WORKLOADS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PREFIX = ".venv/bin/python -m callboard_bench "


def documented_commands() -> list[str]:
    return [line for line in PAGE.read_text().splitlines() if line.startswith(PREFIX)]


@pytest.mark.parametrize("command", documented_commands())
def test_every_documented_command_is_what_its_scenario_does_by_default(command: str) -> None:
    arguments = shlex.split(command.removeprefix(PREFIX))

    assert parse(arguments) == parse(arguments[:1])


def test_every_scenario_is_documented() -> None:
    scenarios = {command.split()[3] for command in documented_commands()}

    assert scenarios == {"fanout", "saturation", "trigger", "idle", "scheduler"}
    assert parse(["fanout"]).only is None


def test_workloads_are_chosen_by_name_and_those_that_take_seconds_by_default() -> None:
    def keys(*arguments: str) -> list[str]:
        return [workload.key for workload in parse(["scheduler", *arguments]).workload]

    assert keys("--workload", "w4, W1") == ["W4", "W1"]
    assert keys("--workload", "all") == [workload.key for workload in WORKLOADS]
    assert set(keys("--workload", "all")) - set(keys()) == {"W4", "W5b", "W6"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fanout", "--subscribers", "0"], "--subscribers is a number from 1, not 0"),
        (["fanout", "--seconds", "0"], "--seconds lies above 0 and up to 60"),
        (["saturation", "--rate", "nan"], "--rate lies above 0 and up to 10000"),
        (["fanout", "--message-bytes", "50"], "--message-bytes is at least"),
        (["idle", "--connections", "99999999"], "raise the hard limit"),
        (["scheduler", "--interval-ms", "0"], "--interval-ms is a number from 1, not 0"),
        (["scheduler", "--workload", "W2"], "no workload 'w2'; there are: W1, W3, W3b, W4"),
        (["scheduler", "--peers", "celery"], "no peer 'celery'; there are: huey, saq"),
        (["no-such-scenario"], "invalid choice"),
    ],
)
def test_wrong_usage_says_what_was_expected(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(arguments)

    assert exit_.value.code == 2
    assert said in capsys.readouterr().err
