"""Every workload of the scheduler with tiny counts against real processes, so that none can rot.

W5b is not among them: it takes a lease, which is ten seconds.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from callboard.cli import main
from callboard_bench.scheduler.workloads import WORKLOADS

TINY = {
    "W1": ["--samples", "5", "--interval-ms", "5"],
    "W3": ["--tasks", "40", "--in-flight", "4"],
    "W3b": ["--tasks", "40", "--batch", "15"],
    "W4": ["--backlog", "40", "--batch", "15"],
    "W5": ["--kills", "1"],
    "W5f": ["--kills", "1"],
    "W6": ["--cron-seconds", "1"],
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


#: Two at a time are what several are.
TOGETHER = ("W8", "W9")


def measure(capsys: pytest.CaptureFixture[str], *keys: str) -> Any:
    arguments = [argument for key in keys for argument in TINY[key]]
    typed = ["bench", "scheduler", "--workload", ",".join(keys), *arguments, "--json"]
    with pytest.raises(SystemExit) as exit_:
        main(typed, prog_name="callboard")
    printed = capsys.readouterr()
    assert exit_.value.code == 0, printed
    return orjson.loads(printed.out)


def check(key: str, document: dict[str, Any]) -> None:
    assert document["scenario"] == f"scheduler {key}"
    (measured,) = document["rounds"]["callboard"]
    values = measured["values"]
    (workload,) = (each for each in WORKLOADS if each.key == key)
    figures = {metric.key: values[metric.key] for metric in workload.metrics}
    assert None not in figures.values(), "a figure is not a number"
    if key in COUNTED:
        name, count = COUNTED[key]
        assert values[name] == count
    else:
        # A second begins once at least while the schedule is there.
        assert values["ticks"] >= 1


def test_all_others_are_measured_here() -> None:
    assert {workload.key for workload in WORKLOADS} - TINY.keys() == {"W5b"}


@pytest.mark.parametrize("key", [key for key in TINY if key not in TOGETHER])
def test_every_workload_measures_all_that_it_reports(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(key, measure(capsys, key))


def test_several_workloads_are_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    documents = measure(capsys, *TOGETHER)

    assert len(documents) == len(TOGETHER)
    for key, document in zip(TOGETHER, documents, strict=True):
        check(key, document)
