"""The one thread that writes: each commit takes along whatever has come during the one before.

1. Nothing is waited for to fill a batch: a commit begins when the last one has ended.
2. The loop hears once per commit of all whose changes are on the disk, in the order of writing.
3. What the disk did not take is refused to those who wait. What nobody waits for is kept, and
   written with the next batch: it may not be missing when something later is there.
4. What cannot be stored because of what it is fails alone, and only to whom it belongs.
5. A connection that has failed is closed, and the next batch opens another; not if the disk is
   full, which opening one would take more of.
6. If nothing comes for a while after much, the log's file is emptied: see :mod:`checkpoints`.
7. Before each batch it is asked whether the file is still there: see :mod:`directory`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, TypeVar

import msgspec

from callboard_scheduler.stores import Change, Committed, StoreError, UnfitChange, saving
from callboard_scheduler.stores.checkpoints import Checkpoints
from callboard_scheduler.stores.coalescing import coalesce
from callboard_scheduler.stores.faults import Passing, explain

logger = logging.getLogger("callboard.scheduler")

T = TypeVar("T")

#: Changes from which a batch takes no more, so that those who wait do not wait for all others.
FULL: Final = saving.MAX_ROWS
#: Without anything to write it is a pause, in seconds.
PAUSE_SECONDS: Final = 1.0


class Write(msgspec.Struct):
    """One call of :meth:`~callboard_scheduler.stores.Store.write`."""

    changes: Sequence[Change]
    committed: Committed | None


class _Writes(msgspec.Struct):
    writes: Sequence[Write]
    #: How many there were in all, with these.
    upto: int


class _Job(msgspec.Struct):
    #: Does something in the writer's thread and tells the loop itself; never raises.
    do: Callable[[], None]


class _End(msgspec.Struct):
    pass


class Writer:
    """Writes batches in a thread of its own, from its making to :meth:`stop`.

    ``connect`` opens what is written to, when it is first needed; ``verify`` raises StoreError
    if that may not be written to any more. ``settled`` is called on the loop with how many of the
    writes need not be waited for any more: they are stored or refused.
    """

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        verify: Callable[[], None],
        checkpoints: Checkpoints,
        settled: Callable[[int], None],
    ) -> None:
        self._path = path
        self._connect = connect
        self._verify = verify
        self._checkpoints = checkpoints
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._queue: SimpleQueue[_Writes | _Job | _End] = SimpleQueue()
        # From here on of the thread alone.
        self._connection: sqlite3.Connection | None = None
        self._kept: list[Write] = []
        self._failing = False
        self._thread = Thread(target=self._live, name="callboard-store", daemon=True)
        self._thread.start()

    # On the loop

    def write(self, writes: Sequence[Write], upto: int) -> None:
        """Have these written; ``upto`` is the count of all writes with these."""
        self._queue.put(_Writes(writes, upto))

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function in the writer's thread, behind what was written.

        Raises:
            StoreError: as the function raised, or in place of an error of SQLite or the system.
        """
        result: asyncio.Future[T] = self._loop.create_future()

        def answer(value: T) -> None:
            if not result.done():
                result.set_result(value)

        def refuse(error: StoreError) -> None:
            if not result.done():
                result.set_exception(error)

        def do() -> None:
            try:
                value = function()
            except Exception as error:
                failure = self._explain(error)
                self._post(lambda: refuse(failure))
            else:
                self._post(lambda: answer(value))

        self._queue.put(_Job(do))
        return await result

    async def stop(self) -> None:
        """Write what waits, close the connection and end the thread. Safe to call twice."""
        self._queue.put(_End())
        await asyncio.shield(self._ended)
        self._thread.join()

    # In the thread

    def connection(self) -> sqlite3.Connection:
        """Return the connection, opened if it is not.

        Raises:
            StoreError: it cannot be, or its file is not there any more.
        """
        if self._connection is None:
            self._connection = self._connect()
        else:
            self._verify()
        return self._connection

    def _live(self) -> None:
        item: _Writes | _Job | _End | None = None
        while not isinstance(item, _End):
            item = self._next()
            if isinstance(item, _Writes):
                item = self._gather(item)
            if isinstance(item, _Job):
                item.do()
        if self._kept:
            self._commit([], 0)
        self._close()
        self._post(self._end)

    def _next(self) -> _Writes | _Job | _End:
        while self._checkpoints.wants_a_pause:
            try:
                return self._queue.get(timeout=PAUSE_SECONDS)
            except Empty:
                self._checkpoints.paused()
        return self._queue.get()

    def _gather(self, item: _Writes) -> _Writes | _Job | _End | None:
        """Write what is queued up to something else, and return that."""
        writes = [*item.writes]
        upto = item.upto
        size = sum(len(write.changes) for write in writes)
        behind: _Writes | _Job | _End | None = None
        while size < FULL and behind is None:
            try:
                behind = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(behind, _Writes):
                writes += behind.writes
                upto = behind.upto
                size += sum(len(write.changes) for write in behind.writes)
                behind = None
        self._commit(writes, upto)
        return behind

    def _commit(self, writes: Sequence[Write], upto: int) -> None:
        writes = [*self._kept, *writes]
        errors = self._save(writes)
        told: list[tuple[Committed, StoreError | None]] = []
        kept: list[Write] = []
        for write, error in zip(writes, errors, strict=True):
            if write.committed is not None:
                told.append((write.committed, error))
            elif isinstance(error, UnfitChange):
                logger.error("a change was not stored: %s", error)
            elif error is not None:
                kept.append(write)
        if kept:
            if not self._failing and not told:
                # Those who wait are told; else nobody would know.
                logger.error("the store failed, and keeps what was to be written: %s", errors[0])
            kept = [Write(coalesce(write.changes for write in kept), None)]
        self._kept = kept
        self._failing = bool(kept)
        self._post(lambda: self._tell(told, 0 if kept else upto))

    def _save(self, writes: Sequence[Write]) -> Sequence[StoreError | None]:
        """Write these as one transaction; return what went wrong with each."""
        changes = coalesce(write.changes for write in writes)
        try:
            if changes:
                connection = self.connection()
                body_bytes = saving.save(connection, changes)
                self._checkpoints.committed(connection, len(changes), body_bytes)
        except Exception as error:
            failure = self._explain(error)
            if isinstance(failure, UnfitChange) and len(writes) > 1:
                return [self._save([write])[0] for write in writes]
            return [failure] * len(writes)
        return [None] * len(writes)

    def _explain(self, error: Exception) -> StoreError:
        failure = explain(self._path, error)
        if not isinstance(failure, UnfitChange | Passing):
            self._close()
        return failure

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _post(self, function: Callable[[], object]) -> None:
        # The loop may be closed by now: then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    # On the loop

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _tell(self, told: Sequence[tuple[Committed, StoreError | None]], upto: int) -> None:
        self._settled(upto)
        for committed, error in told:
            try:
                committed(error)
            except Exception:
                # Its fault is not the others'.
                logger.exception("what waited for the store failed")
