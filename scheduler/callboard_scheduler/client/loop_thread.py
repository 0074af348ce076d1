"""A loop in a thread of its own, for callers that have none.

1. The thread is started by the first call, and ends with :meth:`LoopThread.close`, which also the
   end of the program calls.
2. A call that is interrupted (Ctrl-C, a timeout of the caller's) is cancelled on the loop.
3. A process that forks keeps its thread and the child has none: the child's first call starts
   another, as web servers that load the application before they fork need it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Resource = TypeVar("Resource")
T = TypeVar("T")


@dataclass(slots=True)
class _Life(Generic[Resource]):
    """One thread from its start to its end."""

    pid: int
    thread: threading.Thread | None = None
    #: By the thread: its loop, what it opened and how to end it, or why that failed.
    ready: Future[tuple[asyncio.AbstractEventLoop, Resource, asyncio.Event]] = field(
        default_factory=Future
    )


class LoopThread(Generic[Resource]):
    """Opens a resource on its loop, and runs coroutines with it. Safe to use from any thread."""

    def __init__(
        self, name: str, open_resource: Callable[[], AbstractAsyncContextManager[Resource]]
    ):
        self._name = name
        self._open = open_resource
        self._life: _Life[Resource] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, work: Callable[[Resource], Coroutine[Any, Any, T]]) -> T:
        """Run ``work(resource)`` to its end, and return or raise what it does."""
        loop, resource, _ = self._living().ready.result()
        future = asyncio.run_coroutine_threadsafe(work(resource), loop)
        try:
            return future.result()
        except BaseException:
            # Of the caller, unless it is the work's own; then there is nothing to cancel.
            future.cancel()
            raise

    def iterate(self, over: Callable[[Resource], AsyncGenerator[T, None]]) -> Iterator[T]:
        """Iterate over ``over(resource)``, which goes on only while the caller asks for more."""
        generator: AsyncGenerator[T, None] | None = None

        async def following(resource: Resource) -> tuple[T, ...]:
            nonlocal generator
            if generator is None:
                generator = over(resource)
            try:
                return (await anext(generator),)
            except StopAsyncIteration:
                return ()

        # Given up in the middle, the generator is closed by its loop, which any thread may tell.
        while found := self.run(following):
            yield from found

    def close(self) -> None:
        """Close the resource and end the thread; does nothing the second time."""
        with self._lock:
            life, self._life, self._closed = self._life, None, True
        # Another process's thread is not here to be ended.
        if life is None or life.pid != os.getpid():
            return
        if life.ready.exception() is None:
            loop, _, ending = life.ready.result()
            loop.call_soon_threadsafe(ending.set)
        # The garbage collector may call this on any thread.
        if life.thread is not None and life.thread is not threading.current_thread():
            life.thread.join()

    def _living(self) -> _Life[Resource]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed: make a new one")
            if self._life is None or self._life.pid != os.getpid():
                life = self._life = _Life(os.getpid())
                life.thread = threading.Thread(
                    target=self._live, args=(life,), name=self._name, daemon=True
                )
                life.thread.start()
            return self._life

    def _live(self, life: _Life[Resource]) -> None:
        try:
            asyncio.run(self._attend(life))
        except BaseException as error:
            if life.ready.done():
                raise
            life.ready.set_exception(error)

    async def _attend(self, life: _Life[Resource]) -> None:
        ending = asyncio.Event()
        async with self._open() as resource:
            life.ready.set_result((asyncio.get_running_loop(), resource, ending))
            await ending.wait()
