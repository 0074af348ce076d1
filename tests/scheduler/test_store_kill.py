"""What is left of a process that was killed in the middle of writing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callboard_scheduler.stores.sqlite import SqliteStore
from conformance.store_suite import APP

#: Writes tasks without end, every third waited for, and says which are stored. A few hundred are
#: on their way at any time.
WRITE = """
import asyncio
import sys
from pathlib import Path

from callboard_scheduler.records import Spec, Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import TaskSaved
from callboard_scheduler.stores.sqlite import SqliteStore


async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.start()
    seq = told = (await store.load("app")).seq

    def tell(error, done):
        nonlocal told
        told = done
        sys.stdout.write(f"{error or done}\\n")

    while True:
        for _ in range(int(sys.argv[2])):
            seq += 1
            save = TaskSaved("app", Task(f"task-{seq}", Spec("work"), State.READY, seq, 0), True)
            committed = lambda error, done=seq: tell(error, done)
            store.write([save], None if seq % 3 else committed)
        while True:
            sys.stdout.flush()
            await asyncio.sleep(0)
            if seq - told < 300:
                break


asyncio.run(main())
"""


@pytest.mark.parametrize("at_once", [1, 50])
async def test_everything_that_was_acknowledged_is_there(tmp_path: Path, at_once: int) -> None:
    """And of the rest nothing without what was written before it."""
    folder = tmp_path / "data"
    acknowledged = 0
    for patience in (30, 300, 3_000):
        command = [sys.executable, "-c", WRITE, str(folder), str(at_once)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writing:
            assert writing.stdout is not None
            until = acknowledged + patience
            for line in writing.stdout:
                assert int(line) > acknowledged, "acknowledged in the order of writing"
                acknowledged = int(line)
                if acknowledged >= until:
                    break
            writing.send_signal(signal.SIGKILL)
            # What it had said when it died.
            rest = writing.stdout.read().splitlines(keepends=True)
            acknowledged = max([acknowledged, *(int(line) for line in rest if line[-1] == "\n")])
        store = SqliteStore(folder)
        await store.start()
        there = await _seqs(store)
        await store.stop()
        assert there == [*range(1, len(there) + 1)]
        assert len(there) >= acknowledged


async def _seqs(store: SqliteStore) -> list[int]:
    return [task.seq for task in (await store.load(APP)).tasks]
