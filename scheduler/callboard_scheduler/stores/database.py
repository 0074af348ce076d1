"""The SQLite file and the connections to it.

One connection writes and one reads, each in its own thread; another copies the write-ahead log
into the file (:mod:`checkpoints`). ``synchronous=FULL`` makes a commit wait for the disk.
Locking stays normal, so that a backup or an sqlite3 shell may read along.
"""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from callboard_scheduler.stores import StoreError, schema
from callboard_scheduler.stores.directory import DataDirectory
from callboard_scheduler.stores.faults import explain

#: How long a lock that another program holds on the file is waited for, in seconds.
BUSY_SECONDS: Final = 5.0

#: What each writing connection is told first.
SETTINGS: Final = (
    "PRAGMA synchronous = FULL",
    # In a thread of its own, or every hundredth commit or so would wait for it.
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA temp_store = MEMORY",
)


class Database:
    """Opens connections to a data directory's database. Each call may block on the disk."""

    def __init__(self, directory: DataDirectory) -> None:
        self.directory = directory
        self.path = directory.database

    def exists(self) -> bool:
        """Whether anything was ever written.

        Raises:
            StoreError: something was, and is not there any more.
        """
        self.directory.verify()
        return self.path.exists()

    def writing(self) -> sqlite3.Connection:
        """Return the connection that writes, with everything made that was not there.

        Raises:
            StoreHeld: another living process has the directory.
            StoreError: it cannot be used; the text says why.
        """
        self.directory.take()
        self.directory.make_database()
        connection = None
        try:
            connection = _connect(self.path)
            schema.check(connection, self.path)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(
                    f"{self.path} is on a file system that SQLite's write-ahead log does not "
                    "work on, such as a network's. Choose a directory on a local disk."
                )
            for setting in SETTINGS:
                connection.execute(setting)
            schema.migrate(connection, self.path)
            connection.executescript(_saving())
        except (sqlite3.Error, StoreError) as error:
            if connection is not None:
                connection.close()
            raise explain(self.path, error) from error
        return connection

    def reading(self) -> sqlite3.Connection:
        """Return a connection that reads what :meth:`writing` has made.

        Raises:
            StoreError: it cannot be used; the text says why.
        """
        return self._open("PRAGMA query_only = ON")

    def copying(self) -> sqlite3.Connection:
        """Return a connection that copies the log into the file.

        Raises:
            StoreError: it cannot be used; the text says why.
        """
        return self._open("PRAGMA wal_autocheckpoint = 0")

    def _open(self, setting: str) -> sqlite3.Connection:
        # SQLite would make a file where there is none.
        self.directory.verify()
        connection = None
        try:
            connection = _connect(self.path)
            connection.execute(setting)
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise explain(self.path, error) from error
        return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Threads take turns: SQLite itself is serialised, and each connection is one thread's.
    return sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _saving() -> str:
    return (resources.files(__package__) / "saving.sql").read_text("utf-8")
