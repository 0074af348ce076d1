"""What only the SQLite store can be asked: its files, and its thread."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from callboard_scheduler.records import Raw
from callboard_scheduler.stores import (
    Change,
    StoreError,
    StoreHeld,
    TaskSaved,
    checkpoints,
    saving,
    writer,
)
from callboard_scheduler.stores.database import Database
from callboard_scheduler.stores.directory import DataDirectory
from callboard_scheduler.stores.sqlite import SqliteStore
from conformance.store_suite import APP, PATIENCE_SECONDS, saved, seqs, task, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder)
    await store.start()
    yield store
    await store.stop()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Files


async def test_nothing_is_made_before_the_first_write(store: SqliteStore, tmp_path: Path) -> None:
    assert (await store.load(APP)).tasks == []
    assert await seqs(store) == []
    assert await store.prune(APP, 5, 5) == 0
    await write(store)
    await store.stop()
    assert files(tmp_path) == []


async def test_a_directory_that_is_there_is_taken_at_once(folder: Path) -> None:
    folder.mkdir()
    first, second = SqliteStore(folder), SqliteStore(folder)
    await first.start()
    assert files(folder) == ["lock"]
    with pytest.raises(StoreHeld, match="in use by process"):
        await second.start()
    await first.stop()
    await second.start()
    await second.stop()


async def test_a_directory_that_could_not_be_made_is_told_at_once() -> None:
    with pytest.raises(StoreError, match=r"Cannot use /proc/data: .* choose another one"):
        await SqliteStore(Path("/proc/data")).start()


async def test_a_directory_that_was_not_there_is_taken_with_the_first_write(
    store: SqliteStore, folder: Path
) -> None:
    other = SqliteStore(folder)
    await other.start()
    await write(store, saved(1))
    with pytest.raises(StoreHeld, match="in use by process"):
        await write(other, saved(2))
    assert await seqs(store) == [1]
    # It goes on trying.
    await store.stop()
    await write(other, saved(3))
    assert await seqs(other) == [3, 1]
    await other.stop()


async def test_the_files_are_for_their_owner_alone_and_the_log_is_gone_in_the_end(
    store: SqliteStore, folder: Path
) -> None:
    await write(store, saved(1))
    await seqs(store)
    assert files(folder) == ["callboard.db", "callboard.db-shm", "callboard.db-wal", "lock"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}
    await store.stop()
    assert files(folder) == ["callboard.db", "lock"]


def test_a_commit_waits_for_the_disk(folder: Path) -> None:
    directory = DataDirectory(folder)
    with closing(Database(directory).writing()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        full = 2
        assert connection.execute("PRAGMA synchronous").fetchone() == (full,)
    directory.release()


@pytest.mark.parametrize("content", [b"no database at all, " * 100, b"SQLite format 3\x00" * 300])
async def test_a_file_that_is_no_database_is_left_alone(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "callboard.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"callboard\.db: it is .* Restore it from a backup"):
        await SqliteStore(folder).start()
    assert (folder / "callboard.db").read_bytes() == content


async def test_a_damaged_database_is_told_by_what_needs_it(folder: Path) -> None:
    store = SqliteStore(folder)
    await store.start()
    await write(store, *(saved(seq) for seq in range(500)))
    await store.stop()
    path = folder / "callboard.db"
    content = bytearray(path.read_bytes())
    # All but the first page, which has the schema.
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        await store.start()
        await store.load(APP)
    await store.stop()


async def test_a_record_that_cannot_be_read_is_told(store: SqliteStore, folder: Path) -> None:
    await write(store, saved(1), saved(2))
    with sqlite3.connect(folder / "callboard.db") as connection:
        connection.execute("UPDATE body SET spec = '{}' WHERE task = 1")
    connection.close()
    with pytest.raises(StoreError, match=r"record in .*callboard\.db cannot be read"):
        await store.task(APP, "task-1")
    assert await store.task(APP, "task-2") is not None


# The writer


class Gate:
    """Holds commits up, and notes how many changes each has."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.begun = threading.Event()
        self.open = threading.Event()
        self._save = saving.save

    def save(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
        self.commits.append(len(changes))
        self.begun.set()
        assert self.open.wait(PATIENCE_SECONDS)
        return self._save(connection, changes)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(saving, "save", gate.save)
    yield gate
    gate.open.set()


async def test_a_commit_takes_along_what_came_during_the_one_before(
    store: SqliteStore, gate: Gate
) -> None:
    heard: list[int] = []
    store.write([saved(1)], lambda _: heard.append(1))
    assert await asyncio.to_thread(gate.begun.wait, PATIENCE_SECONDS)
    for seq in range(2, 12):
        store.write([saved(seq)], lambda _, seq=seq: heard.append(seq))  # type: ignore[misc]
        store.write([TaskSaved(APP, task(seq), False)])
    gate.open.set()
    await write(store)
    # The tasks of the second commit, each once; what nobody waits for comes after.
    assert gate.commits[:2] == [1, 10]
    assert heard == [*range(1, 12)]


async def test_what_nobody_waits_for_is_written_soon(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = asyncio.Event()
    loop = asyncio.get_running_loop()
    save = saving.save

    def saving_is_told(connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
        loop.call_soon_threadsafe(settled.set)
        return save(connection, changes)

    monkeypatch.setattr(saving, "save", saving_is_told)
    store.write([saved(1)])
    await asyncio.wait_for(settled.wait(), PATIENCE_SECONDS)


async def test_the_log_is_emptied_when_nothing_comes_after_much(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied = asyncio.Event()
    loop = asyncio.get_running_loop()
    empty = checkpoints._empty

    def emptying_is_told(connection: sqlite3.Connection) -> int:
        pages = empty(connection)
        loop.call_soon_threadsafe(emptied.set)
        return pages

    monkeypatch.setattr(checkpoints, "_empty", emptying_is_told)
    monkeypatch.setattr(writer, "PAUSE_SECONDS", 0.001)
    log = folder / "callboard.db-wal"
    large = checkpoints.COPY_PAGES * 4_096
    await write(store, saved(1, result=Raw(b'"' + b"x" * large + b'"')))
    assert log.stat().st_size > large
    await asyncio.wait_for(emptied.wait(), PATIENCE_SECONDS)
    assert log.stat().st_size == 0
    await write(store, saved(2))
    assert await seqs(store) == [2, 1]


async def test_a_callback_that_fails_is_logged_and_alone(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: StoreError | None) -> None:
        raise RuntimeError("its own fault")

    store.write([saved(1)], fail)
    await write(store, saved(2))
    assert await seqs(store) == [2, 1]
    assert "what waited for the store failed" in caplog.text
    assert "its own fault" in caplog.text


async def test_after_the_end_whoever_waits_is_refused(store: SqliteStore) -> None:
    await store.stop()
    store.write([saved(1)])
    with pytest.raises(StoreError, match="not open"):
        await write(store, saved(2))
    with pytest.raises(StoreError, match="not open"):
        await store.load(APP)
    await store.start()
    assert await seqs(store) == []


# What cannot be stored


HALF_A_CHARACTER = "\ud83d"


async def test_what_cannot_be_stored_fails_alone(
    store: SqliteStore, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    store.write([saved(1)], lambda _: None)
    assert await asyncio.to_thread(gate.begun.wait, PATIENCE_SECONDS)
    heard: dict[int, StoreError | None] = {}
    # All in one batch.
    store.write([saved(2)], lambda error: heard.update({2: error}))
    store.write([saved(3), saved(4, queue=HALF_A_CHARACTER)], lambda e: heard.update({3: e}))
    store.write([saved(5, fence=2**63)])
    store.write([saved(6)], lambda error: heard.update({6: error}))
    gate.open.set()
    await write(store, saved(7))
    assert [*heard] == [2, 3, 6]
    assert (heard[2], heard[6]) == (None, None)
    assert "surrogates not allowed" in str(heard[3])
    assert "Nothing of it was stored" in str(heard[3])
    assert await seqs(store) == [7, 6, 2, 1]
    assert "a change was not stored" in caplog.text


async def test_a_write_of_thousands_fails_as_one(store: SqliteStore) -> None:
    await write(store, saved(0))
    thousands = [saved(seq) for seq in range(1, 2_000)]
    with pytest.raises(StoreError, match="Nothing of it was stored"):
        await write(store, *thousands, saved(2_000, queue=HALF_A_CHARACTER))
    assert await seqs(store) == [0]
