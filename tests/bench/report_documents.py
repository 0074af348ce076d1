"""Documents as ``--json`` prints them, made up with figures that follow from their arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from callboard_bench.figures import CURVE_PERCENTS, ratios, spread

METRICS: list[dict[str, Any]] = [
    {
        "key": "cpu_us",
        "title": "server CPU per delivery, µs",
        "digits": 2,
        "ratio": True,
        "better": "lower",
    },
    {
        "key": "deliveries_per_second",
        "title": "deliveries per second",
        "digits": 0,
        "ratio": True,
        "better": "higher",
    },
    {"key": "p50_ms", "title": "latency p50, ms", "digits": 2, "ratio": True, "better": "lower"},
    {"key": "p99_ms", "title": "latency p99, ms", "digits": 2, "ratio": True, "better": "lower"},
    {
        "key": "generator_core_percent",
        "title": "busiest generator's share of a core, %",
        "digits": 0,
        "ratio": False,
        "better": "",
    },
]

MACHINE = {
    "cpu": "Abacus 9",
    "cores": 2,
    "kernel": "6.18.44",
    "python": "3.11.7",
    "implementation": "cpython",
}


def document(
    targets: Sequence[str] = ("floor", "callboard"), rounds: int = 3, **fields: Any
) -> dict[str, Any]:
    """A fan-out of these targets: each is a tenth slower than the one before."""
    found = {
        target: [_round(place, number) for number in range(rounds)]
        for place, target in enumerate(targets)
    }
    return {
        "scenario": "fanout",
        "setting": "1,000 subscribers of one channel, 20 publishes/s of 220 bytes for 10 s",
        "command": "callboard bench fanout --subscribers 1000 --rate 20",
        "options": {"subscribers": 1000, "rate": 20.0, "probe": False, "rounds": rounds},
        "machine": MACHINE,
        "date": "2026-11-25T12:00:00Z",
        "partial": False,
        "metrics": METRICS,
        "targets": list(targets),
        "rounds": found,
        "summary": _summary(found),
        "thresholds": [],
        "warnings": [],
        "faults": [],
        **fields,
    }


def _round(place: int, number: int) -> dict[str, Any]:
    slower = 1 + place / 10 + number / 50
    step, steps = 0.5, 20
    rate = [20_000 * (1 - math.exp(-at - 1)) / slower for at in range(steps)]
    return {
        "values": {
            "cpu_us": 7.2 * slower,
            "deliveries_per_second": 20_000 / slower,
            "p50_ms": 1.1 * slower,
            "p99_ms": 3.2 * slower,
            "generator_core_percent": 41.0,
        },
        "fault": None,
        "warnings": [],
        "audit": {"expected": 201_000, "lost": 0, "duplicated": 0, "reordered": 0},
        "curves": {"latency": {"unit": "us", "count": 200_000, "points": _curve(slower)}},
        "timeline": {
            "step_seconds": step,
            "series": {
                "deliveries_per_second": rate,
                # No latency where nothing had arrived yet.
                "p99_ms": [None, *((3 + math.sin(at + number)) * slower for at in range(1, steps))],
                "server_cpu_percent": [15 * slower + at % 3 for at in range(steps)],
                "server_rss_mib": [48 + 4 * place + at * slower / 4 for at in range(steps)],
            },
        },
    }


def _curve(slower: float) -> list[list[float]]:
    told_apart = 100 * (1 - 1 / 200_000)
    return [
        [percent, round(slower * 400 * (1 + 0.2 * nines**2 + nines))]
        for percent in CURVE_PERCENTS
        if percent <= told_apart or percent == 100
        for nines in (-math.log10(max(1 - percent / 100, 1 / 200_000)),)
    ]


def _summary(rounds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    values = {
        target: {
            metric["key"]: [one["values"][metric["key"]] for one in found] for metric in METRICS
        }
        for target, found in rounds.items()
    }
    reference = next(iter(values.values()))
    summary: dict[str, Any] = {}
    for place, (target, of) in enumerate(values.items()):
        summary[target] = {}
        for metric in METRICS:
            figure = spread(of[metric["key"]])
            entry = {"median": figure.median, "low": figure.low, "high": figure.high}
            if place and metric["ratio"]:
                ratio = spread(ratios(of[metric["key"]], reference[metric["key"]]))
                entry |= {
                    "ratio_median": ratio.median,
                    "ratio_low": ratio.low,
                    "ratio_high": ratio.high,
                }
            summary[target][metric["key"]] = entry
    return summary
