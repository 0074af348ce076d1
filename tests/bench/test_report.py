from __future__ import annotations

import math

import orjson
import pytest

from callboard_bench.process import Cpu, Use
from callboard_bench.report import as_json, as_table
from callboard_bench.rounds import Metric, Result, Round, doubts


@pytest.fixture
def result() -> Result:
    rounds = {
        "floor": [Round({"cpu": 10.0, "n": 5.0}), Round({"cpu": 20.0, "n": 5.0})],
        "callboard": [
            Round({"cpu": 11.0, "n": 5.0}, warnings=["the generator was busy"]),
            Round({"cpu": 24.0, "n": 5.0}, fault="1 lost"),
        ],
    }
    metrics = (Metric("cpu", "CPU, µs", 2), Metric("n", "counted", 0, ratio=False))
    return Result("fanout", "two subscribers", {"rounds": 2}, metrics, rounds)


def test_a_table_holds_median_spread_and_ratio_and_what_is_wrong(result: Result) -> None:
    lines = as_table(result).splitlines()
    cpu, counted = (next(line for line in lines if line.startswith(t)) for t in ("CPU", "counted"))

    assert "15.00 (10.00 – 20.00)" in cpu
    assert "17.50 (11.00 – 24.00)" in cpu
    assert cpu.endswith("1.15 (1.10 – 1.20)")
    assert counted.split() == ["counted", "5", "5"]
    assert "warning: callboard, round 1: the generator was busy" in lines
    assert "FAULT: callboard, round 2: 1 lost" in lines


def test_json_holds_every_round_and_the_summary(result: Result) -> None:
    result.rounds["floor"][0].values["cpu"] = math.nan
    document = orjson.loads(as_json(result))

    assert document["rounds"]["callboard"][1] == {"cpu": 24.0, "n": 5.0}
    assert document["summary"]["callboard"]["cpu"]["ratio_median"] == pytest.approx(1.2)
    assert document["summary"]["floor"]["cpu"]["median"] == 20.0
    assert document["faults"] == ["callboard, round 2: 1 lost"]
    assert document["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("generator", "publisher", "others", "warned"),
    [
        (0.5, 0.1, 0.1, []),
        (0.9, 0.1, 0.1, ["the generator kept 90% of a core busy and may have been the limit"]),
        (0.5, 0.95, 0.1, ["the publisher and probe kept 95% of a core busy"]),
        (0.5, 0.1, 0.6, ["other processes kept 0.60 cores busy meanwhile"]),
    ],
)
def test_a_window_that_measured_the_client_or_the_neighbours_is_doubted(
    generator: float, publisher: float, others: float, warned: list[str]
) -> None:
    use = Use(1.0, Cpu(0.5, 0.5), 1.0, generator, publisher, others)

    found = doubts(use)
    assert len(found) == len(warned)
    assert all(text.startswith(start) for text, start in zip(found, warned, strict=True))
