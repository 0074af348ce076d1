"""The data directory: one process at a time, made when it is needed, and on the disk then."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from callboard_scheduler.stores import StoreError, StoreHeld
from callboard_scheduler.stores.directory import DataDirectory

#: Takes a directory and says so; then waits for its standard input to end.
TAKE = """
import sys
from pathlib import Path
from callboard_scheduler.stores.directory import DataDirectory

directory = DataDirectory(Path(sys.argv[1]), "callboard serve")
directory.take()
print("taken", flush=True)
sys.stdin.read()
"""

#: The same, and leaves a child behind that outlives it.
TAKE_AND_FORK = """
import os
import sys
from pathlib import Path
from callboard_scheduler.stores.directory import DataDirectory

directory = DataDirectory(Path(sys.argv[1]))
directory.take()
child = os.fork()
os.write(1, b"parent of %d\\n" % child if child else b"child\\n")
sys.stdin.read()
"""


@contextmanager
def process(program: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def lines(running: subprocess.Popen[str], count: int = 1) -> Sequence[str]:
    assert running.stdout is not None
    return [running.stdout.readline() for _ in range(count)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("place", ["data", "data/below/that"])
def test_whether_it_could_be_made_is_seen_without_making_it(tmp_path: Path, place: str) -> None:
    DataDirectory(tmp_path / place).probe()
    assert list(tmp_path.iterdir()) == []


def test_one_that_another_process_has_could_be_used(tmp_path: Path) -> None:
    DataDirectory(tmp_path).take()
    DataDirectory(tmp_path).probe()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("place", ["/proc/data", "/proc/data/below", "/proc", "/dev/null/data"])
def test_one_that_could_not_be_made_is_explained(place: str) -> None:
    """Whoever tries: not even root can make a folder there."""
    with pytest.raises(StoreError, match=rf"Cannot use {place}: .* choose another one"):
        DataDirectory(Path(place)).probe()


def test_a_full_disk_is_no_reason_against_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "mkdir", full)
    DataDirectory(tmp_path / "data").probe()


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "some" / "data")
    assert not directory.exists()
    directory.take()
    directory.make_database()
    directory.release()
    assert [mode(directory.path.parent), mode(directory.path)] == [0o700, 0o700]
    assert sorted(path.name for path in directory.path.iterdir()) == ["callboard.db", "lock"]
    assert {mode(path) for path in directory.path.iterdir()} == {0o600}


def test_a_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    DataDirectory(tmp_path).take()
    assert mode(tmp_path) == 0o750


def test_what_is_made_is_on_the_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[Path] = []

    def fsync(handle: int) -> None:
        synchronised.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    directory = DataDirectory(tmp_path / "a" / "b")
    directory.take()
    assert synchronised == [tmp_path, tmp_path / "a"]
    directory.make_database()
    assert synchronised[2:] == [tmp_path / "a" / "b"]


def test_another_process_is_told_who_has_it_and_since_when(tmp_path: Path) -> None:
    with process(TAKE, tmp_path) as holder:
        assert lines(holder) == ["taken\n"]
        with pytest.raises(StoreHeld) as refused:
            DataDirectory(tmp_path).take()
        text = str(refused.value)
        assert str(tmp_path) in text
        assert f"process {holder.pid} (callboard serve), since 20" in text
        assert "Stop that process" in text


def test_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    with process(TAKE, tmp_path) as holder:
        assert lines(holder) == ["taken\n"]
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        directory = DataDirectory(tmp_path, "the next")
        directory.take()
        assert json.loads((tmp_path / "lock").read_text()) == {
            "pid": os.getpid(),
            "command": "the next",
        }


def test_a_child_of_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    """The lock is its parent's, though it inherits what the parent had open."""
    with process(TAKE_AND_FORK, tmp_path) as holder:
        # Both are there, in whichever order.
        child = int("".join(lines(holder, 2)).replace("child", "").split()[-1])
        try:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            os.kill(child, 0)  # it lives
            DataDirectory(tmp_path).take()
        finally:
            os.kill(child, signal.SIGKILL)


def test_two_in_one_process_exclude_one_another_too(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    first.take()
    first.take()
    with pytest.raises(StoreHeld, match=f"process {os.getpid()} "):
        second.take()
    first.release()
    first.release()
    second.take()
    with pytest.raises(StoreHeld):
        first.take()


def test_a_holder_that_has_not_said_who_it_is_yet_is_one_all_the_same(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    first.take()
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(StoreHeld, match="in use by another process, since"):
        second.take()


def test_a_file_in_its_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    for path in (tmp_path / "data", tmp_path / "data" / "below"):
        with pytest.raises(StoreError, match="Not a directory") as refused:
            DataDirectory(path).take()
        assert str(tmp_path / "data") in str(refused.value)
        assert "choose another" in str(refused.value)


def test_a_lock_file_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StoreError, match="Is a directory"):
        DataDirectory(tmp_path).take()


def test_a_full_disk_is_no_reason_to_refuse_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    first.take()
    with pytest.raises(StoreHeld, match="in use by another process"):
        second.take()
    first.release()
    second.take()


def test_a_full_disk_is_told_where_something_has_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, flags: int, mode: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(StoreError, match=r"lock: the disk is full\. Free space there"):
        DataDirectory(tmp_path).take()
