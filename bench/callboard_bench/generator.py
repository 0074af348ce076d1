"""A load generator in a process of its own, so that the client does not measure itself.

The parent asks (:meth:`Generator.ask`) and the child answers, one question at a time, over a
pipe. A question is a dataclass that travels to the child and there does its own work
(:class:`Question`); what it leaves for the next one lies on the child's :class:`Desk`, and so
does work that goes on between questions. Progress needs no question: the child counts in memory
that it shares with the parent (:attr:`Generator.counts`).

The child ends when the pipe does, so it outlives no parent.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.sharedctypes import RawArray
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import uvloop

from callboard_bench.errors import BenchError
from callboard_bench.process import raise_open_files_limit
from callboard_bench.websocket import Unexpected

#: The cells of :attr:`Desk.counters`.
CONNECTED, RECEIVED, ANSWERED, FAILED = range(4)

_END_SECONDS: Final = 5
#: An address has 107 (``man 7 unix``); multiprocessing adds 32.
_MOST_BYTES: Final = 70
_OURS: Final = "callboard_bench."

Kept = TypeVar("Kept")


class GeneratorFailed(BenchError):
    """A generator could not do what it was asked, or is gone."""


class Counts(NamedTuple):
    """How far generators are: connections open, messages received, requests answered, failures."""

    connected: int
    received: int
    answered: int
    failed: int


class Question(Protocol):
    """What a generator is asked; it must be picklable, and so must its answer."""

    async def answer(self, desk: Desk) -> object:
        """Do the work, in the child.

        Raises:
            GeneratorFailed, Unexpected: it could not; the text is the parent's.
        """
        ...


class Desk:
    """What a generator process keeps between questions, one thing of a kind."""

    def __init__(self, cells: memoryview) -> None:
        #: Cells that only this process writes, indexed by :data:`CONNECTED` and the others.
        self.counters = cells[: len(Counts._fields)]
        self._p99_us = cells[len(Counts._fields) :]
        self._things: dict[type, object] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def keep(self, thing: object) -> None:
        """Keep a thing for later questions, in place of the one of its kind."""
        self._things[type(thing)] = thing

    def kept(self, kind: type[Kept]) -> Kept:
        """Return the thing of this kind.

        Raises:
            GeneratorFailed: no question has left one.
        """
        thing = self._things.get(kind)
        if not isinstance(thing, kind):
            raise GeneratorFailed(f"there is no {kind.__name__} yet")
        return thing

    def tell_p99(self, microseconds: int) -> None:
        """Let the parent see how latencies are just now (:func:`p99_ms`)."""
        self._p99_us[0] = microseconds

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin work that goes on between questions; its failure fails the next question."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._ended)
        return task

    def check(self) -> None:
        """Raise what work begun by :meth:`start` has failed with, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()


class Generator:
    """The parent's end of one generator process."""

    def __init__(self) -> None:
        # Forked from a process that has loaded what this one has, and nothing else: in a new one
        # that would take longer than a short round. That process listens on a socket in the
        # directory of temporary files, whose name has to fit into an address.
        short = len(os.fsencode(tempfile.gettempdir())) <= _MOST_BYTES
        context: ForkServerContext | SpawnContext = multiprocessing.get_context("forkserver")
        if not short:
            context = multiprocessing.get_context("spawn")
        context.set_forkserver_preload([name for name in sys.modules if name.startswith(_OURS)])
        cells = RawArray(ctypes.c_uint64, len(Counts._fields) + 1)
        self._cells = _shared(cells)
        self._pipe, childs_end = context.Pipe()
        self._process = context.Process(target=_run, args=(childs_end, cells), daemon=True)
        self._process.start()
        childs_end.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def counts(self) -> Counts:
        """How far it is now, even while a question is open."""
        return Counts(*self._cells[:-1])

    @property
    def p99_us(self) -> int:
        """What it was last told of latencies, for the eye; 0 if nothing."""
        return int(self._cells[-1])

    async def ask(self, question: Question, timeout_seconds: float) -> Any:
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
            raise GeneratorFailed(
                f"the clients were not done with {type(question).__name__} within "
                f"{timeout_seconds:g} s: the server does not answer all of them, or too slowly"
            ) from None
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise GeneratorFailed("the generator process is gone") from None
        finally:
            # At Ctrl-C it may be closed before the question is given up.
            if not self._pipe.closed:
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


async def ask_all(
    generators: Sequence[Generator], questions: Sequence[Question], timeout_seconds: float
) -> list[Any]:
    """Put one question to each generator at the same time; the answers in their order.

    Raises:
        GeneratorFailed: one of them could not; the others are no longer listened to.
    """
    asking = [
        asyncio.ensure_future(generator.ask(question, timeout_seconds))
        for generator, question in zip(generators, questions, strict=True)
    ]
    try:
        return await asyncio.gather(*asking)
    except GeneratorFailed:
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)
        raise


def counted(generators: Sequence[Generator]) -> Counts:
    """Return how far these generators are together."""
    counts = [generator.counts for generator in generators]
    return Counts(*(sum(count[cell] for count in counts) for cell in range(len(Counts._fields))))


def p99_ms(generators: Sequence[Generator]) -> float:
    """Return the worst 99th percentile that one of them has just seen; NaN while none has."""
    return max(generator.p99_us for generator in generators) / 1000 or math.nan


@contextmanager
def letting_in(generators: Sequence[Generator]) -> Iterator[None]:
    """Have a failure meanwhile say how many clients the server had let in: it may be its limit."""
    try:
        yield
    except GeneratorFailed as error:
        if connected := counted(generators).connected:
            error.add_note(f"{connected:,} clients were connected by then")
        raise


def divided(total: int, parts: int) -> list[int]:
    """Return the shares of ``total`` things among ``parts`` generators, the larger ones first."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _shared(cells: ctypes.Array[ctypes.c_uint64]) -> memoryview:
    # Written and read in half the time that ctypes takes.
    return memoryview(cells).cast("B").cast("Q")


def _run(pipe: Connection, cells: ctypes.Array[ctypes.c_uint64]) -> None:
    # Ctrl-C reaches the whole process group; the parent closes the pipe when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_open_files_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(pipe, Desk(_shared(cells))))


def _watch(pipe: Connection, readable: asyncio.Event) -> None:
    asyncio.get_running_loop().add_reader(pipe.fileno(), readable.set)
    # uvloop has just made it non-blocking, and Connection reads a message in several calls.
    os.set_blocking(pipe.fileno(), True)


async def _serve(pipe: Connection, desk: Desk) -> None:
    """Answer questions until the parent is gone."""
    readable = asyncio.Event()
    _watch(pipe, readable)
    while True:
        await readable.wait()
        readable.clear()
        try:
            question = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        working = asyncio.ensure_future(_answer(question, desk))
        leaving = asyncio.ensure_future(readable.wait())
        # While one question is open there is no other: readable means the parent is gone.
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not working.done():
            working.cancel()
            return
        pipe.send(working.result())


async def _answer(question: Question, desk: Desk) -> object:
    try:
        desk.check()
        return await question.answer(desk)
    except Exception as error:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, (GeneratorFailed, Unexpected)):
            return GeneratorFailed(str(error))
        return GeneratorFailed(f"{type(error).__name__}: {error}")
