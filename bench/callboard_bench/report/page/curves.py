"""Percentile curves: how a scenario's times are distributed, for each target and round."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.report.page.markup import Markup
from callboard_bench.report.page.numbers import microseconds
from callboard_bench.report.page.plot import Line, Plot, Point, colour, figures_table
from callboard_bench.report.page.scales import Logarithmic, Nines, Tick

#: Those that a table has, as far as the document has them.
_TOLD: Final = (0, 50, 90, 99, 99.9, 99.99, 100)
_ENDS: Final[Mapping[float, str]] = {0: "lowest", 100: "highest"}


@dataclass(frozen=True, slots=True)
class _Curve:
    """One distribution: microseconds by percentile, of so many values."""

    title: str
    count: int
    points: Mapping[float, float]


def curves(document: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield a figure for each thing that was timed, in the document's order."""
    names = dict.fromkeys(
        name
        for rounds in document["rounds"].values()
        for one in rounds
        for name in one.get("curves") or {}
    )
    for name in names:
        found = {
            target: [
                _read(name, one["curves"][name]) for one in rounds if name in one.get("curves", {})
            ]
            for target, rounds in document["rounds"].items()
        }
        drawn = {
            target: [curve for curve in curves if curve.count and curve.points]
            for target, curves in found.items()
        }
        if any(drawn.values()):
            yield _figure(drawn, document["targets"])


def _read(name: str, curve: Mapping[str, Any]) -> _Curve:
    points = {percent: value for percent, value in curve["points"] if value is not None}
    return _Curve(curve.get("title") or name, curve["count"], points)


def _figure(found: Mapping[str, Sequence[_Curve]], targets: Sequence[str]) -> Markup:
    every = [curve for curves in found.values() for curve in curves]
    across = Nines.of(curve.count for curve in every)
    title = every[0].title
    up = Logarithmic.of([value for curve in every for value in curve.points.values()])
    told = {target: _median(curves) for target, curves in found.items() if curves}

    def line(curve: _Curve, target: str, number: int | None) -> Line:
        points = [
            Point(across.place(percent, curve.count), up.place(value), _percent(percent), written)
            for percent, value in sorted(curve.points.items())
            for written in (microseconds(value),)
        ]
        return Line(target, colour(target, targets), number, points, faint=number is not None)

    plot = Plot(
        f"{title} by percentile",
        f"{title}: " + "; ".join(f"{target} {_in_words(curve)}" for target, curve in told.items()),
        "percent of all that are not above; each further nine takes as much room as the last. "
        "Thin: each round, thick: their median. The scale of times is logarithmic.",
        across.ticks(),
        [Tick(up.place(value), microseconds(value)) for value in up.marks()],
    )
    for target, rounds in found.items():
        if not rounds:
            continue
        if len(rounds) > 1:
            plot.lines += [line(curve, target, number) for number, curve in enumerate(rounds, 1)]
        plot.lines.append(line(told[target], target, None))
    return plot.markup(_table(told))


def _median(rounds: Sequence[_Curve]) -> _Curve:
    """Return the median of the rounds at each percentile that all of them have."""
    shared = set.intersection(*(set(curve.points) for curve in rounds))
    points = {
        percent: statistics.median(curve.points[percent] for curve in rounds) for percent in shared
    }
    return _Curve(
        rounds[0].title, round(statistics.median(curve.count for curve in rounds)), points
    )


def _table(told: Mapping[str, _Curve]) -> Markup:
    percents = [each for each in _TOLD if any(each in curve.points for curve in told.values())]
    rows = [
        (_percent(percent), [microseconds(curve.points.get(percent)) for curve in told.values()])
        for percent in percents
    ]
    return figures_table("These figures as a table", told, rows)


def _percent(percent: float) -> str:
    if percent in _ENDS:
        return _ENDS[percent]
    return f"{percent:g} %"


def _in_words(curve: _Curve) -> str:
    return ", ".join(
        f"{_percent(percent)} {microseconds(curve.points[percent])}"
        for percent in _TOLD
        if percent in curve.points
    )
