"""What processes cost, read from the kernel."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callboard_bench import sampler
from callboard_bench.process import Meter, members_of
from callboard_bench.sampler import CPU, RSS, Sampler

BUSY_SECONDS = 0.1
TICK_SECONDS = 0.01

#: Works for a while at each line that it reads, and says when it is done.
WORKER = f"""
import sys, time
for line in sys.stdin:
    end = time.process_time() + {BUSY_SECONDS}
    while time.process_time() < end:
        pass
    print("done", flush=True)
"""


@contextmanager
def worker() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        work(process)
        yield process
        process.kill()


def work(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_a_window_has_the_cpu_time_of_all_processes_of_a_server() -> None:
    with worker() as first, worker() as second, worker() as client:
        meter = Meter([first.pid, second.pid], [client.pid])
        meter.begin()
        for process in (first, second, client):
            work(process)
        use = meter.end()

    slack = 4 * TICK_SECONDS
    assert 2 * BUSY_SECONDS - slack <= use.server.total
    assert use.server_share == pytest.approx(use.server.total / use.seconds)
    assert BUSY_SECONDS - slack <= use.generator_share * use.seconds < use.server.total
    assert use.others_share >= 0


#: Starts a worker when it reads a line, and says when that has worked for a while.
PARENT = f"""
import os, sys, time
for line in sys.stdin:
    if os.fork() == 0:
        while time.process_time() < {BUSY_SECONDS}:
            pass
        print("done", flush=True)
        time.sleep(60)
"""


def test_a_worker_that_a_server_starts_later_counts_from_its_beginning() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    ) as process:
        meter = Meter([process.pid], [])
        work(process)
        used = meter.end().server.total
        meter.begin()
        again = meter.end().server.total
        os.killpg(process.pid, signal.SIGKILL)

    assert used >= BUSY_SECONDS - 2 * TICK_SECONDS
    assert again < BUSY_SECONDS / 2


def test_a_process_of_a_server_that_ends_leaves_the_others_counted() -> None:
    with worker() as first, worker() as second:
        meter = Meter([first.pid, second.pid], [])
        meter.begin()
        work(second)
        first.kill()
        first.wait()
        assert meter.end().server.total >= BUSY_SECONDS - 2 * TICK_SECONDS

        second.kill()
        second.wait()
        with pytest.raises(ProcessLookupError, match="no process of the server is left"):
            meter.end()


def test_nothing_is_known_of_a_server_without_processes() -> None:
    meter = Meter([], [])
    meter.begin()
    use = meter.end()

    assert math.isnan(use.server.total)
    assert math.isnan(use.server_share)
    assert math.isnan(use.others_share)


def test_members_of_a_group_are_those_that_have_not_ended() -> None:
    with subprocess.Popen(["sleep", "60"], process_group=0) as process:
        assert members_of(process.pid) == [process.pid]
        process.kill()
        # It is there until it is waited for.
        while members_of(process.pid):
            pass


async def test_samples_are_told_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_STEP_NS", 1_000_000)
    told: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    with worker() as process:
        reading = Sampler([process.pid], lambda name, value: told.put_nowait((name, value)))
        seen = [await told.get() for _ in range(4)]
        series = reading.stop()

    assert [name for name, _ in seen] == [CPU, RSS, CPU, RSS]
    assert seen[1][1] > 1
    assert [value for name, value in seen if name == RSS] == series[RSS][:2]


async def test_a_server_that_cannot_be_seen_has_series_without_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "_STEP_NS", 1_000_000)
    told: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    reading = Sampler([], lambda name, value: told.put_nowait((name, value)))
    assert math.isnan((await told.get())[1])
    assert all(math.isnan(value) for values in reading.stop().values() for value in values)
