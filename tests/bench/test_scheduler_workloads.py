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
    "W2": ["--arrival-seconds", "1", "--tasks", "1000"],
    "W3": ["--tasks", "40", "--in-flight", "4"],
    "W3b": ["--tasks", "40", "--batch", "15"],
    "W4": ["--backlog", "40", "--batch", "15"],
    "W5": ["--kills", "1"],
    "W5f": ["--kills", "1"],
    "W6": ["--cron-seconds", "1"],
    "W7": ["--reports", "3"],
    "W7b": ["--reports", "3", "--watchers", "2"],
    "W8": ["--changes", "5"],
    "W9": ["--cancels", "2"],
    "W10": ["--idle-seconds", "1", "--idle-workers", "1"],
}
COUNTED = {
    "W1": ("samples", 5),
    "W3": ("tasks", 40),
    "W3b": ("tasks", 40),
    "W4": ("tasks", 40),
    "W5": ("losses", 1),
    "W5f": ("losses", 1),
    "W7": ("reports", 3),
    "W7b": ("reports", 6),
    "W8": ("changes", 5),
    "W9": ("cancels", 2),
}
#: The distributions that the page draws.
CURVES = {
    "W1": {"start", "acknowledged", "seen"},
    "W2": {"start_30", "start_70"},
    "W5": {"restart"},
    "W5f": {"restart"},
    "W6": {"late"},
    "W7": {"progress"},
    "W7b": {"progress"},
    "W8": {"start", "acknowledged"},
    "W9": {"cancel"},
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
    elif key == "W6":
        # A second begins once at least while the schedule is there.
        assert values["ticks"] >= 1
    elif key == "W2":
        assert values["tasks_30"] < values["tasks_70"]
        assert len(measured["timeline"]["series"]["p99_ms"]) >= 2
    else:
        assert values["seconds"] >= 1
        assert values["server_rss"] > 0
    assert set(measured["curves"]) == CURVES.get(key, set())


def test_all_others_are_measured_here() -> None:
    assert {workload.key for workload in WORKLOADS} - TINY.keys() == {"W5b"}


@pytest.mark.parametrize("key", [key for key in TINY if key not in TOGETHER])
def test_every_workload_measures_all_that_it_reports(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (document,) = measure(capsys, key)
    check(key, document)


def test_several_workloads_are_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    documents = measure(capsys, *TOGETHER)

    assert len(documents) == len(TOGETHER)
    for key, document in zip(TOGETHER, documents, strict=True):
        check(key, document)
