"""Copying the write-ahead log into the database beside the commits, so that it stays short.

1. A thread copies, as often as enough was written. SQLite lets it work while others commit.
2. The log begins anew only if a commit finds all of it copied. Between commits without a pause
   none ever does: once the log is long, the writer copies the short rest itself.
3. A log that begins anew keeps its file as long as it was. After much was written, a pause between
   commits is used to empty the file; who reads an old state then puts that off to the next pause.
4. Only the log's length depends on it: if it fails, that is logged and tried again later.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Final

from callboard_scheduler.stores import StoreError

logger = logging.getLogger("callboard.scheduler")

#: Pages of 4 KiB by which the log grows before it is copied.
COPY_PAGES: Final = 4_000
#: Pages from which the writer sees to it that the log begins anew.
LONG_PAGES: Final = 4 * COPY_PAGES
#: What a commit and each row of it add to the log, about, besides what users put there.
_COMMIT_PAGES: Final = 8
_ROW_PAGES: Final = 1
_PAGE_BYTES: Final = 4_096


class Checkpoints:
    """Called in the writer's thread; ``connect`` is called in the one that copies."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        copy_pages: int = COPY_PAGES,
        long_pages: int = LONG_PAGES,
    ) -> None:
        self._connect = connect
        self._copy_pages = copy_pages
        self._long_pages = long_pages
        self._thread = ThreadPoolExecutor(1, "callboard-checkpoint")
        self._copying: Future[int] | None = None
        #: By how much the log has grown since it was last copied, about.
        self._pages = 0
        #: How much was written to it since its file was last empty, about.
        self._file_pages = 0

    def committed(self, connection: sqlite3.Connection, rows: int, body_bytes: int) -> None:
        """Count a commit of the writer's connection, and have the log copied if that is due.

        ``body_bytes`` is the size of the specs, results and checkpoints in it.
        """
        pages = _COMMIT_PAGES + rows * _ROW_PAGES + body_bytes // _PAGE_BYTES
        self._pages += pages
        self._file_pages += pages
        if self._copied() >= self._long_pages:
            _length(lambda: _copy(connection))
        if self._copying is None and self._pages >= self._copy_pages:
            self._copy_with(_copy)

    @property
    def wants_a_pause(self) -> bool:
        """Whether :meth:`paused` is to be called if no commit comes for a while."""
        return self._file_pages >= self._copy_pages

    def paused(self) -> None:
        """Have the log's file emptied, while nothing is committed."""
        self._copied()
        if self._copying is None and self.wants_a_pause:
            self._copy_with(_empty)

    def stop(self) -> None:
        """Wait for what is being copied. Safe to call twice."""
        self._thread.shutdown()

    def _copied(self) -> int:
        """Return how many pages the log had if it was copied since the last call, else 0."""
        if self._copying is None or not self._copying.done():
            return 0
        copied, self._copying = self._copying, None
        pages = _length(copied.result)
        if pages == 0:
            self._file_pages = 0
        return pages

    def _copy_with(self, copy: Callable[[sqlite3.Connection], int]) -> None:
        self._pages = 0
        self._copying = self._thread.submit(self._connect_and, copy)

    def _connect_and(self, copy: Callable[[sqlite3.Connection], int]) -> int:
        with closing(self._connect()) as connection:
            return copy(connection)


def _copy(connection: sqlite3.Connection) -> int:
    """Copy what the log has, without holding anybody up; return how many pages it has."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)


def _empty(connection: sqlite3.Connection) -> int:
    """Copy what the log has and empty its file; return 0, or how many pages it still has."""
    pages = _copy(connection)
    # Nobody waits for others here, who would wait for it in turn.
    connection.execute("PRAGMA busy_timeout = 0")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return pages if busy else 0


def _length(copy: Callable[[], int]) -> int:
    try:
        return copy()
    except (sqlite3.Error, StoreError) as error:
        logger.warning("the store's log was not copied, and grows: %s", error)
        return 0
