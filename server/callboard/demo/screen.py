"""A batch of tasks as it runs: bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from callboard_scheduler import AsyncTask
from callboard_scheduler.client.updates import Ended, Progress, StateChanged, Update


class Screen(Protocol):
    """Shows what happens to scenes."""

    def show(self, scene: str, update: Update) -> None:
        """Show an update."""


async def watch(tasks: Mapping[str, AsyncTask]) -> list[Ended]:
    """Show scenes until all have ended; return their ends, in order."""
    with _screen(list(tasks)) as screen:
        return await asyncio.gather(
            *(_follow(scene, task, screen) for scene, task in tasks.items())
        )


async def _follow(scene: str, task: AsyncTask, screen: Screen) -> Ended:
    async for update in task.updates():
        screen.show(scene, update)
        if isinstance(update, Ended):
            return update
    raise RuntimeError(f"nothing more was heard of {scene}")


def _screen(scenes: Sequence[str]) -> AbstractContextManager[Screen]:
    return _OnTerminal(scenes) if sys.stdout.isatty() else nullcontext(_Lines())


class _Lines:
    def show(self, scene: str, update: Update) -> None:
        match update:
            case StateChanged("running", _, str(worker)):
                print(f"   {scene:8} runs on {worker}")
            case StateChanged("ready"):
                print(f"   {scene:8} waits for a free slot")
            case Progress(pct=50):
                print(f"   {scene:8} is half done")
            case Ended():
                print(f"   {scene:8} {update.state}: {update.record['result']}")


class _OnTerminal:
    def __init__(self, scenes: Sequence[str]) -> None:
        self._bars = Bars(
            TextColumn("   {task.description:8}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%  {task.fields[state]}"),
        )
        self._rows = {
            scene: self._bars.add_task(scene, total=100, state="waits for a free slot")
            for scene in scenes
        }

    def __enter__(self) -> _OnTerminal:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, scene: str, update: Update) -> None:
        row = self._rows[scene]
        match update:
            case StateChanged("running", _, str(worker)):
                self._bars.update(row, state=f"runs on {worker}")
            case Progress(pct=pct) if pct is not None:
                self._bars.update(row, completed=pct)
            case Ended():
                self._bars.update(row, state=update.state)
