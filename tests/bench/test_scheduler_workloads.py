"""Every workload of the scheduler with tiny counts against real processes, so that none can rot.

W5b is not among them: it takes a lease, which is ten seconds.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from callboard_bench.cli import main
from callboard_bench.scheduler.workloads import WORKLOADS

TINY = {
    "W1": ["--samples", "5", "--interval-ms", "5"],
    "W3": ["--tasks", "40", "--in-flight", "4"],
    "W3b": ["--tasks", "40", "--batch", "15"],
    "W4": ["--backlog", "40", "--batch", "15"],
    "W5": ["--kills", "1"],
    "W5f": ["--kills", "1"],
    "W6": ["--cron-seconds", "2"],
    "W7": ["--reports", "3"],
    "W8": ["--changes", "5"],
    "W9": ["--cancels", "2"],
}
COUNTED = {
    "W1": ("samples", 5),
    "W3": ("tasks", 40),
    "W3b": ("tasks", 40),
    "W4": ("tasks", 40),
    "W5": ("losses", 1),
    "W5f": ("losses", 1),
    "W7": ("reports", 3),
    "W8": ("changes", 5),
    "W9": ("cancels", 2),
}


def measure(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status = main(["scheduler", *arguments, "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed
    document: dict[str, Any] = orjson.loads(printed.out)
    return document


def test_all_others_are_measured_here() -> None:
    assert {workload.key for workload in WORKLOADS} - TINY.keys() == {"W5b"}


@pytest.mark.parametrize("key", TINY)
def test_every_workload_measures_all_that_it_reports(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = measure(capsys, "--workload", key, *TINY[key])

    (values,) = document["rounds"]["callboard"]
    (workload,) = (each for each in WORKLOADS if each.key == key)
    figures = {metric.key: values[metric.key] for metric in workload.metrics}
    assert None not in figures.values(), "a figure is not a number"
    if key in COUNTED:
        name, count = COUNTED[key]
        assert values[name] == count
    else:
        # A second begins once or twice while the schedule is there.
        assert values["ticks"] >= 1


def test_several_workloads_are_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--workload", "w8,W9", "--changes", "1", "--cancels", "1", "--json"]
    status = main(["scheduler", *arguments])
    printed = capsys.readouterr()

    assert status == 0, printed
    documents = orjson.loads(printed.out)
    assert [each["scenario"] for each in documents] == ["scheduler W8", "scheduler W9"]


def test_nobody_to_measure_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scheduler", "--workload", "W7", "--only", "huey"]) == 1
    assert "error: --only names nobody who runs these workloads" in capsys.readouterr().err
