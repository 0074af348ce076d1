"""The tables and programs of docs/tasks.md, which the tests hold to what happens."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"

_PROGRAM = re.compile(
    r"```(js|python)\n((?:(?!```).)*)```\n\nIt prints:\n\n```\n(.*?)```", re.DOTALL
)


def programs() -> list[tuple[str, str, str]]:
    """Language, source and output of each program."""
    return [
        (language, source, output)
        for language, source, output in _PROGRAM.findall(PAGE.read_text("utf-8"))
    ]


def names(heading: str, table: int = 1) -> list[str]:
    """Return what the first cells name of the page's n-th table with this first heading."""
    text = PAGE.read_text("utf-8").split(f"| {heading} |")[table].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in text.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
