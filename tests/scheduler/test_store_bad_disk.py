"""The SQLite store on a disk that is full, fails, or is locked by somebody else."""

from __future__ import annotations

import asyncio
import logging
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from callboard_scheduler.records import Raw
from callboard_scheduler.stores import Change, StoreError, TaskSaved, database, saving
from callboard_scheduler.stores.database import Database
from callboard_scheduler.stores.sqlite import SqliteStore
from conformance.store_suite import APP, PATIENCE_SECONDS, saved, seqs, task, write

#: More than what is left of a small disk.
LARGE = Raw(b'"' + b"x" * 1_000_000 + b'"')
#: Looks into a database and goes.
SHELL = """
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM task").fetchone()
connection.close()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder)
    await store.start()
    yield store
    await store.stop()


@contextmanager
def disk_errors() -> Iterator[None]:
    """Refuse whatever is written to a file behind its first byte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_failing_disk_refuses_what_is_waited_for_and_keeps_the_rest(
    store: SqliteStore, folder: Path
) -> None:
    await write(store, saved(1))
    with disk_errors():
        store.write([saved(2)])
        with pytest.raises(StoreError) as refused:
            await write(store, saved(3))
        text = str(refused.value)
        assert str(folder / "callboard.db") in text
        assert "the disk reported an error (SQLITE_IOERR" in text
        assert "it goes on by itself" in text
        # What was written is kept, but cannot be seen yet: that is said rather than passed over.
        with pytest.raises(StoreError):
            await store.load(APP)
        store.write([TaskSaved(APP, task(2, priority=2), True)])
        with pytest.raises(StoreError):
            await write(store, saved(4))
    await write(store, saved(5))
    assert await seqs(store) == [5, 2, 1]
    stored = await store.task(APP, "task-2")
    assert stored is not None
    assert stored.task.spec.priority == 2


async def test_what_was_kept_is_written_by_the_next_read_or_the_end(folder: Path) -> None:
    store = SqliteStore(folder)
    await store.start()
    await write(store, saved(1))
    for seq in (2, 3):
        with disk_errors():
            store.write([saved(seq)])
            with pytest.raises(StoreError):
                await store.load(APP)
        if seq == 2:
            assert await seqs(store) == [2, 1]
    await store.stop()
    await store.start()
    assert await seqs(store) == [3, 2, 1]
    await store.stop()


class Connections:
    """Counts those that were opened to write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = 0
        writing = Database.writing

        def count(database: Database) -> sqlite3.Connection:
            self.opened += 1
            return writing(database)

        monkeypatch.setattr(Database, "writing", count)


async def test_another_connection_is_opened_after_an_error_but_not_on_a_full_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(monkeypatch)
    monkeypatch.setattr(database, "SETTINGS", (*database.SETTINGS, "PRAGMA max_page_count = 60"))
    store = SqliteStore(folder)
    await store.start()
    await write(store, saved(1))
    with pytest.raises(StoreError, match="full"):
        await write(store, saved(2, result=LARGE))
    await write(store, saved(3))
    assert connections.opened == 1
    with disk_errors(), pytest.raises(StoreError, match="reported an error"):
        await write(store, saved(4))
    await write(store, saved(5))
    assert connections.opened == 2
    assert await seqs(store) == [5, 3, 1]
    await store.stop()


async def test_after_an_error_the_database_is_still_locked_against_other_programs(
    store: SqliteStore, folder: Path
) -> None:
    """A shell that believed to be the last to close it would delete the log under the store."""
    await write(store, saved(1))
    # The reader's connection stays, and with it what this process believes to have locked.
    assert await seqs(store) == [1]
    with disk_errors(), pytest.raises(StoreError, match="reported an error"):
        await write(store, saved(2))
    await write(store, saved(3))
    shell = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SHELL, str(folder / "callboard.db"))
    )
    assert await asyncio.wait_for(shell.wait(), PATIENCE_SECONDS) == 0
    assert (folder / "callboard.db-wal").exists()
    await write(store, saved(4))
    assert await seqs(store) == [4, 3, 1]


async def test_a_full_disk_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = (*database.SETTINGS, "PRAGMA max_page_count = 60")
    monkeypatch.setattr(database, "SETTINGS", small)
    store = SqliteStore(folder)
    await store.start()
    await write(store, saved(1))
    with pytest.raises(StoreError, match=r"the disk is full \(SQLITE_FULL\)\. Free space"):
        await write(store, saved(2, result=LARGE))
    await write(store, saved(3))
    assert await seqs(store) == [3, 1]
    await store.stop()


async def test_that_nobody_was_told_of_a_failure_is_logged_once(
    store: SqliteStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await write(store, saved(1))
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
        loop.call_soon_threadsafe(failed.set)
        raise sqlite3.OperationalError("no space")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(saving, "save", full)
        for seq in (2, 3):
            store.write([saved(seq)])
            await asyncio.wait_for(failed.wait(), PATIENCE_SECONDS)
            failed.clear()
        with pytest.raises(StoreError):
            await store.load(APP)
    assert caplog.text.count("keeps what was to be written") == 1
    assert await seqs(store) == [3, 2, 1]


async def test_another_programs_lock_is_waited_for_and_then_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    store = SqliteStore(folder)
    await store.start()
    await write(store, saved(1))
    with closing(sqlite3.connect(folder / "callboard.db", isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program has it locked"):
            await write(store, saved(2))
        # Reading does not need what is locked.
        assert await seqs(store) == [1]
    await write(store, saved(3))
    assert await seqs(store) == [3, 1]
    await store.stop()
