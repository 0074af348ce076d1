"""A result as a plain table: a line for each metric, a column for each server."""

from __future__ import annotations

import math
from collections.abc import Sequence

from callboard_bench.figures import Spread, ratios, spread
from callboard_bench.machine import machine_line
from callboard_bench.rounds import Metric, Result
from callboard_bench.thresholds import Verdict


def as_table(
    result: Result, verdicts: Sequence[Verdict], faults: Sequence[str], allowed: Sequence[str] = ()
) -> str:
    """Return medians with lowest and highest, ratios to the first server, and what is wrong.

    Args:
        faults, allowed: those of the result that limits do not allow, and what they do.
    """
    names = list(result.rounds)
    reference = names[0]
    heads = ["", *names, *(f"{name} / {reference}" for name in names[1:])]
    rows = [heads, *(_row(result, metric, names) for metric in result.metrics)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [
        f"{result.scenario}: {result.setting}",
        f"median (lowest – highest) of rounds: {rounds_line(result)}; {machine_line()}",
        "",
        *("  ".join(_aligned(row, widths)).rstrip() for row in rows),
    ]
    lines.extend(f"warning: {text}" for text in result.warnings())
    lines.extend(f"{'kept' if each.met else 'MISSED'}: {in_words(each)}" for each in verdicts)
    lines.extend(f"allowed: {text}" for text in allowed)
    lines.extend(f"FAULT: {text}" for text in faults)
    return "\n".join(lines)


def rounds_line(result: Result) -> str:
    """Return how many rounds there were, who failed some, and whether more should have been."""
    counts = [len(rounds) for rounds in result.rounds.values()]
    text = str(counts[0]) if len(set(counts)) == 1 else " / ".join(map(str, counts))
    failed = {
        name: sum(not round_.values for round_ in rounds) for name, rounds in result.rounds.items()
    }
    told = ", ".join(f"{count} of {name}" for name, count in failed.items() if count)
    text += f" (without {told}, which failed)" if told else ""
    return f"{text}, PARTIAL: interrupted" if result.partial else text


def in_words(verdict: Verdict) -> str:
    """Return a limit and what was measured, such as ``--max-p99 50 ms: callboard 12.1 ms``."""
    unit = verdict.unit
    measured = "no figure" if math.isnan(verdict.measured) else f"{verdict.measured:,.4g} {unit}"
    return f"{verdict.flag} {verdict.limit:g} {unit}: {verdict.target} {measured}"


def _row(result: Result, metric: Metric, names: Sequence[str]) -> list[str]:
    values = {name: result.values(name, metric.key) for name in names}
    cells = [metric.title, *(_cell(spread(values[name]), metric.digits) for name in names)]
    for name in names[1:]:
        ratio = spread(ratios(values[name], values[names[0]]))
        cells.append(_cell(ratio, 2) if metric.ratio else "")
    return cells


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
