"""The SQLite store whose files are deleted, moved or replaced: nothing is lost unsaid."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from callboard_scheduler.stores import StoreError, StoreHeld
from callboard_scheduler.stores.database import Database
from callboard_scheduler.stores.directory import DataDirectory
from callboard_scheduler.stores.sqlite import SqliteStore
from conformance.store_suite import APP, saved, seqs, write

GONE = r"data/callboard\.db was deleted, moved or replaced .* restart this process"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder)
    await store.start()
    yield store
    await store.stop()


def delete_all(folder: Path) -> None:
    shutil.rmtree(folder)


def delete_the_database(folder: Path) -> None:
    (folder / "callboard.db").unlink()


def delete_and_make_again(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def replace_by_a_copy(folder: Path) -> None:
    shutil.copy(folder / "callboard.db", folder / "copy")
    (folder / "copy").rename(folder / "callboard.db")


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


@pytest.mark.parametrize(
    "fault",
    [
        delete_all,
        delete_the_database,
        delete_and_make_again,
        replace_by_a_copy,
        replace_by_a_file,
    ],
)
async def test_nothing_is_acknowledged_that_nobody_will_find(
    store: SqliteStore, folder: Path, fault: Callable[[Path], None]
) -> None:
    await write(store, saved(1))
    fault(folder)
    before = sorted(folder.rglob("*"))
    for _ in range(2):
        with pytest.raises(StoreError, match=GONE):
            await write(store, saved(2))
    # It does not pass for a store that has nothing either.
    for reading in (store.task(APP, "task-1"), store.load(APP), store.prune(APP, 5, 5)):
        with pytest.raises(StoreError, match=GONE):
            await reading
    assert sorted(folder.rglob("*")) == before


async def test_a_folder_that_is_moved_back_has_everything_and_goes_on(
    store: SqliteStore, folder: Path, tmp_path: Path
) -> None:
    await write(store, saved(1))
    folder.rename(tmp_path / "elsewhere")
    store.write([saved(2)])
    with pytest.raises(StoreError, match=GONE):
        await write(store, saved(3))
    (tmp_path / "elsewhere").rename(folder)
    await write(store, saved(4))
    # What nobody waited for was kept.
    assert await seqs(store) == [4, 2, 1]


async def test_a_store_that_is_started_again_begins_with_what_is_there(
    store: SqliteStore, folder: Path
) -> None:
    await write(store, saved(1))
    delete_all(folder)
    with pytest.raises(StoreError, match=GONE):
        await write(store, saved(2))
    await store.stop()
    await store.start()
    await write(store, saved(3))
    assert await seqs(store) == [3]


async def test_the_end_of_a_store_leaves_its_successors_files_alone(
    store: SqliteStore, folder: Path
) -> None:
    await write(store, saved(1))
    delete_all(folder)
    successor = SqliteStore(folder)
    await successor.start()
    await write(successor, saved(2))
    with pytest.raises(StoreError, match=GONE):
        await write(store, saved(3))
    await store.stop()
    assert (folder / "callboard.db-wal").exists()
    await write(successor, saved(4))
    assert await seqs(successor) == [4, 2]
    await successor.stop()


async def test_a_folder_without_a_database_has_nothing_to_lose_and_is_made_again(
    folder: Path,
) -> None:
    folder.mkdir()
    store = SqliteStore(folder)
    await store.start()
    delete_all(folder)
    await write(store, saved(1))
    assert await seqs(store) == [1]
    with pytest.raises(StoreHeld):
        await SqliteStore(folder).start()
    await store.stop()


async def test_a_lock_file_that_was_deleted_is_made_again_unless_somebody_else_has(
    store: SqliteStore, folder: Path
) -> None:
    await write(store, saved(1))
    (folder / "lock").unlink()
    await write(store, saved(2))
    other = DataDirectory(folder)
    with pytest.raises(StoreHeld):
        other.take()
    (folder / "lock").unlink()
    other.take()
    with pytest.raises(StoreHeld, match="in use by process"):
        await write(store, saved(3))
    other.release()
    await write(store, saved(4))
    assert await seqs(store) == [4, 2, 1]


def test_copying_the_log_of_a_deleted_database_makes_no_file(folder: Path) -> None:
    directory = DataDirectory(folder)
    database = Database(directory)
    connection = database.writing()
    delete_and_make_again(folder)
    for opened in (database.copying, database.reading):
        with pytest.raises(StoreError, match=GONE):
            opened()
    assert list(folder.iterdir()) == []
    connection.close()
    directory.release()
