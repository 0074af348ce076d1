"""A plot: lines over two axes, as SVG that fills the width there is, with HTML around it.

The drawing is a hundred units wide and high and is stretched; strokes keep their width
(``vector-effect``), and numbers stand beside it in HTML. Each line carries its points, with the
words for them, for the script to show under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import orjson

from callboard_bench.report.page.markup import Markup, element
from callboard_bench.report.page.scales import Tick


class Point(NamedTuple):
    """A place in percent from the left and the bottom, and what it means in words."""

    x: float
    y: float
    at: str
    value: str


@dataclass(frozen=True, slots=True)
class Line:
    """One target's line of one round, or of the rounds' median; None is a gap."""

    name: str
    #: The class that gives it the target's colour.
    colour: str
    #: From 1 on; None for the median.
    round: int | None
    points: Sequence[Point | None]
    #: Whether it is in the background, and not read out.
    faint: bool = False


@dataclass(slots=True)
class Plot:
    """What is drawn, and the words for it."""

    title: str
    #: What can be seen in it, for those who cannot see it.
    description: str
    x_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: list[Line] = field(default_factory=list)

    def markup(self, *after: Markup, small: bool = False) -> Markup:
        """Return the figure, with ``after`` below it."""
        return element(
            "figure",
            element("figcaption", self.title),
            element(
                "div",
                self._svg(),
                (_tick("y", "bottom", tick) for tick in self.y_ticks),
                (_tick("x", "left", tick) for tick in self.x_ticks),
                class_="plot",
                role="group",
                aria_label=self.title,
                tabindex="0",
            ),
            element("p", self.x_label, class_="axis"),
            *after,
            class_="small" if small else None,
        )

    def _svg(self) -> Markup:
        rules = [
            *(_rule(0, 100, 100 - tick.place, 100 - tick.place) for tick in self.y_ticks),
            *(_rule(tick.place, tick.place, 0, 100) for tick in self.x_ticks),
        ]
        # The thick ones are drawn over the faint ones.
        ordered = sorted(self.lines, key=lambda line: not line.faint)
        return element(
            "svg",
            rules,
            (_path(line) for line in ordered),
            viewBox="0 0 100 100",
            preserveAspectRatio="none",
            role="img",
            aria_label=self.description,
        )


def colour(target: str, targets: Sequence[str]) -> str:
    """Return the class that gives a target its colour; the one that others are held to is grey."""
    place = targets.index(target) if len(targets) > 1 else 1
    return f"target-{place % 8}"


def legend(targets: Sequence[str]) -> Markup:
    """Return which colour is whose."""
    return element(
        "ul",
        (
            element("li", element("span", class_=f"key {colour(target, targets)}"), target)
            for target in targets
        ),
        class_="legend",
    )


def _tick(axis: str, side: str, tick: Tick) -> Markup:
    return element("span", tick.label, class_=f"tick {axis}", style=f"{side}:{tick.place:.2f}%")


def _rule(x1: float, x2: float, y1: float, y2: float) -> Markup:
    return element("line", x1=f"{x1:.2f}", x2=f"{x2:.2f}", y1=f"{y1:.2f}", y2=f"{y2:.2f}")


def _path(line: Line) -> Markup:
    points = [
        [round(point.x, 2), round(100 - point.y, 2), point.at, point.value]
        for point in line.points
        if point is not None
    ]
    return element(
        "path",
        d=" ".join(_strokes(line.points)),
        class_=f"{line.colour}{' faint' if line.faint else ''}",
        data_name=line.name,
        data_round=line.round,
        data_points=None if line.faint else orjson.dumps(points).decode(),
    )


def _strokes(points: Sequence[Point | None]) -> Iterator[str]:
    """Yield a path for each stretch without a gap; a lone point is one of no length."""
    for gap, stretch in groupby(points, key=lambda point: point is None):
        if not gap:
            found = [point for point in stretch if point is not None]
            places = [f"{point.x:.2f} {100 - point.y:.2f}" for point in found]
            yield f"M{' L'.join(places)}" + (" h0" if len(found) == 1 else "")


def figures_table(
    summary: str, targets: Iterable[str], rows: Sequence[tuple[str, Sequence[str]]]
) -> Markup:
    """Return what a plot shows as a table that unfolds: a row by its head, a column a target."""
    heads = (element("th", target, scope="col") for target in targets)
    lines = (
        element("tr", element("th", head, scope="row"), (element("td", each) for each in figures))
        for head, figures in rows
    )
    return element(
        "details",
        element("summary", summary),
        element(
            "div",
            element(
                "table",
                element("thead", element("tr", element("td"), heads)),
                element("tbody", lines),
            ),
            class_="wide",
        ),
    )
