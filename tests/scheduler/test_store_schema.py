"""Bringing a database to the newest schema, whichever version wrote it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard_scheduler.stores import StoreError, schema
from callboard_scheduler.stores.sqlite import SqliteStore
from conformance.store_suite import APP, saved, write

PATH = Path("callboard.db")
SECOND = "ALTER TABLE task ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';"
THIRD = "CREATE TABLE third (n INTEGER PRIMARY KEY);"
BROKEN = "CREATE TABLE half (n INTEGER); CREATE TABLE half (n INTEGER);"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def tables(connection: sqlite3.Connection) -> set[str]:
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {name for (name,) in names}


def test_an_empty_database_gets_every_migration(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, PATH)
    assert version(connection) == len(schema.migrations())
    assert {"task", "body", "attempt", "schedule", "paused_queue", "term"} <= tables(connection)
    # And none twice.
    schema.migrate(connection, PATH)


def test_an_older_database_gets_those_that_it_lacks(connection: sqlite3.Connection) -> None:
    known = schema.migrations()
    schema.migrate(connection, PATH)
    connection.execute("INSERT INTO term (app, term) VALUES ('app', 3)")
    schema.migrate(connection, PATH, [*known, SECOND])
    schema.migrate(connection, PATH, [*known, SECOND, THIRD])
    assert version(connection) == len(known) + 2
    assert connection.execute("SELECT term FROM term").fetchall() == [(3,)]
    assert connection.execute("SELECT colour FROM task").fetchall() == []
    assert "third" in tables(connection)


def test_a_migration_that_fails_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    known = schema.migrations()
    schema.migrate(connection, PATH)
    with pytest.raises(sqlite3.OperationalError, match="half"):
        schema.migrate(connection, PATH, [*known, SECOND, BROKEN])
    # Each is a whole of its own: the one before it stays.
    assert version(connection) == len(known) + 1
    assert "half" not in tables(connection)
    schema.migrate(connection, PATH, [*known, SECOND, THIRD])


def test_a_database_of_a_newer_version_is_left_alone(connection: sqlite3.Connection) -> None:
    known = len(schema.migrations())
    schema.migrate(connection, PATH, [*schema.migrations(), SECOND])
    with pytest.raises(StoreError) as refused:
        schema.migrate(connection, PATH)
    assert re.search(
        rf"callboard\.db .*newer version.*schema is {known + 1}, .*up to {known}\. Install",
        str(refused.value),
    )


def test_a_database_of_somebody_else_is_left_alone(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE theirs (n INTEGER)")
    with pytest.raises(StoreError, match="not one of Callboard's"):
        schema.migrate(connection, PATH)
    assert tables(connection) == {"theirs"}


async def test_a_store_says_so_when_it_starts(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data")
    await store.start()
    await write(store, saved(1))
    await store.stop()
    with sqlite3.connect(tmp_path / "data" / "callboard.db") as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        await store.start()
    # It was let go again.
    with sqlite3.connect(tmp_path / "data" / "callboard.db") as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.migrations())}")
    connection.close()
    await store.start()
    assert await store.task(APP, "task-1") is not None
    await store.stop()
