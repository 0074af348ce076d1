"""A run as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callboard_bench.figures import Spread, spread
from callboard_bench.micro.comparison import Comparison
from callboard_bench.micro.record import Figures, Record

#: Stands behind figures that are not CPU time.
_ELAPSED = "*"


def as_table(run: Record, machine_line: str, compared: Mapping[str, Comparison] | None) -> str:
    """Return a line for each benchmark: medians, with the lowest and highest of the rounds.

    ``compared`` has the comparisons with a baseline, if there is one.
    """
    heads = ["", "ns/op", "ops/s", "/ calibration", "bytes"]
    if compared is not None:
        heads += ["/ baseline", ""]
    rows = [heads]
    for name, figures in run.benchmarks.items():
        row = [name, *_cells(figures)]
        if compared is not None:
            row += _compared(compared.get(name))
        rows.append(row)
    calibration = spread(run.calibration_ns)
    lines = [
        f"micro: median (lowest – highest) of rounds: {run.rounds}; {machine_line}",
        (
            f"calibration: {_shown(calibration)} ns; garbage collector {run.garbage_collector}; "
            "bytes: the most that one operation needs at once"
        ),
        "",
        *_aligned(rows),
    ]
    if any(figures.clock == "elapsed" for figures in run.benchmarks.values()):
        lines += ["", f"{_ELAPSED} waits: by the clock on the wall; all others by CPU time"]
    return "\n".join(lines)


def titles(named: Mapping[str, str]) -> str:
    """Return the benchmarks and what one operation of each is."""
    return "\n".join(_aligned([[name, title] for name, title in named.items()], right=False))


def _cells(figures: Figures) -> list[str]:
    ns = spread(figures.ns)
    mark = _ELAPSED if figures.clock == "elapsed" else ""
    return [
        f"{_shown(ns)}{mark}",
        f"{1e9 / ns.median:,.0f}",
        "" if mark else _shown(spread(figures.relative)),
        "" if figures.peak_bytes is None else f"{figures.peak_bytes:,.0f}",
    ]


def _compared(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return ["new", ""]
    return [_shown(comparison.ratios[0]), comparison.verdict]


def _shown(figure: Spread) -> str:
    digits = _digits(figure.median)
    median, low, high = (
        f"{value:,.{digits}f}" for value in (figure.median, figure.low, figure.high)
    )
    return median if low == high else f"{median} ({low} – {high})"


def _digits(value: float) -> int:
    """Return how many decimals make three digits that count, at most three of them."""
    for digits, bound in enumerate((100, 10, 1)):
        if value >= bound:
            return digits
    return 3


def _aligned(rows: Sequence[Sequence[str]], *, right: bool = True) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if right and column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
