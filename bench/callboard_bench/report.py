"""A result as a plain table or as JSON."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from callboard_bench.figures import Spread, ratios, spread
from callboard_bench.rounds import Metric, Result


def as_table(result: Result) -> str:
    """Return a table of medians with lowest and highest, and ratios to the first contender."""
    names = list(result.rounds)
    reference = names[0]
    heads = ["", *names, *(f"{name} / {reference}" for name in names[1:])]
    rows = [heads, *(_row(result, metric, names) for metric in result.metrics)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [
        f"{result.scenario}: {result.setting}",
        f"median (lowest – highest) of rounds: {len(result.rounds[reference])}; {machine_line()}",
        "",
        *("  ".join(_aligned(row, widths)).rstrip() for row in rows),
    ]
    for title, texts in (("warning", result.warnings()), ("FAULT", result.faults())):
        lines.extend(f"{title}: {text}" for text in texts)
    return "\n".join(lines)


def as_json(*results: Result) -> str:
    """Return every round's values and the summary, with the machine they come from.

    Of several results it is an array.
    """
    documents = [_document(result) for result in results]
    value = documents[0] if len(documents) == 1 else documents
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _document(result: Result) -> dict[str, object]:
    return {
        "scenario": result.scenario,
        "options": result.options,
        "machine": machine(),
        "rounds": {
            name: [round_.values for round_ in rounds] for name, rounds in result.rounds.items()
        },
        "summary": {name: _summary(result, name) for name in result.rounds},
        "warnings": result.warnings(),
        "faults": result.faults(),
    }


def machine() -> dict[str, object]:
    """Return the class of machine: what figures depend on, nothing that names it."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
    }


def machine_line() -> str:
    """Return :func:`machine` in one line."""
    facts = machine()
    return (
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _row(result: Result, metric: Metric, names: Sequence[str]) -> list[str]:
    values = {name: _values(result, name, metric.key) for name in names}
    cells = [metric.title, *(_cell(spread(values[name]), metric.digits) for name in names)]
    for name in names[1:]:
        ratio = spread(ratios(values[name], values[names[0]]))
        cells.append(_cell(ratio, 2) if metric.ratio else "")
    return cells


def _values(result: Result, name: str, key: str) -> list[float]:
    return [round_.values.get(key, math.nan) for round_ in result.rounds[name]]


def _cell(figure: Spread, digits: int) -> str:
    if math.isnan(figure.median):
        return "-"
    median, low, high = (
        f"{value:,.{digits}f}" for value in (figure.median, figure.low, figure.high)
    )
    return median if low == high else f"{median} ({low} – {high})"


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    first, *rest = row
    return [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
    ]


def _summary(result: Result, name: str) -> dict[str, dict[str, float]]:
    reference = next(iter(result.rounds))
    summary = {}
    for metric in result.metrics:
        values = _values(result, name, metric.key)
        entry = _as_dict(spread(values))
        if metric.ratio and name != reference:
            against = spread(ratios(values, _values(result, reference, metric.key)))
            entry |= {f"ratio_{key}": value for key, value in _as_dict(against).items()}
        summary[metric.key] = entry
    return summary


def _as_dict(figure: Spread) -> dict[str, float]:
    return {"median": figure.median, "low": figure.low, "high": figure.high}
