"""What the system says about a store's files, in words that say what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from callboard_scheduler.stores import StoreError, UnfitChange

#: Why, and what to do, by SQLite's primary result code.
_ADVICE: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free space there; it goes on by itself."),
    sqlite3.SQLITE_IOERR: (
        "the disk reported an error",
        "Look for its cause in the system's log; it goes on by itself once writing works again.",
    ),
    sqlite3.SQLITE_READONLY: (
        "it may not be written to",
        "Let the user that this process runs as write to the directory and the files in it.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "Let the user that this process runs as read and write the directory and its files.",
    ),
    sqlite3.SQLITE_BUSY: (
        "another program has it locked",
        "End what that program does there, such as a transaction in an sqlite3 shell.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged",
        "Restore it from a backup, or move the directory away to begin with an empty one.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not an SQLite database, or is damaged",
        "Restore it from a backup, or move it away to begin with an empty one.",
    ),
}


_PASSING: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Passing(StoreError):
    """The disk is full, the file locked or moved: the connection is as good as it was."""


def _is_environmental(error: BaseException) -> bool:
    """Whether the disk or the file is at fault, so that the same may work another time.

    Anything else is the fault of what was to be written.
    """
    if isinstance(error, sqlite3.Error):
        return not isinstance(
            error,
            sqlite3.IntegrityError
            | sqlite3.DataError
            | sqlite3.ProgrammingError
            | sqlite3.InterfaceError,
        )
    return isinstance(error, OSError | StoreError)


def explain(path: Path, error: BaseException) -> StoreError:
    """Return the StoreError for what went wrong with a file of the store."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cause, advice = _ADVICE[sqlite3.SQLITE_FULL]
            return Passing(f"Cannot use {error.filename or path}: {cause}. {advice}")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return StoreError(
            f"Cannot use {error.filename or path}: {reason}. Expected a directory that the user "
            f"this process runs as may write to; see to it, or choose another one."
        )
    if not _is_environmental(error):
        return UnfitChange(
            f"Cannot store what was asked for in {path}: {error}. Nothing of it was stored."
        )
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    cause, advice = _ADVICE.get(
        code & 0xFF, (str(error), "If it stays so, restore it from a backup.")
    )
    kind = Passing if code & 0xFF in _PASSING else StoreError
    return kind(f"Cannot use {path}: {cause} ({name}). {advice}")
