"""The database's schema: numbered SQL files, applied in order and each as a whole.

``PRAGMA user_version`` is the number of the last one that was applied. A file that was released
is never changed: what is to be different comes with the next one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from callboard_scheduler.stores import StoreError

#: ``CALL``: what the first migration sets as the file's application id.
APPLICATION_ID: Final = 0x43414C4C

_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


@cache
def migrations() -> Sequence[str]:
    """Return the SQL of every migration, the first at 0: it leads to version 1."""
    folder = resources.files(__package__) / "migrations"
    files = sorted(
        (entry for entry in folder.iterdir() if _FILE_NAME.fullmatch(entry.name)),
        key=lambda entry: entry.name,
    )
    numbers = [int(entry.name[:4]) for entry in files]
    if numbers != [*range(1, len(files) + 1)]:
        raise AssertionError(f"migrations are numbered from 1 without a gap, not {numbers}")
    return [entry.read_text("utf-8") for entry in files]


def migrate(
    connection: sqlite3.Connection, path: Path, scripts: Sequence[str] | None = None
) -> None:
    """Bring a database to the newest schema, ``scripts`` by default :func:`migrations`.

    Raises:
        StoreError: it was written by a newer version, or is not a scheduler's.
        sqlite3.Error: a migration failed; then nothing of it was applied.
    """
    known = migrations() if scripts is None else scripts
    version = check(connection, path, known)
    for number, script in enumerate(known[version:], version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def check(connection: sqlite3.Connection, path: Path, scripts: Sequence[str] | None = None) -> int:
    """Return a database's version, 0 for an empty one.

    Raises:
        StoreError: it was written by a newer version, or is not a scheduler's.
    """
    known = len(migrations() if scripts is None else scripts)
    version = _pragma(connection, "user_version")
    owner = _pragma(connection, "application_id")
    empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and not (empty and version == 0):
        raise StoreError(
            f"{path} is a database, but not one of Callboard's scheduler, so it is left alone. "
            "Choose another directory."
        )
    if version > known:
        raise StoreError(
            f"{path} was written by a newer version of Callboard: its schema is {version}, and "
            f"this version knows up to {known}. Install the newer version again, or choose "
            "another directory."
        )
    return version


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
