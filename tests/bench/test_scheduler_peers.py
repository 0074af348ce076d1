"""The peers' workloads with a task queue of a few lines, for no test installs from PyPI.

It needs redis-server, as peers do.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from callboard_bench.scheduler.peers import workloads
from callboard_bench.scheduler.peers.environments import Peer
from callboard_bench.scheduler.peers.programs import PRODUCER, PROGRAMS, TASKS, Program
from callboard_bench.scheduler.program import PROBE
from callboard_bench.scheduler.workload import Sizes
from callboard_bench.targets.server_process import ServerFailed

REDIS_MISSING = shutil.which("redis-server") is None
needs_redis = pytest.mark.skipif(
    REDIS_MISSING and os.environ.get("CI") != "true", reason="redis-server is not installed"
)

#: Takes numbers off a list as they come.
QUEUE = (
    PROBE
    + """
import socket

host, port = os.environ["BENCH_REDIS"].removeprefix("redis://").split(":")
redis = socket.create_connection((host, int(port))).makefile("rwb", 0)


def ask(*words):
    words = [str(word).encode() for word in words]
    redis.write(b"*%d\\r\\n" % len(words) + b"".join(
        b"$%d\\r\\n%b\\r\\n" % (len(word), word) for word in words
    ))
    line = redis.readline()
    if line.startswith(b"*"):
        return [redis.readline() and redis.readline().strip() for _ in range(int(line[1:]))]
    return line


if __name__ == "__main__":
    while True:
        mark(int(ask("BLPOP", "tasks", "0")[1]))
"""
)
SUBMIT = """
import sys, time
from peer_tasks import ask
mode, *numbers = sys.argv[1:]
if mode == "paced":
    submitted = [time.monotonic_ns() for _ in range(int(numbers[0]))]
    for number in submitted:
        ask("RPUSH", "tasks", number)
    print(*submitted)
else:
    began = time.monotonic_ns()
    for number in range(int(numbers[0]), int(numbers[0]) + int(numbers[1])):
        ask("RPUSH", "tasks", number)
    print(began, time.monotonic_ns())
"""

SIZES = Sizes(samples=5, interval_ms=1, tasks=20, backlog=20)


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / f"{TASKS}.py").write_text(QUEUE)
    (tmp_path / f"{PRODUCER}.py").write_text(SUBMIT)
    program = Program("lines", (), QUEUE, SUBMIT, ("python", "-m", TASKS), "one at a time")
    return Peer(program, tmp_path, "no")


@needs_redis
async def test_a_peers_latency_is_measured(peer: Peer) -> None:
    round_ = await workloads.latency(peer, SIZES)

    assert round_.warnings == []
    assert round_.values["samples"] == 5
    assert round_.values["start_p50"] > 0


@needs_redis
async def test_a_peers_throughput_is_measured(peer: Peer) -> None:
    round_ = await workloads.throughput(peer, SIZES)

    assert round_.warnings == []
    assert round_.values["tasks"] == 20
    assert round_.values["tasks_per_second"] > 0


@needs_redis
async def test_a_peers_backlog_is_measured(peer: Peer) -> None:
    round_ = await workloads.backlog(peer, SIZES)

    assert round_.warnings == []
    assert round_.values["drained_per_second"] > 0


@needs_redis
async def test_what_a_peer_loses_is_a_warning(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_QUIET_SECONDS", 0.2)
    losing = QUEUE.replace('mark(int(ask("BLPOP", "tasks", "0")[1]))', LOSES_ONE)
    (peer.directory / f"{TASKS}.py").write_text(losing)

    round_ = await workloads.throughput(peer, SIZES)

    assert round_.fault is None
    assert round_.warnings == ["of the tasks that it acknowledged 1 never started"]


LOSES_ONE = """
        number = int(ask("BLPOP", "tasks", "0")[1])
        if number != 110:
            mark(number)
"""


async def test_without_redis_it_says_what_to_do(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)

    with pytest.raises(ServerFailed, match="peers need redis-server: install it"):
        await workloads.latency(peer, SIZES)


@needs_redis
async def test_a_producer_that_fails_is_quoted(peer: Peer) -> None:
    (peer.directory / f"{PRODUCER}.py").write_text("raise SystemExit('no such luck')")

    with pytest.raises(ServerFailed, match="the producer of lines failed: no such luck"):
        await workloads.latency(peer, SIZES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_of_peers_are_python(name: str) -> None:
    compile(PROGRAMS[name].tasks, f"{name} tasks", "exec")
    compile(PROGRAMS[name].producer, f"{name} producer", "exec")
