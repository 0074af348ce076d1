"""A load generator in a process of its own, so that the client does not measure itself.

The parent asks (:meth:`Generator.ask`) and the child answers, one question at a time, over a
pipe. The child ends when the pipe does, so it outlives no parent.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from callboard_bench.audit import Tally
from callboard_bench.clock import monotonic_ns
from callboard_bench.figures import Latencies
from callboard_bench.hammer import Hammer
from callboard_bench.process import raise_open_files_limit
from callboard_bench.subscribers import Subscribers
from callboard_bench.websocket import Unexpected

_END_SECONDS = 5


class GeneratorFailed(Exception):
    """A generator could not do what it was asked, or is gone."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Connect and subscribe once for each channel; answers None."""

    host: str
    port: int
    path: str
    channels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Count:
    """Record the latencies of these messages, both included; answers None."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for so many messages in all; answers (received, time of the last in ns)."""

    total: int
    quiet_seconds: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Finish:
    """Audit that many messages; answers (Tally, Latencies)."""

    published: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """Begin to send requests over so many connections; answers None."""

    host: str
    port: int
    requests: Sequence[bytes]
    connections: int


@dataclass(frozen=True, slots=True)
class Answered:
    """How many requests were answered so far; answers (answered, time in ns)."""


class Generator:
    """The parent's end of one generator process."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, childs_end = context.Pipe()
        self._process = context.Process(target=_run, args=(childs_end,), daemon=True)
        self._process.start()
        childs_end.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    async def ask(self, question: object, timeout_seconds: float) -> Any:
        """Put one question and return its answer.

        Raises:
            GeneratorFailed: it could not, it died, or it did not answer in time.
        """
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            self._pipe.send(question)
            _watch(self._pipe, readable)
            async with asyncio.timeout(timeout_seconds):
                await readable.wait()
            answer = self._pipe.recv()
        except TimeoutError:
            name = type(question).__name__
            raise GeneratorFailed(f"{name} was not done within {timeout_seconds:g} s") from None
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise GeneratorFailed("the generator process is gone") from None
        finally:
            loop.remove_reader(self._pipe.fileno())
        if isinstance(answer, GeneratorFailed):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _run(pipe: Connection) -> None:
    # Ctrl-C reaches the whole process group; the parent closes the pipe when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_open_files_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Child(pipe).serve())


def _watch(pipe: Connection, readable: asyncio.Event) -> None:
    asyncio.get_running_loop().add_reader(pipe.fileno(), readable.set)
    # uvloop has just made it non-blocking, and Connection reads a message in several calls.
    os.set_blocking(pipe.fileno(), True)


class _Child:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._subscribers: Subscribers | None = None
        self._hammer: Hammer | None = None

    async def serve(self) -> None:
        """Answer questions until the parent is gone."""
        readable = asyncio.Event()
        _watch(self._pipe, readable)
        while True:
            await readable.wait()
            readable.clear()
            try:
                question = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                return
            working = asyncio.ensure_future(self._answer(question))
            leaving = asyncio.ensure_future(readable.wait())
            # While one question is open there is no other: readable means the parent is gone.
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not working.done():
                working.cancel()
                return
            self._pipe.send(working.result())

    async def _answer(self, question: object) -> object:
        try:
            return await self._do(question)
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            if isinstance(error, (GeneratorFailed, Unexpected)):
                return GeneratorFailed(str(error))
            return GeneratorFailed(f"{type(error).__name__}: {error}")

    async def _do(self, question: object) -> object:
        match question:
            case Subscribe(host, port, path, channels):
                if self._subscribers is None:
                    self._subscribers = Subscribers(host, port, path)
                await self._subscribers.subscribe(channels)
            case Count(first, last):
                self._listening.count(first, last)
            case Await(total, quiet_seconds, timeout_seconds):
                group = self._listening
                await group.arrived(total, quiet_seconds, timeout_seconds)
                return group.received, group.last_ns
            case Finish(published):
                return self._listening.finish(published)
            case Trigger(host, port, requests, connections):
                self._hammer = Hammer(host, port, requests)
                await self._hammer.start(connections)
            case Answered():
                return self._progress()
            case _:
                raise GeneratorFailed(f"{question!r} is no question")
        return None

    @property
    def _listening(self) -> Subscribers:
        if self._subscribers is None:
            raise GeneratorFailed("there are no subscribers yet")
        return self._subscribers

    def _progress(self) -> tuple[int, int]:
        if self._hammer is None:
            raise GeneratorFailed("there are no triggers yet")
        if self._hammer.failure is not None:
            raise GeneratorFailed(self._hammer.failure)
        return self._hammer.answered, monotonic_ns()


async def ask_all(
    generators: Sequence[Generator], questions: Sequence[object], timeout_seconds: float
) -> list[Any]:
    """Put one question to each generator at the same time; the answers in their order."""
    asked = (
        generator.ask(question, timeout_seconds)
        for generator, question in zip(generators, questions, strict=True)
    )
    return await asyncio.gather(*asked)


def merge(results: Sequence[tuple[Tally, Latencies]]) -> tuple[Tally, Latencies]:
    """Join what several generators answered to :class:`Finish`."""
    tally, latencies = Tally(), Latencies()
    for part, seen in results:
        tally.merge(part)
        latencies.merge(seen)
    return tally, latencies
