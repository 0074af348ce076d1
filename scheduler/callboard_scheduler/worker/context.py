"""What a task's function knows of its task, and what it may say meanwhile.

Its methods do their work when they are called and return something to await, so one context
serves both kinds of functions: a coroutine writes ``await ctx.progress(50)``, which also gives
the loop a turn and is where a cancellation arrives; a plain function, in its thread, writes
``ctx.progress(50)``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from callboard_scheduler.records import Raw
from callboard_scheduler.wire import Assign, Update
from callboard_scheduler.worker import values

_LEVELS: Final = ("debug", "info", "warning", "error")
#: Room that a report needs beside what it carries.
_FRAME_BYTES: Final = 500


class Turn:
    """Awaited, it lets the loop do everything else that is ready."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN: Final = Turn()


class Reports(Protocol):
    """Where a context's words go; called from any thread."""

    max_bytes: int

    def progressed(self, fence: int, pct: float | None, msg: str | None, data: Raw | None) -> None:
        """Take a report of progress."""

    def logged(self, fence: int, level: str, text: str) -> None:
        """Take a line of text."""

    def saved(self, fence: int, checkpoint: Raw) -> None:
        """Take a checkpoint."""


class Context:
    """One attempt at one task."""

    def __init__(self, given: Assign, reports: Reports) -> None:
        #: The task's id: the same in every attempt.
        self.task_id = given.id
        #: The task's name.
        self.name = given.name
        #: Grows with each assignment of a task, for ever: a database can refuse a lower one.
        self.fence = given.f
        #: 1, 2, 3 …, for people.
        self.attempt = given.att
        self._checkpoint = given.ck
        self._reports = reports
        self._stopped = threading.Event()
        self._why = ""
        self._changed: Raw | None = None
        self._on_stop: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Context {self.name!r} {self.task_id} attempt {self.attempt}>"

    # Being stopped

    @property
    def cancelled(self) -> bool:
        """Whether the function shall end: its result would not count, or not for long."""
        return self._stopped.is_set()

    @property
    def cancel_reason(self) -> str:
        """Why: ``cancelled``, ``moved``, ``timeout``, ``lost``, …; empty while not cancelled."""
        return self._why

    def raise_if_cancelled(self) -> None:
        """For plain functions, which nothing can interrupt.

        Raises:
            asyncio.CancelledError: the function shall end.
        """
        if self._stopped.is_set():
            raise asyncio.CancelledError(self._why)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """For plain functions: sleep up to ``timeout`` seconds, no longer than until cancelled.

        Returns whether it is.
        """
        return self._stopped.wait(timeout)

    # What an earlier attempt left, and what has changed since

    @property
    def last_checkpoint(self) -> Any:
        """What an earlier attempt saved last, None if nothing."""
        return None if self._checkpoint is None else values.decode(self._checkpoint)

    @property
    def changed_args(self) -> Any:
        """The arguments as JSON values, if they were changed since the start; None if not."""
        return None if self._changed is None else values.decode(self._changed)

    # What there is to say

    def progress(
        self, pct: float | None = None, message: str | None = None, *, data: object = None
    ) -> Turn:
        """Say how far it is: 0 to 100, a text, any JSON value.

        The newest report wins: a service shows some a second, not each of a thousand.

        Raises:
            ValueError: not within 0 to 100, or more than one event holds.
            BadResult: ``data`` is no JSON value, or ``message`` not all Unicode.
            TypeError: ``message`` is no text.
        """
        if pct is not None and not 0 <= pct <= 100:
            raise ValueError(f"pct must be from 0 to 100, got {pct}")
        raw = None if data is None else values.encode(data, "progress data")
        if not isinstance(message, str | None):
            raise TypeError(f"message must be a text, got {type(message).__name__}")
        # As JSON: escaped, a control character takes six bytes.
        text = b"" if message is None else values.encode(message, "a progress message")
        self._check_size("a progress report", len(raw or b"") + len(text))
        self._reports.progressed(self.fence, pct, message, raw)
        return _TURN

    def log(self, text: str, *, level: str = "info") -> Turn:
        """Show a line of text to whoever watches; lines are lost first where there are too many.

        Raises:
            ValueError: an unknown ``level``.
        """
        if level not in _LEVELS:
            raise ValueError(f"level must be one of {', '.join(_LEVELS)}, got {level!r}")
        room = max(self._reports.max_bytes // 2, 1)
        # An unpaired surrogate is no reason to lose the line.
        line = text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
        self._reports.logged(self.fence, level, line)
        return _TURN

    def checkpoint(self, value: object) -> Turn:
        """Leave a JSON value for a later attempt, as its ``last_checkpoint``.

        Raises:
            ValueError: more than one event holds.
            BadResult: no JSON value.
        """
        raw = values.encode(value, "a checkpoint")
        self._check_size("a checkpoint", len(raw))
        self._checkpoint = raw
        self._reports.saved(self.fence, raw)
        return _TURN

    # For the runner

    def stop(self, why: str) -> None:
        """Let :attr:`cancelled` be true from now on."""
        if not self._stopped.is_set():
            self._why = why
            self._stopped.set()

    def change(self, update: Update) -> None:
        """Keep what the task has become."""
        if update.args is not None:
            self._changed = update.args

    def _check_size(self, what: str, size: int) -> None:
        room = self._reports.max_bytes - _FRAME_BYTES
        if size > room:
            raise ValueError(
                f"{what} has {size} bytes, but at most {room} fit: send less, or where it is stored"
            )
