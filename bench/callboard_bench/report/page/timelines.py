"""Timelines: what happened in the counted window, step by step, for each target and round."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from callboard_bench.report.page.markup import Markup
from callboard_bench.report.page.numbers import short
from callboard_bench.report.page.plot import Line, Plot, Point, colour, figures_table
from callboard_bench.report.page.scales import Linear, Tick

#: Series as they are written by units, which their names end with.
_UNITS: Final = {"percent": "%", "mib": "MiB", "ms": "ms", "us": "µs", "kib": "KiB"}
_WORDS: Final = {"cpu": "CPU", "rss": "RSS"}

#: A target's values of one series, round by round; None for a round without it.
_Series = Mapping[str, Sequence[Sequence[float | None] | None]]


def timelines(document: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield a small figure for each series, in the document's order."""
    every = [one.get("timeline") for rounds in document["rounds"].values() for one in rounds]
    real = [timeline for timeline in every if timeline]
    for key in dict.fromkeys(key for timeline in real for key in timeline["series"]):
        found = {
            target: [(one.get("timeline") or {"series": {}})["series"].get(key) for one in rounds]
            for target, rounds in document["rounds"].items()
        }
        if any(_values(found)):
            yield _figure(key, found, real[0]["step_seconds"], document["targets"])


def most_rounds(document: Mapping[str, Any]) -> int:
    """Return how many rounds there are to choose from."""
    return max((len(rounds) for rounds in document["rounds"].values()), default=0)


def _figure(key: str, found: _Series, step: float, targets: Sequence[str]) -> Markup:
    title, unit = _title(key)
    values = _values(found)
    steps = max(len(each) for rounds in found.values() for each in rounds if each)
    across, up = Linear.of([step * steps]), Linear.of(values)

    def line(target: str, number: int, series: Sequence[float | None]) -> Line:
        points = [
            None
            if value is None
            # The middle of the step in which it was.
            else Point(
                across.place(step * (place + 0.5)),
                up.place(max(value, 0.0)),
                f"{short(step * place)} to {short(step * (place + 1))} s",
                f"{short(value)} {unit}".strip(),
            )
            for place, value in enumerate(series)
        ]
        return Line(target, colour(target, targets), number, points)

    plot = Plot(
        f"{title}, {unit}" if unit else title,
        f"{title} over time: " + "; ".join(_in_words(found, unit)),
        "seconds since the counted window began",
        [Tick(across.place(value), short(value)) for value in across.marks()],
        [Tick(up.place(value), short(value)) for value in up.marks()],
    )
    for target, rounds in found.items():
        plot.lines += [
            line(target, number, series) for number, series in enumerate(rounds, 1) if series
        ]
    return plot.markup(_table(found, step, steps), small=True)


def _table(found: _Series, step: float, steps: int) -> Markup:
    medians = {target: _medians(rounds, steps) for target, rounds in found.items() if any(rounds)}
    rows = [
        (f"{short(step * place)} s", [short(series[place]) for series in medians.values()])
        for place in range(steps)
    ]
    return figures_table("Medians of the rounds as a table", medians, rows)


def _medians(rounds: Sequence[Sequence[float | None] | None], steps: int) -> list[float | None]:
    found: list[float | None] = []
    for place in range(steps):
        at = [series[place] for series in rounds if series and place < len(series)]
        real = [value for value in at if value is not None]
        found.append(statistics.median(real) if real else None)
    return found


def _values(found: _Series) -> list[float]:
    return [
        value
        for rounds in found.values()
        for series in rounds
        for value in series or ()
        if value is not None
    ]


def _in_words(found: _Series, unit: str) -> Iterator[str]:
    for target, rounds in found.items():
        values = _values({target: rounds})
        if values:
            yield f"{target} from {short(min(values))} to {short(max(values))} {unit}".rstrip()


def _title(key: str) -> tuple[str, str]:
    """Return a series' name and unit in words: ``server_cpu_percent`` is CPU in %."""
    words, _, last = key.rpartition("_")
    unit = _UNITS.get(last, "")
    text = (words if unit else key).replace("_", " ")
    return " ".join(_WORDS.get(word, word) for word in text.split()), unit
