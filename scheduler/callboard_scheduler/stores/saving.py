"""Writing a batch of changes: one INSERT into the view of saving.sql.

So a batch is one call into SQLite, and its transaction begins and ends with it. Each call lets go
of the interpreter and has to get it back from the loop, which under load is most of what a commit
takes.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from callboard_scheduler.stores import Change
from callboard_scheduler.stores.rows import BODY, WIDTH, Row, row_of

#: Rows of one INSERT. SQLite takes 32,766 parameters in one statement.
MAX_ROWS: Final = 256
#: SQLite takes a NaN for NULL. The module asks each None how it wants to be adapted, which takes
#: ten times as long as binding a float, with the interpreter held; most of a row is empty.
_NULL: Final = math.nan


def save(connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
    """Write changes as one transaction; return how many bytes of bodies there were.

    Raises:
        sqlite3.Error: nothing of it was written.
    """
    rows = [row_of(change) for change in changes]
    if len(rows) <= MAX_ROWS:
        _insert(connection, rows)
    else:
        _insert_all(connection, rows)
    return sum(len(body) for row in rows for body in row[BODY] if body is not None)


def _insert_all(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for start in range(0, len(rows), MAX_ROWS):
            _insert(connection, rows[start : start + MAX_ROWS])
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    # Powers of two, the rest left empty: a handful of statements, each prepared once.
    size = 1 << (len(rows) - 1).bit_length()
    parameters: list[Any] = []
    for row in rows:
        parameters += [_NULL if value is None else value for value in row]
    parameters += [_NULL] * (WIDTH * (size - len(rows)))
    # With executemany, because execute asks for the last row's id and lets go once more for it.
    connection.executemany(_statement(size), (parameters,))


@cache
def _statement(size: int) -> str:
    row = f"({', '.join('?' * WIDTH)})"
    # Only marks are put together; values are bound.
    return f"INSERT INTO change VALUES {', '.join([row] * size)}"  # noqa: S608
