"""A result as a JSON document: all that was measured, for programs and for the HTML page.

The page is made of this and nothing else, so what it shows can be checked against it. There are
no secrets in it: neither the options nor the command line hold any. What is not a number is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from callboard_bench.figures import Latencies, Spread, ratios, spread
from callboard_bench.machine import machine
from callboard_bench.rounds import Result, Round
from callboard_bench.scenario import MAX
from callboard_bench.thresholds import Verdict


def document(
    result: Result,
    verdicts: Sequence[Verdict],
    faults: Sequence[str],
    command: str,
    unix_seconds: int,
) -> dict[str, Any]:
    """Return it, of JSON's own types only.

    Args:
        faults: those of the result that were not allowed.
        command: how to measure it again, without secrets.
        unix_seconds: when it was measured.
    """
    whole = {
        "scenario": result.scenario,
        "setting": result.setting,
        "command": command,
        "options": {name: _option(value) for name, value in result.options.items()},
        "machine": machine(),
        "date": datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "partial": result.partial,
        "metrics": [asdict(metric) for metric in result.metrics],
        "targets": list(result.rounds),
        "rounds": {
            name: [_round(result, each) for each in rounds]
            for name, rounds in result.rounds.items()
        },
        "summary": {name: _summary(result, name) for name in result.rounds},
        "thresholds": [asdict(verdict) | {"met": verdict.met} for verdict in verdicts],
        "warnings": result.warnings(),
        "faults": list(faults),
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(whole))
    return plain


def as_json(value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Return a document, or a list of them, as text."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _option(value: object) -> object:
    return MAX if value == math.inf else value


def _round(result: Result, round_: Round) -> dict[str, Any]:
    return {
        "values": round_.values,
        "fault": round_.fault_beyond(),
        "warnings": round_.warnings,
        "audit": None if round_.audit is None else asdict(round_.audit),
        "requests": None if round_.requests is None else asdict(round_.requests),
        "curves": {
            name: {"title": result.curve_title(name), **_curve(latencies)}
            for name, latencies in round_.curves.items()
        },
        "timeline": None
        if round_.timeline is None
        else {
            "step_seconds": round_.timeline.step_seconds,
            "series": {name: list(series) for name, series in round_.timeline.series.items()},
        },
    }


def _curve(latencies: Latencies) -> dict[str, Any]:
    return {"unit": "us", "count": len(latencies), "points": latencies.curve()}


def _summary(result: Result, name: str) -> dict[str, dict[str, float]]:
    reference = next(iter(result.rounds))
    summary = {}
    for metric in result.metrics:
        values = result.values(name, metric.key)
        entry = _as_dict(spread(values))
        if metric.ratio and name != reference:
            against = spread(ratios(values, result.values(reference, metric.key)))
            entry |= {f"ratio_{key}": value for key, value in _as_dict(against).items()}
        summary[metric.key] = entry
    return summary


def _as_dict(figure: Spread) -> dict[str, float]:
    return {"median": figure.median, "low": figure.low, "high": figure.high}
