"""A stepped coroutine behaves like a task, but for the time it takes when it need not wait."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest

from callboard_server.stepping import step

Result = TypeVar("Result")


def stepped(coroutine: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """Step a coroutine that must wait."""
    task = step(coroutine)
    assert isinstance(task, asyncio.Task)
    return task


# Without waiting


def test_a_result_is_there_at_once_and_without_a_loop() -> None:
    async def answer() -> int:
        return 42

    async def outer() -> int:
        return await answer() + 1

    assert step(answer()) == 42
    assert step(outer()) == 43


def test_an_error_is_raised_at_once() -> None:
    async def fail() -> None:
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        step(fail())


async def test_no_turn_of_the_loop_passes() -> None:
    order = []

    async def note(name: str) -> None:
        order.append(name)

    asyncio.get_running_loop().call_soon(order.append, "loop")
    step(note("first"))
    step(note("second"))
    await asyncio.sleep(0)
    assert order == ["first", "second", "loop"]


async def test_a_future_that_is_done_is_not_waited_for() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result("done")

    async def wait() -> str:
        result: str = await future
        return result

    assert step(wait()) == "done"


# Waiting


async def test_one_that_must_wait_carries_on_as_a_task() -> None:
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    reached = []

    async def wait() -> str:
        reached.append("begun")
        a = await first
        reached.append(a)
        b = await second
        return f"{a}{b}"

    task = stepped(wait())
    assert reached == ["begun"], "the first step is taken at once"
    first.set_result("a")
    second.set_result("b")
    assert await task == "ab"
    assert reached == ["begun", "a"]


@pytest.mark.parametrize("turns", [1, 2, 10])
async def test_turns_of_the_loop_may_be_awaited(turns: int) -> None:
    async def wait() -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await stepped(wait()) == turns


async def test_an_error_after_waiting_is_the_tasks() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        await stepped(fail())


async def test_an_error_waited_for_can_be_caught() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> str:
        try:
            await future
        except LookupError:
            await asyncio.sleep(0)
            return "caught"
        return "not raised"

    task = stepped(wait())
    future.set_exception(LookupError())
    assert await task == "caught"


async def test_timeouts_work_after_the_first_wait() -> None:
    async def wait() -> str:
        await asyncio.sleep(0)
        assert asyncio.current_task() is task
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.wait_for(asyncio.sleep(0), 1)
            return "timed out"
        return "not reached"

    task = stepped(wait())
    assert await task == "timed out"


async def test_the_context_is_the_callers() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="outside")

    async def read() -> tuple[str, str]:
        before = variable.get()
        await asyncio.sleep(0)
        return before, variable.get()

    variable.set("inside")
    assert await stepped(read()) == ("inside", "inside")


# Cancelling


class Waiting:
    """Waits for ever and notes how that ended."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: list[str] = []

    async def wait(self) -> str:
        try:
            await self.future
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        except GeneratorExit:
            self.ended.append("thrown away")
            raise
        finally:
            self.ended.append("finally")
        return "not cancelled"


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_cancelling_reaches_the_coroutine(turns: int) -> None:
    """Also before the task had its first turn."""
    waiting = Waiting()
    task = stepped(waiting.wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert waiting.ended == ["cancelled", "finally"]
    assert task.cancelled()


@pytest.mark.parametrize("turns", [0, 1])
async def test_what_was_waited_for_is_cancelled_too(turns: int) -> None:
    waiting = Waiting()
    task = stepped(waiting.wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting.future.cancelled()


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_coroutine_may_clean_up_after_a_cancel(turns: int) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cleaned = []

    async def wait() -> None:
        try:
            await future
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    task = stepped(wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


async def test_a_coroutine_may_refuse_a_cancel() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> str:
        try:
            await future
        except asyncio.CancelledError:
            return "refused"
        return "not cancelled"

    task = stepped(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "refused"
