"""The data directory: one process at a time has it, and nothing is there before it is needed.

1. Who holds the lock on the file ``lock`` has the directory. The kernel gives the lock back when
   a process ends in whatever way, so nothing of a killed process is in the way of the next.
2. The file stays, and says who has it for those who are refused. Its time is since when.
3. What is made is for its owner alone: the directory 0700, the files 0600. A directory that was
   there keeps its mode.
4. A name is on the disk once the directory that holds it was synchronised: without that, a power
   cut may leave a database of acknowledged tasks that nobody finds.
5. The system goes on writing to a file that somebody deleted or moved, and what it holds is gone
   with the process. So whoever writes asks first whether the database is still where it was. No
   other one is made or used in its place: the schedulers know of tasks that it would not have.
   A lock file that was deleted is made again, if nobody else has done that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from weakref import WeakSet

import msgspec

from callboard_scheduler.stores import StoreHeld
from callboard_scheduler.stores.faults import Passing, explain

DATABASE: Final = "callboard.db"
LOCK: Final = "lock"


class _Holder(msgspec.Struct):
    """What the lock file says."""

    pid: int
    command: str


class DataDirectory:
    """The directory at a path, whether it is there or not.

    ``command`` is what others are told of who has it; by default the program's name.
    """

    def __init__(self, path: Path, command: str | None = None) -> None:
        # A process may change its working directory.
        self.path = path.absolute()
        self.database = self.path / DATABASE
        self._command = command or Path(sys.argv[0]).name or "python"
        self._lock: int | None = None
        #: What the file system knows the database by, once this process has it.
        self._taken: os.stat_result | None = None
        _directories.add(self)

    def exists(self) -> bool:
        """Whether there is a directory to take; a file in its place shows when it is taken."""
        return self.path.exists()

    def probe(self) -> None:
        """See whether it could be made, or written to if it is there; nothing of that stays.

        A full disk is no reason against it, nor that another process has it.

        Raises:
            StoreError: it could not.
        """
        try:
            place = self.path
            while not place.exists():
                place = place.parent
            # Permissions do not tell: root has them all, and still makes nothing in /proc.
            with TemporaryDirectory(prefix=".callboard-", dir=place):
                pass
        except OSError as error:
            fault = explain(self.path, OSError(error.errno, error.strerror, str(self.path)))
            if not isinstance(fault, Passing):
                raise fault from error

    def take(self) -> None:
        """Have it for this process alone, made if it is not there. Safe to call twice.

        Raises:
            StoreHeld: another living process has it, or another store of this process.
            StoreError: it cannot be made or written to, or is as :meth:`verify` says.
        """
        self.verify()
        if self._lock is not None:
            if _is_at(os.fstat(self._lock), self.path / LOCK):
                return
            self._unlock()
        try:
            _make(self.path)
            lock = _open(self.path / LOCK)
        except OSError as error:
            raise explain(self.path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = self._held(lock)
            os.close(lock)
            raise held from None
        except OSError as error:
            os.close(lock)
            raise explain(self.path / LOCK, error) from error
        self._lock = lock
        # That others are told who has it is no reason to fail, as on a full disk.
        with contextlib.suppress(OSError):
            os.truncate(lock, 0)
            os.pwrite(lock, msgspec.json.encode(_Holder(os.getpid(), self._command)) + b"\n", 0)

    def make_database(self) -> None:
        """Make an empty database file, unless there is one, so that it survives a power cut.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            # One that is there is not opened: closing it would drop the locks that SQLite has on
            # it for this whole process, and the next sqlite3 shell to end would delete the log.
            if not self.database.exists():
                os.close(_open(self.database))
            _synchronise(self.path)
            self._taken = self.database.stat()
        except OSError as error:
            raise explain(self.database, error) from error

    def verify(self) -> None:
        """See that the database, if there was one, is where it was.

        Raises:
            StoreError: it was deleted or moved, or another file is in its place.
        """
        if self._taken is not None and not _is_at(self._taken, self.database):
            raise Passing(
                f"{self.database} was deleted, moved or replaced while in use. Nothing is stored "
                "until the file itself is back; to begin with what is there now, restart this "
                "process."
            )

    def release(self) -> None:
        """Let others have it. Safe to call twice or untaken."""
        self._taken = None
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _held(self, lock: int) -> StoreHeld:
        since = datetime.fromtimestamp(os.fstat(lock).st_mtime, UTC)
        try:
            holder = msgspec.json.decode(os.pread(lock, 4096, 0), type=_Holder)
            who = f"process {holder.pid} ({holder.command})"
        except msgspec.DecodeError:
            who = "another process"
        return StoreHeld(
            f"The data directory {self.path} is in use by {who}, since {since:%Y-%m-%d %H:%M:%S} "
            "UTC. Stop that process, or choose another directory."
        )


#: All of this process, to be let go in its children.
_directories: WeakSet[DataDirectory] = WeakSet()


def _let_go() -> None:
    """A child would keep the lock of a parent that was killed."""
    for directory in _directories:
        directory.release()


os.register_at_fork(after_in_child=_let_go)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_at(known: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(known, path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise explain(path, error) from error


def _make(path: Path) -> None:
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(0o700, exist_ok=True)
        _synchronise(directory.parent)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _synchronise(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
