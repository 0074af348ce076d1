"""Runs functions: coroutines on the user's loop, plain functions in threads.

Everything arrives from the connection's thread, and ends are handed back to it. Between threads
there is one hop for a batch: whoever finds a batch on its way adds to it. Rules:

1. A function's exception, its arguments and its result are all turned into an end, so each start
   leads to exactly one end.
2. Stopping a coroutine cancels it; a thread sees ``ctx.cancelled``. That a function ended by
   itself meanwhile is no race to lose: the end says what really happened.
3. Nothing here waits for a function, and a loop that the user blocks holds up nobody else.
4. Whether a coroutine begins or is withdrawn is decided by who takes it out of :attr:`_waiting`:
   the loop, or the connection's thread. A thread is there for each plain function.
5. A child that a function forks, and in which it returns or raises, ends there
   (:mod:`forking`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from callboard_scheduler.records import Raw
from callboard_scheduler.wire import Assign, ResultError, Update
from callboard_scheduler.worker import forking, values
from callboard_scheduler.worker.context import Context, Reports
from callboard_scheduler.worker.errors import Fatal, Retry
from callboard_scheduler.worker.handlers import Handler, Handlers
from callboard_scheduler.worker.threads import Threads

logger = logging.getLogger("callboard_scheduler.worker")

_MESSAGE_CHARACTERS: Final = 2_000
#: Of it as JSON, where a control character takes six: an event of any service holds it.
_MESSAGE_BYTES: Final = 8_200


class Ends(Protocol):
    """Who hears how functions begin and end; called from any thread."""

    def begun(self, fence: int) -> None:
        """The loop has come to a coroutine, and runs it now."""

    def moved(self) -> None:
        """The loop has come to what :meth:`Running.probe` asked for."""

    def succeeded(self, fence: int, value: Raw) -> None:
        """A function has returned."""

    def failed(self, fence: int, error: ResultError) -> None:
        """A function has raised, or was stopped."""


class Running:
    """The functions that run now; made on the user's loop."""

    def __init__(
        self,
        handlers: Handlers,
        slots: int,
        reports: Reports,
        ends: Ends,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._handlers = handlers
        self._reports = reports
        self._ends = ends
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._pid = os.getpid()
        self._threads = Threads(slots, "callboard-task")
        self._contexts: dict[int, Context] = {}
        self._tasks: dict[int, asyncio.Task[None] | None] = {}
        #: Coroutines that the loop has not come to.
        self._waiting: dict[int, Context] = {}
        self._arrived: deque[Callable[[], object]] = deque()
        self._hop_under_way = False

    # Called on any thread but those of functions

    def start(self, given: Assign, args: Raw) -> bool:
        """Run the function of an assignment with JSON text for arguments.

        Returns whether it begins in any case; if not, ``begun`` follows unless it is withdrawn.
        """
        handler = self._handlers[given.name]
        context = self._contexts[given.f] = Context(given, self._reports)
        if handler.is_async:
            coroutine = self._run_coroutine
            self._waiting[given.f] = context
            self._hop(lambda: self._loop.create_task(coroutine(handler, context, args)))
        else:
            self._threads.run(lambda: self._run_plain(handler, context, args))
        return not handler.is_async

    def withdraw(self, fence: int) -> bool:
        """Keep a coroutine that has not begun from ever beginning; False if it has."""
        if self._waiting.pop(fence, None) is None:
            return False
        self._contexts.pop(fence, None)
        return True

    def stop(self, fence: int, why: str) -> None:
        """Ask a function to end; unknown fences have ended."""
        context = self._contexts.get(fence)
        if context is None:
            return
        context.stop(why)
        if self._handlers[context.name].is_async:
            self._hop(lambda: self._cancel(fence))

    def change(self, update: Update) -> None:
        """Tell a function that its task was changed."""
        if context := self._contexts.get(update.f):
            context.change(update)

    def probe(self) -> None:
        """Let the loop say that it moves."""
        self._hop(self._ends.moved)

    @property
    def place(self) -> str:
        """Where the task's function is that the loop runs now, or else whatever runs there."""
        found = frame = sys._current_frames().get(self._loop_thread)
        while frame is not None and (caller := frame.f_back) is not None:
            if caller.f_code is Running._run_coroutine.__code__:
                found = frame
                break
            frame = caller
        if found is None:
            return "its thread has ended"
        return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_qualname}"

    def close(self) -> None:
        """Stop what still runs, for nobody hears of it any more, and let the threads end."""
        for fence in list(self._contexts):
            if not self.withdraw(fence):
                self.stop(fence, "lost")
        self._threads.close()

    def _hop(self, step: Callable[[], object]) -> None:
        self._arrived.append(step)
        if not self._hop_under_way:
            self._hop_under_way = True
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:
                # The user's loop is closed, and its functions with it.
                logger.warning("the loop of the worker's functions is closed: nothing runs on it")

    # Called on the user's loop

    def _take(self) -> None:
        # First, or a step that comes now would wait for a hop that nobody makes.
        self._hop_under_way = False
        while self._arrived:
            self._arrived.popleft()()

    def _cancel(self, fence: int) -> None:
        if task := self._tasks.get(fence):
            task.cancel()

    async def _run_coroutine(self, handler: Handler, context: Context, args: Raw) -> None:
        if self._waiting.pop(context.fence, None) is None:
            return
        self._ends.begun(context.fence)
        try:
            # A task that is cancelled before its first step would never come here, so it cannot
            # be found until now.
            self._tasks[context.fence] = asyncio.current_task()
            positional, keyword = handler.arguments.bind(args)
            if handler.arguments.takes_context:
                result = await handler.function(context, *positional, **keyword)
            else:
                result = await handler.function(*positional, **keyword)
            value = values.encode(result, f"the result of {handler.name!r}")
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            self._fail(context, error)
        except BaseException as error:
            self._fail(context, error)
            raise
        else:
            self._succeed(context, value)
        finally:
            self._tasks.pop(context.fence, None)

    # Called in a thread

    def _run_plain(self, handler: Handler, context: Context, args: Raw) -> None:
        try:
            positional, keyword = handler.arguments.bind(args)
            if handler.arguments.takes_context:
                result = handler.function(context, *positional, **keyword)
            else:
                result = handler.function(*positional, **keyword)
            value = values.encode(result, f"the result of {handler.name!r}")
        except BaseException as error:
            # A thread has nobody to raise it to.
            self._fail(context, error)
        else:
            self._succeed(context, value)

    # Ends

    def _succeed(self, context: Context, value: Raw) -> None:
        if os.getpid() != self._pid:
            forking.end_child(None)
        self._contexts.pop(context.fence, None)
        self._ends.succeeded(context.fence, value)

    def _fail(self, context: Context, error: BaseException) -> None:
        self._contexts.pop(context.fence, None)
        in_child = os.getpid() != self._pid
        if not context.cancelled and not (in_child and isinstance(error, SystemExit)):
            # Whoever asked for the end of it needs no trace of where it ended.
            logger.warning("%r failed: %s", context, error, exc_info=_traced(error))
        if in_child:
            forking.end_child(error)
        self._ends.failed(context.fence, result_error(error))


def result_error(error: BaseException) -> ResultError:
    """Return what the scheduler is told of an exception."""
    text = str(error).encode("utf-8", "replace").decode()
    if len(text) > _MESSAGE_CHARACTERS:
        text = f"{text[:_MESSAGE_CHARACTERS]}…"
    while len(values.encode(text, "a message")) > _MESSAGE_BYTES:
        text = f"{text[: len(text) // 2]}…"
    return ResultError(
        type(error).__name__,
        text,
        retry=not isinstance(error, Fatal),
        after_ms=error.after_ms if isinstance(error, Retry) else None,
    )


def _traced(error: BaseException) -> BaseException | None:
    """Return the exception if where it was raised matters: not for what was raised on purpose."""
    return None if isinstance(error, Retry | Fatal) else error
