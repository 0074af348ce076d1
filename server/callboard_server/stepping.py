"""Run a coroutine where it is called, and make it a task only if it must wait.

Most coroutines of a message or a request never suspend: stepping one costs 0.4 µs, a task for
it 5.6 µs and a loop turn, after which messages could overtake one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from types import coroutine as generator_coroutine
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
    return asyncio.get_running_loop().create_task(_carry_on(coroutine, waiting_for))


@generator_coroutine
def _carry_on(
    coroutine: Coroutine[Any, Any, Result], waiting_for: Any
) -> Generator[Any, Any, Result]:
    # The task receives the very future the coroutine was waiting for, and then whatever follows.
    while True:
        try:
            value = yield waiting_for
        except BaseException as error:
            advance = partial(coroutine.throw, error)
        else:
            advance = partial(coroutine.send, value)
        try:
            waiting_for = advance()
        except StopIteration as stop:
            result: Result = stop.value
            return result
