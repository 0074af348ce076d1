"""The store in a data directory: SQLite with a write-ahead log, and nothing else to run.

Writing has a thread (:mod:`writer`), reading another (:mod:`reader`). Nothing is made before the
first write; until then there is nothing to read. A read first lets everything be committed that
was written before it, so it sees that.

Writes are handed over to the thread together, two turns of the loop after the first of them. What
the same step sends to a worker is with the kernel by then; the thread, once awake, would have the
interpreter while that waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from callboard_scheduler.records import Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import (
    Change,
    Committed,
    Loaded,
    Page,
    StoredTask,
    StoreError,
    TaskFilter,
    pages,
    queries,
)
from callboard_scheduler.stores.checkpoints import Checkpoints
from callboard_scheduler.stores.database import Database
from callboard_scheduler.stores.directory import DataDirectory
from callboard_scheduler.stores.reader import Reader
from callboard_scheduler.stores.writer import Write, Writer

T = TypeVar("T")

#: How long changes that nobody waits for may wait for some that somebody does, in seconds.
LINGER_SECONDS: Final = 0.05


class SqliteStore:
    """Implements :class:`~callboard_scheduler.stores.Store` in a data directory.

    ``command`` is what other processes are told of who has the directory.
    """

    def __init__(self, directory: Path, command: str | None = None) -> None:
        self._directory = DataDirectory(directory, command)
        self._database = Database(self._directory)
        self._threads: _Threads | None = None
        self._held: list[Write] = []
        self._linger: asyncio.TimerHandle | None = None
        self._handing_over = False
        #: How many writes there were, and how many of them are stored or refused.
        self._written = 0
        self._settled = 0

    async def start(self) -> None:
        """Open what is there, and take it for this process alone.

        Raises:
            StoreHeld: another living process has it.
            StoreError: it cannot be read, or was written by a newer version.
        """
        if self._threads is not None:
            raise AssertionError("a store is started once before it is stopped")
        path = self._database.path
        checkpoints = Checkpoints(self._database.copying)
        writer = Writer(
            path, self._database.writing, self._directory.take, checkpoints, self._settle
        )
        reader = Reader(path, self._database.reading)
        self._threads = _Threads(writer, reader, checkpoints)
        try:
            await writer.run(lambda: self._open(writer))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Write what waits and close. Safe to call twice or unstarted."""
        threads = self._threads
        if threads is None:
            return
        self._hand_over(threads.writer)
        self._threads = None
        await threads.writer.stop()
        await threads.reader.stop()
        threads.checkpoints.stop()
        self._directory.release()

    def write(self, changes: Sequence[Change], committed: Committed | None = None) -> None:
        """Apply changes; never waits and never raises."""
        if self._threads is None:
            if committed is not None:
                closed = StoreError(f"The store {self._database.path} is not open: start it first.")
                asyncio.get_running_loop().call_soon(committed, closed)
            return
        self._written += 1
        self._held.append(Write(changes, committed))
        loop = asyncio.get_running_loop()
        if committed is None:
            if self._linger is None:
                self._linger = loop.call_later(LINGER_SECONDS, self._linger_over)
        elif not self._handing_over:
            self._handing_over = True
            loop.call_soon(loop.call_soon, self._turns_over)

    async def load(self, app: str) -> Loaded:
        """Return what is not finished of an app."""
        nothing = Loaded(0, 0, [], [], set(), [])
        return await self._read(lambda connection: queries.load(connection, app), nothing)

    async def task(self, app: str, task_id: str) -> StoredTask | None:
        """Return a task, finished or not, None if there is none of this id."""
        return await self._read(lambda connection: queries.task(connection, app, task_id), None)

    async def states(self, app: str, task_ids: Collection[str]) -> Mapping[str, State]:
        """Return the states of those of the tasks that exist."""
        nothing: Mapping[str, State] = {}
        return await self._read(
            lambda connection: queries.states(connection, app, task_ids), nothing
        )

    async def tasks(
        self, app: str, which: TaskFilter, limit: int, cursor: str | None = None
    ) -> Page:
        """Return up to ``limit`` tasks, newest first.

        Raises:
            BadCursor: not from a page of this store.
        """
        below = pages.below(cursor)
        nothing: Sequence[Task] = []
        # One more tells whether there is another page.
        found = await self._read(
            lambda connection: queries.tasks(connection, app, which, limit + 1, below), nothing
        )
        return pages.page_of(found, limit)

    async def prune(self, app: str, finished_before: int, limit: int) -> int:
        """Delete up to ``limit`` tasks that finished before that time; return how many."""
        threads = await self._ready()
        if not self._database.exists():
            return 0
        writer = threads.writer
        return await writer.run(
            lambda: queries.prune(writer.connection(), app, finished_before, limit)
        )

    # Within

    def _open(self, writer: Writer) -> None:
        """Take the directory if there is one, and open the database if there is one."""
        if not self._directory.exists():
            # Better told now than to the first who submits.
            self._directory.probe()
        else:
            self._directory.take()
            if self._database.exists():
                writer.connection()

    async def _read(self, query: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        threads = await self._ready()
        if not self._database.exists():
            return nothing
        return await threads.reader.run(query)

    async def _ready(self) -> _Threads:
        """Return once everything that was written is stored or refused."""
        threads = self._threads
        if threads is None:
            raise StoreError(f"The store {self._database.path} is not open: start it first.")
        if self._settled < self._written:
            stored: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()

            def committed(error: StoreError | None) -> None:
                if not stored.done():
                    stored.set_result(error)

            self.write((), committed)
            error = await stored
            if error is not None:
                raise error
        return threads

    def _hand_over(self, writer: Writer) -> None:
        held, self._held = self._held, []
        if held:
            writer.write(held, self._written)

    def _turns_over(self) -> None:
        self._handing_over = False
        if self._threads is not None:
            self._hand_over(self._threads.writer)

    def _linger_over(self) -> None:
        self._linger = None
        if self._threads is not None:
            self._hand_over(self._threads.writer)

    def _settle(self, upto: int) -> None:
        self._settled = max(self._settled, upto)


@dataclass(frozen=True, slots=True)
class _Threads:
    """What there is between start and stop."""

    writer: Writer
    reader: Reader
    checkpoints: Checkpoints
