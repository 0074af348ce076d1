"""What commands write: tables and details for people, JSON for programs.

On a terminal tables fit its width; elsewhere nothing is cut and columns are aligned by spaces.
What comes from users' code is shown with its control characters escaped: a log line must not
move the cursor of whoever watches.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import click

#: How states look on a terminal.
STYLES: Final[Mapping[str, str]] = {
    "succeeded": "green",
    "running": "cyan",
    "assigned": "cyan",
    "stopping": "yellow",
    "dead": "red",
    "expired": "red",
    "cancelled": "yellow",
    "idle": "green",
    "busy": "cyan",
    "full": "cyan",
    "suspect": "yellow",
    "gone": "red",
    "draining": "yellow",
}
#: No column of a table is made narrower than this.
_LEAST_WIDTH: Final = 4
_SPANS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


def to_terminal() -> bool:
    return sys.stdout.isatty()


def document(value: object) -> None:
    """Write one JSON document."""
    click.echo(json_text(value, indent=2))


def line_of_json(value: object) -> None:
    """Write one of many JSON documents, each on a line."""
    click.echo(json_text(value))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """Write rows under heads, or ``nothing`` if there are none. The first column is never cut."""
    if not rows:
        click.echo(nothing)
        return
    rows = [[printable(cell) for cell in row] for row in rows]
    if to_terminal():
        _print_table(heads, rows)
        return
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    for row in [heads, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def details(pairs: Sequence[tuple[str, str]]) -> None:
    """Write names and values, those without a value left out."""
    shown = [(name, printable(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head, width in zip(heads, _fitting([heads, *rows], console.width), strict=True):
        table.add_column(head, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        # Text, because a plain string could be markup.
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    console.print(table, crop=False)


def _fitting(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the columns' widths: the widest are narrowed until all fit, the first one never.

    Rich itself would take the same from each, and leave nothing of the narrow ones.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    gaps = 2 * (len(widths) - 1)
    while sum(widths) + gaps > width and max(widths[1:], default=0) > _LEAST_WIDTH:
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def json_text(value: object, indent: int | None = None) -> str:
    """Return JSON that people can read, and terminals print: what is not printable is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # JSON leaves the control characters from U+007F on as they are.
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )


def printable(text: str) -> str:
    """Return text with its control characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def value(value: object) -> str:
    """Return any JSON value on a line, the empty string for none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def moment(at_ms: int | None, zone: str | None = None) -> str:
    """Return a time with its zone, the one named or else the machine's; empty for no time."""
    if not at_ms:
        return ""
    seconds, ms = divmod(at_ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
    # The last hours of the last year are in no calendar east of Greenwich.
    with suppress(OverflowError, ValueError):
        at = at.astimezone(_zone(zone))
    return at.isoformat(sep=" ", timespec="milliseconds")


def _zone(name: str | None) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    # The scheduler's machine may know zones that this one does not; an offset is shown anyhow.
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(name) if name else None
    return None


def span(ms: float) -> str:
    """Return a span in the largest unit that fits: ``1.5s``, ``20m``."""
    for unit, size in _SPANS:
        if ms >= size:
            return f"{ms / size:.3g}{unit}"
    return f"{max(0, round(ms))}ms"


def percent(progress: Mapping[str, Any] | None) -> str:
    """Return a task's progress in a few characters."""
    if not progress:
        return ""
    pct, message = progress.get("pct"), progress.get("msg")
    return " ".join(
        part for part in (f"{pct:g}%" if pct is not None else "", message or "") if part
    )
