"""Bars for tasks on a terminal: one line each, what is worth keeping scrolls by above them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from callboard.commands import output
from callboard.commands.watching import text_of
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.client.updates import (
    Ended,
    LogLine,
    Moved,
    Progress,
    StateChanged,
    Update,
)


class Bars:
    """``with`` it around the watching."""

    def __init__(self, tasks: Sequence[AsyncTask], console: Console | None = None) -> None:
        self._bars = RichProgress(
            # What users' code says is text, never markup.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[percent]}", markup=False),
            TextColumn("{task.fields[state]}", markup=False),
            TextColumn(
                "{task.fields[message]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
        )
        self._rows: dict[str, TaskID] = {
            task.id: self._bars.add_task(
                _label(task), total=None, percent="", state=task.state, message=""
            )
            for task in tasks
        }

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, task: AsyncTask, update: Update) -> None:
        row = self._rows[task.id]
        text = output.printable(text_of(update))
        match update:
            case StateChanged():
                self._bars.update(row, state=text)
            case Progress(pct, message):
                if pct is not None:
                    self._bars.update(row, total=100, completed=pct, percent=f"{pct:3.0f}%")
                if message is not None:
                    self._bars.update(row, message=output.printable(message))
            case LogLine() | Moved():
                self._bars.console.print(Text(f"{task.id} {text}"), highlight=False)
            case Ended():
                self._end(row, update.state, text)

    def note(self, text: str) -> None:
        self._bars.console.print(Text(text), highlight=False)

    def _end(self, row: TaskID, state: str, text: str) -> None:
        if state == "succeeded":
            self._bars.update(row, total=100, completed=100, percent="100%")
        self._bars.update(row, state=state, message=text.removeprefix(state).removeprefix(": "))
        self._bars.stop_task(row)


def _label(task: AsyncTask) -> str:
    name = (task.record or {}).get("name", "")
    return output.printable(f"{task.id} {name}".strip())
