"""Tasks shown live: bars on a terminal, lines elsewhere, JSON lines for programs.

Why they wait goes to stderr, or above the bars.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import click

from callboard.commands import output
from callboard.commands.waiting import to_stderr, waiting
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.client.updates import (
    Ended,
    LogLine,
    Moved,
    Progress,
    StateChanged,
    Update,
)


class Screen(Protocol):
    """Shows what happens to tasks."""

    def show(self, task: AsyncTask, update: Update) -> None:
        """Show an update."""

    def note(self, text: str) -> None:
        """Show what is no update."""


async def watch(tasks: Sequence[AsyncTask], *, as_json: bool, timeout_ms: int | None) -> int:
    """Show what happens to tasks until they have ended, and return how many did not succeed.

    Raises:
        TooLong: they have not ended in ``timeout_ms``.
    """
    with _screen(tasks, as_json) as screen:
        following = _follow_all(tasks, screen)
        states = await waiting(tasks, following, say=screen.note, timeout_ms=timeout_ms)
    return sum(state != "succeeded" for state in states)


async def _follow_all(tasks: Sequence[AsyncTask], screen: Screen) -> list[str]:
    try:
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(_follow(task, screen)) for task in tasks]
    except ExceptionGroup as errors:
        # One is enough to stop all, and to say so.
        raise errors.exceptions[0] from None
    return [each.result() for each in following]


async def _follow(task: AsyncTask, screen: Screen) -> str:
    state = ""
    async for update in task.updates():
        screen.show(task, update)
        if isinstance(update, Ended):
            state = update.state
    return state


def _screen(tasks: Sequence[AsyncTask], as_json: bool) -> AbstractContextManager[Screen]:
    if as_json:
        return nullcontext(_JsonLines())
    if output.to_terminal():
        from callboard.commands.bars import Bars

        return Bars(tasks)
    return nullcontext(_Lines())


class _Lines:
    def show(self, task: AsyncTask, update: Update) -> None:
        click.echo(f"{task.id} {output.printable(text_of(update))}")

    def note(self, text: str) -> None:
        to_stderr(text)


class _JsonLines:
    def show(self, task: AsyncTask, update: Update) -> None:
        output.line_of_json({"id": task.id, **json_of(update)})

    def note(self, text: str) -> None:
        to_stderr(text)


def text_of(update: Update) -> str:
    """Return what happened as a person says it."""
    match update:
        case StateChanged(state, attempt, worker):
            again = f" (attempt {attempt})" if attempt > 1 else ""
            return f"{state}{f' on {worker}' if worker else ''}{again}"
        case Progress(pct, message, data):
            said = output.percent({"pct": pct, "msg": message})
            return said or f"progress {output.value(data)}"
        case LogLine(level, text):
            return f"{level}: {text}"
        case Moved(worker, to, why, ms):
            took = f" in {output.span(ms)}" if ms is not None else ""
            return f"moved from {worker or 'nobody'} to {to or 'whoever is free'}{took}: {why}"
        case Ended(record):
            error = record.get("error") or {}
            reason = ": ".join(error[part] for part in ("type", "msg") if error.get(part))
            said = reason or output.value(record.get("result"))
            return f"{record['state']}{f': {said}' if said else ''}"


def json_of(update: Update) -> dict[str, Any]:
    """Return what happened as a program reads it."""
    match update:
        case StateChanged(state, attempt, worker):
            return {"event": "state", "state": state, "attempt": attempt, "worker": worker}
        case Progress(pct, message, data):
            return {"event": "progress", "pct": pct, "msg": message, "data": data}
        case LogLine(level, text):
            return {"event": "log", "lvl": level, "txt": text}
        case Moved(worker, to, why, ms):
            return {"event": "moved", "from": worker, "to": to, "why": why, "ms": ms}
        case Ended(record):
            return {
                "event": "result",
                "state": record["state"],
                "result": record.get("result"),
                "error": record.get("error"),
            }
