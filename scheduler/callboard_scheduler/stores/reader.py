"""The one thread that reads, with a connection of its own: commits do not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from callboard_scheduler.stores import StoreError
from callboard_scheduler.stores.faults import explain

T = TypeVar("T")


class Reader:
    """Runs queries one after the other; ``connect`` is called when there is the first."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._thread = ThreadPoolExecutor(1, "callboard-reader")
        self._connection: sqlite3.Connection | None = None

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query does, all of it on one state of the database.

        Raises:
            StoreError: it cannot be read; the text says why.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run, query)

    async def stop(self) -> None:
        """Close the connection and end the thread. Safe to call twice."""
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute("BEGIN")
            found = query(self._connection)
            self._connection.execute("COMMIT")
        except (msgspec.MsgspecError, KeyError) as error:
            self._close()
            raise StoreError(
                f"A record in {self._path} cannot be read: {error}. It is damaged, or was written "
                "by another version; restore it from a backup, or install that version."
            ) from error
        except (sqlite3.Error, OSError, StoreError) as error:
            self._close()
            raise explain(self._path, error) from error
        return found

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
