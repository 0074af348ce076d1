"""The write-ahead log stays short, however much is written."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from callboard_scheduler.records import Raw
from callboard_scheduler.stores import saving
from callboard_scheduler.stores.checkpoints import Checkpoints
from callboard_scheduler.stores.database import Database
from callboard_scheduler.stores.directory import DataDirectory
from conformance.store_suite import PATIENCE_SECONDS, saved

PAGE_BYTES = 4_096


class Bench:
    """A database, and how often and where its log was copied."""

    def __init__(self, path: Path) -> None:
        self._directory = DataDirectory(path)
        self.path = self._directory.database
        self._database = Database(self._directory)
        self.connection = self._database.writing()
        self.connected: list[str] = []
        self._seq = 0

    def connect(self) -> sqlite3.Connection:
        self.connected.append(threading.current_thread().name)
        return self._database.copying()

    def commit(self, checkpoints: Checkpoints, body_bytes: int = 10) -> None:
        self._seq += 1
        save = saved(self._seq, result=Raw(b'"' + b"x" * body_bytes + b'"'))
        size = saving.save(self.connection, [save])
        checkpoints.committed(self.connection, 1, size)

    def log_bytes(self) -> int:
        return self.path.with_name("callboard.db-wal").stat().st_size

    def close(self) -> None:
        self.connection.close()
        self._directory.release()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "data")
    yield bench
    bench.close()


def test_a_thread_copies_the_log_once_enough_was_written(bench: Bench) -> None:
    checkpoints = Checkpoints(bench.connect, copy_pages=100, long_pages=10_000)
    for _ in range(11):
        bench.commit(checkpoints)
    assert bench.connected == []
    bench.commit(checkpoints)
    checkpoints.stop()
    assert len(bench.connected) == 1
    assert bench.connected[0].startswith("callboard-checkpoint")
    # All of it is copied, so the next commit begins the log anew.
    before = bench.log_bytes()
    for _ in range(5):
        saving.save(bench.connection, [saved(1)])
    assert bench.log_bytes() == before


def test_large_bodies_count(bench: Bench) -> None:
    checkpoints = Checkpoints(bench.connect, copy_pages=100, long_pages=10_000)
    bench.commit(checkpoints, 100 * PAGE_BYTES)
    checkpoints.stop()
    assert len(bench.connected) == 1


def test_the_writer_copies_the_rest_of_a_long_log_itself(bench: Bench) -> None:
    """As when commits come without a pause: then some have always come behind what was copied."""
    long, copied = threading.Event(), threading.Event()

    class Telling(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            copied.set()

    def connect() -> sqlite3.Connection:
        if copied.is_set():
            raise sqlite3.OperationalError("once is enough")
        assert long.wait(PATIENCE_SECONDS)
        return sqlite3.connect(bench.path, factory=Telling)

    checkpoints = Checkpoints(connect, copy_pages=50, long_pages=100)
    for _ in range(30):
        bench.commit(checkpoints)
    # Somebody reads an old state, so that the thread cannot copy what comes next.
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        assert reading.execute("SELECT count(*) FROM task").fetchone() == (30,)
        bench.commit(checkpoints)
        long.set()
        assert copied.wait(PATIENCE_SECONDS)
    sizes = [bench.log_bytes()]
    while sizes[-3:] != [sizes[-1]] * 3 and len(sizes) < 200:
        bench.commit(checkpoints)
        sizes.append(bench.log_bytes())
    checkpoints.stop()
    assert len(sizes) < 200, "the log goes on growing"


def test_a_pause_after_much_was_written_empties_the_file(bench: Bench) -> None:
    checkpoints = Checkpoints(bench.connect, copy_pages=100, long_pages=10_000)
    bench.commit(checkpoints)
    assert not checkpoints.wants_a_pause
    for _ in range(15):
        bench.commit(checkpoints)
    assert checkpoints.wants_a_pause
    while checkpoints.wants_a_pause:
        checkpoints.paused()
    assert bench.log_bytes() == 0
    checkpoints.stop()
    bench.commit(checkpoints)
    assert bench.connection.execute("SELECT count(*) FROM task").fetchone() == (17,)


def test_whoever_reads_an_old_state_puts_that_off(bench: Bench) -> None:
    tried = threading.Event()

    class Telling(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            tried.set()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(bench.path, factory=Telling)

    checkpoints = Checkpoints(connect, copy_pages=100, long_pages=10_000)
    for _ in range(11):
        bench.commit(checkpoints)
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        assert reading.execute("SELECT count(*) FROM task").fetchone() == (11,)
        bench.commit(checkpoints, 100 * PAGE_BYTES)
        for _ in range(2):
            tried.clear()
            while not tried.is_set():
                checkpoints.paused()
            assert checkpoints.wants_a_pause
            assert bench.log_bytes() > 100 * PAGE_BYTES
    while checkpoints.wants_a_pause:
        checkpoints.paused()
    assert bench.log_bytes() == 0
    checkpoints.stop()


def test_what_cannot_be_copied_is_logged_and_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> sqlite3.Connection:
        bench.connected.append("")
        raise sqlite3.OperationalError("disk I/O error")

    checkpoints = Checkpoints(fail, copy_pages=20, long_pages=100)
    tried = 0
    with caplog.at_level(logging.WARNING):
        while len(bench.connected) < 3 and tried < 1_000:
            bench.commit(checkpoints)
            tried += 1
    checkpoints.stop()
    assert len(bench.connected) == 3
    assert "was not copied, and grows: disk I/O error" in caplog.text
