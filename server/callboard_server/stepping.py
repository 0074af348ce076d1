"""Run a coroutine where it is called, and make it a task only if it must wait.

Most coroutines of a message or a request never suspend: stepping one costs 0.4 µs, a task for
it 5.6 µs and a loop turn, after which messages could overtake one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def step(coroutine: Coroutine[Any, Any, Result]) -> Result | asyncio.Task[Result]:
    """Run ``coroutine`` up to its first suspension.

    Returns its result, or a task that carries on when it suspended. Raises what it raises.
    The result must not itself be a task.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    return asyncio.get_running_loop().create_task(_Stepped(coroutine, waiting_for))


class _Stepped(Coroutine[Any, Any, Result]):
    """A coroutine that has suspended once, as the task sees it that carries on with it.

    The task first gets the very future that the coroutine waits for. A task that is cancelled
    before its first step throws into a coroutine that it has never sent to; here that reaches
    the one underneath, and what it waits for.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Result], waiting_for: Any) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for
        self._handed_over = False

    def send(self, value: Any) -> Any:
        if self._handed_over:
            return self._coroutine.send(value)
        self._handed_over = True
        return self._waiting_for

    def throw(self, *error: Any) -> Any:
        if not self._handed_over:
            self._handed_over = True
            if self._waiting_for is not None:
                self._waiting_for.cancel()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Result]:
        raise TypeError("only its task runs a stepped coroutine")
