"""Whoever waits for tasks hears why nobody runs them, and may set an end to the waiting.

A task that nobody can run is no error: a worker may come in a minute, or tomorrow. But who waits
should not have to guess. The scheduler is asked only while a task waits, and one at a time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import click

from callboard.commands import output
from callboard.commands.calling import TooLong
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.client.errors import TaskClientError
from callboard_scheduler.client.updates import ENDED

#: Until then a task is on its way, and nobody wants to hear of it.
FIRST_SECONDS: Final = 3.0
AGAIN_SECONDS: Final = 5.0
_WAITING: Final = ("blocked", "scheduled", "ready", "assigned")
#: What alone is no news.
_COUNTDOWN: Final = re.compile(r"\d+\.\d s\b")

Result = TypeVar("Result")
Say = Callable[[str], None]


def to_stderr(text: str) -> None:
    click.echo(text, err=True)


async def waiting(
    tasks: Sequence[AsyncTask],
    work: Coroutine[Any, Any, Result],
    *,
    say: Say = to_stderr,
    timeout_ms: int | None = None,
) -> Result:
    """Return what ``work``, which waits for these tasks, brings; say meanwhile why some wait.

    Raises:
        TooLong: it took more than ``timeout_ms``.
    """
    reasons = _Reasons(tasks, say)
    explaining = asyncio.create_task(reasons.tell_again_and_again())
    deadline = asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000)
    try:
        async with deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
    finally:
        explaining.cancel()
        await asyncio.wait((explaining,))
    await reasons.tell()
    assert timeout_ms is not None  # noqa: S101 - for the type checker
    left = ", ".join(f"{task.id} is {task.state}" for task in tasks if task.state not in ENDED)
    raise TooLong(f"not ended within {output.span(timeout_ms)}, and not given up: {left}")


class _Reasons:
    """What has been said of each task."""

    def __init__(self, tasks: Sequence[AsyncTask], say: Say) -> None:
        self._tasks = tasks
        self._say = say
        self._said: dict[str, list[str]] = {}

    async def tell_again_and_again(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await self.tell()
            await asyncio.sleep(AGAIN_SECONDS)

    async def tell(self) -> None:
        """Say what is new of why tasks wait."""
        for task in self._tasks:
            if task.state in _WAITING:
                try:
                    reasons = await task.why()
                except TaskClientError:
                    # The waiting itself ends with it, or bears it.
                    return
                if task.state in _WAITING:
                    self._tell(task, reasons)

    def _tell(self, task: AsyncTask, reasons: list[str]) -> None:
        known = self._said.get(task.id, [])
        self._said[task.id] = [_COUNTDOWN.sub("", reason) for reason in reasons]
        for reason, steady in zip(reasons, self._said[task.id], strict=True):
            if steady not in known:
                self._say(f"{task.id} is {task.state}: {output.printable(reason)}")
