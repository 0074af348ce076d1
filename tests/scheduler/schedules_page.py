"""The tables and bodies of docs/schedules.md, which the tests hold to what happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from callboard_scheduler.records import Misfire

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"


def _cells() -> Iterator[list[str]]:
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip(" `") for cell in line.strip("|").split("|")]


def jumps() -> Iterator[tuple[str, str, str, str]]:
    """Zone, local date, expression and that date's ticks of each row about clocks that jump."""
    for cells in _cells():
        if len(cells) == 5 and re.fullmatch(r"\d{4}-\d\d-\d\d", cells[1]):
            zone, day, _, expression, listed = cells
            yield zone, day, expression, listed


def missed() -> Iterator[tuple[str, dict[Misfire, str]]]:
    """When the scheduler is back, and what fires then by each policy."""
    for back, *fires in _cells():
        if re.fullmatch(r"\d\d:\d\d:\d\d", back):
            yield back, dict(zip(Misfire, fires, strict=True))


def bodies() -> list[str]:
    """The JSON bodies."""
    return blocks("json")


def blocks(language: str) -> list[str]:
    """What stands in the page's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
