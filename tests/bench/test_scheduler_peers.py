"""The peers' workloads with a task queue of a few lines, for no test installs from PyPI.

It needs redis-server, as most peers do.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from callboard_bench.process import with_children
from callboard_bench.rounds import Metric
from callboard_bench.scheduler import workloads as choosing
from callboard_bench.scheduler.peers import environments as making
from callboard_bench.scheduler.peers import postgresql_server, trees, workloads
from callboard_bench.scheduler.peers.brokers import CRASH, DURABILITIES, NONE, broker, described
from callboard_bench.scheduler.peers.environments import Peer, environments
from callboard_bench.scheduler.peers.programs import PROGRAMS, Program
from callboard_bench.scheduler.peers.programs.program import (
    ONE_BY_ONE,
    PEER_PROBE,
    POSTGRESQL,
    REDIS,
    TASKS,
)
from callboard_bench.scheduler.workload import Sizes
from callboard_bench.scheduler.workloads import WORKLOADS
from callboard_bench.targets.server_process import ServerFailed
from support.node import missing

#: Takes tasks off a list as they come; one whose worker has died is run by another.
QUEUE = (
    PEER_PROBE
    + """
import socket

host, port = os.environ["BENCH_BROKER"].removeprefix("redis://").split(":")
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


def submit(name, number):
    ask("RPUSH", "tasks", f"{name} {number}")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def run():
    if task := ask("BLPOP", "tasks", "0.02"):
        name, number = task[1].decode().split()
        if name == "noop":
            mark(int(number))
        else:
            ask("RPUSH", "held", f"{os.getpid()} {number}")
            if first(int(number)):
                time.sleep(3600)
    elif task := ask("BLPOP", "held", "0.02"):
        pid, number = task[1].decode().split()
        if alive(int(pid)):
            ask("RPUSH", "held", f"{pid} {number}")
        else:
            first(int(number))


if __name__ == "__main__":
    while True:
        run()
"""
)
FORGETFUL = QUEUE.replace('ask("RPUSH", "held", f"{os.getpid()} {number}")', "pass")
LOSING = QUEUE.replace("mark(int(number))", "int(number) == 110 or mark(int(number))")
#: Those that it starts twice come before the last, which is late.
REPEATING = QUEUE.replace(
    "mark(int(number))", "[mark(int(number)) for _ in range(1 + (int(number) in (101, 102, 103)))]"
).replace(
    'if name == "noop":',
    'if number == "119":\n            time.sleep(0.2)\n        if name == "noop":',
)

SIZES = Sizes(samples=5, interval_ms=1, tasks=20, backlog=20, peer_kills=1, peer_kill_seconds=30)


@pytest.fixture
def redis() -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not installed")


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    command = ("python", "-m", TASKS)
    program = Program("lines", (), QUEUE, ONE_BY_ONE, command, "one at a time", "a look at it")
    return Peer(program, tmp_path, "1.0", NONE)


def changed(peer: Peer, **fields: Any) -> Peer:
    return replace(peer, program=replace(peer.program, **fields))


def reported(key: str, values: dict[str, float]) -> set[str]:
    (workload,) = (each for each in WORKLOADS if each.key == key)
    known = {metric.key: metric for metric in workload.metrics}
    assert all(isinstance(known[name], Metric) for name in values if name in known)
    return {name for name in values if name in known}


@pytest.mark.usefixtures("redis")
async def test_a_peers_latency_is_measured(peer: Peer) -> None:
    round_ = await workloads.run_latency(peer, SIZES)

    assert round_.warnings == []
    assert round_.values["samples"] == len(round_.curves["start"]) == 5
    assert {"start_p50", "start_p99", "start_max"} <= reported("W1", round_.values)
    assert round_.values["start_p50"] > 0


@pytest.mark.usefixtures("redis")
async def test_a_peers_throughput_is_measured(peer: Peer) -> None:
    round_ = await workloads.run_throughput(peer, SIZES)

    assert round_.warnings == []
    assert round_.values["tasks"] == 20
    assert {"tasks_per_second", "server_cpu", "worker_rss"} <= reported("W3", round_.values)
    assert round_.values["tasks_per_second"] > 0


@pytest.mark.usefixtures("redis")
async def test_a_peers_backlog_is_measured(peer: Peer) -> None:
    round_ = await workloads.run_backlog(peer, SIZES)

    assert round_.warnings == []
    assert {"drained_per_second", "bytes_per_task"} <= reported("W4", round_.values)
    assert round_.values["drained_per_second"] > 0


@pytest.mark.usefixtures("redis")
async def test_a_task_of_a_killed_worker_is_timed_until_it_runs_again(peer: Peer) -> None:
    round_ = await workloads.run_kills(peer, SIZES)

    assert round_.warnings == []
    assert {"restart_p50", "unrecovered", "losses"} <= reported("W5", round_.values)
    assert round_.values["unrecovered"] == 0
    assert round_.values["restart_p50"] > 0


@pytest.mark.usefixtures("redis")
async def test_what_does_not_run_again_is_counted_and_has_no_time(peer: Peer) -> None:
    sizes = replace(SIZES, peer_kill_seconds=1)

    round_ = await workloads.run_kills(changed(peer, tasks=FORGETFUL), sizes)

    assert round_.values["unrecovered"] == 1
    assert round_.curves == {}
    assert round_.warnings == ["1 of 1 tasks did not run again within 1 s"]


@pytest.mark.usefixtures("redis")
async def test_what_a_peer_loses_is_a_warning(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_QUIET_SECONDS", 0.2)

    round_ = await workloads.run_throughput(changed(peer, tasks=LOSING), SIZES)

    assert round_.fault is None
    assert round_.warnings == ["of the tasks that it acknowledged 1 never started"]


@pytest.mark.usefixtures("redis")
async def test_a_task_that_starts_twice_does_not_stand_for_one_that_is_late(peer: Peer) -> None:
    round_ = await workloads.run_throughput(changed(peer, tasks=REPEATING), SIZES)

    assert round_.warnings == ["of the tasks that it acknowledged 3 started twice"]


async def test_without_redis_it_says_what_to_do(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)

    with pytest.raises(ServerFailed, match="most peers need redis-server: install it"):
        await workloads.run_latency(peer, SIZES)


@pytest.mark.usefixtures("redis")
async def test_a_producer_that_fails_is_quoted(peer: Peer) -> None:
    failing = changed(peer, producer="raise SystemExit('no such luck')")

    with pytest.raises(ServerFailed, match="the producer of lines failed: no such luck"):
        await workloads.run_latency(failing, SIZES)


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("durability", DURABILITIES)
async def test_redis_starts_in_every_class_of_durability(durability: str, tmp_path: Path) -> None:
    async with broker(REDIS, durability, tmp_path) as kept_by:
        assert kept_by.url.startswith("redis://127.0.0.1:")
        written = tmp_path / "appendonlydir"
        # It accepts connections before it has made its files.
        while durability != NONE and not written.exists():
            await asyncio.sleep(0.01)
        assert written.exists() == (durability != NONE)


async def test_postgresql_is_made_for_a_round_and_gone_after_it(tmp_path: Path) -> None:
    try:
        postgresql_server._programs()
    except ServerFailed:
        missing("PostgreSQL is not installed")

    async with broker(POSTGRESQL, CRASH, tmp_path) as kept_by:
        where = Path(kept_by.url.split()[0].removeprefix("host="))
        assert [path.name for path in where.glob(".s.PGSQL.*[0-9]")] == [".s.PGSQL.5432"]
        assert len(with_children([kept_by.pid])) > 1

    assert not where.exists()
    assert not Path(f"/proc/{kept_by.pid}").exists()


async def test_without_postgresql_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(postgresql_server, "_DEBIAN", tmp_path / "none")

    with pytest.raises(ServerFailed, match="procrastinate needs PostgreSQL, and there is none"):
        async with broker(POSTGRESQL, CRASH, tmp_path):
            pass


def test_what_keeps_the_tasks_is_said() -> None:
    assert described(REDIS, "power") == "Redis with appendonly yes, appendfsync always"
    assert described(POSTGRESQL, "crash") == "PostgreSQL with synchronous_commit=off"


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    """A shell, and a child of it in a session of its own."""
    command = ["/bin/sh", "-c", "setsid sleep 60 & echo started; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        yield shell
        trees.kill(shell.pid)


def test_a_tree_costs_what_all_of_it_costs(group: subprocess.Popen[bytes]) -> None:
    shell, child = with_children([group.pid])

    assert trees.memory_bytes(shell) > trees.memory_bytes(child) > 0
    assert trees.peak_bytes(shell) is None
    assert (trees.peak_bytes(child) or 0) > 0


def test_the_time_of_children_that_have_ended_counts() -> None:
    busy = "import sys; [hash(n) for n in range(3_000_000)]; print(flush=True)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); input()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.waitid(os.P_PID, process.pid, os.WNOHANG | os.WEXITED | os.WNOWAIT)
        assert trees.cpu_seconds(process.pid) > 0.1
        process.communicate(b"\n")
    assert trees.cpu_seconds(process.pid) == 0


def test_a_kill_leaves_nothing_of_a_tree(group: subprocess.Popen[bytes]) -> None:
    _, child = with_children([group.pid])
    ended = os.pidfd_open(child)

    trees.kill(group.pid)

    assert group.wait() == -signal.SIGKILL
    assert select.select([ended], [], [], 10)[0] == [ended]
    os.close(ended)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is run to make an environment, which is a folder here."""
    ran: list[list[str]] = []

    async def run(*command: str) -> str:
        ran.append(list(command))
        if "venv" in command:
            Path(command[-1], "bin").mkdir(parents=True)
        return "3.5.4"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(making, "_run", run)
    return ran


async def test_an_environment_is_made_once_and_kept(
    commands: list[list[str]], tmp_path: Path
) -> None:
    (made,) = await environments(["huey"], NONE, fresh=False)
    steps = len(commands)
    (kept,) = await environments(["huey"], NONE, fresh=False)

    assert made == kept
    assert made.directory.is_relative_to(tmp_path / "cache" / "callboard")
    assert (made.version, made.kept_in) == ("3.5.4", "Redis with appendonly no")
    assert commands[1][-2:] == ["huey>=3,<4", "redis"]
    assert len(commands) == steps == 3


async def test_an_environment_is_made_anew_on_request(commands: list[list[str]]) -> None:
    (peer,) = await environments(["huey"], NONE, fresh=False)
    left = peer.directory / "bin" / "left"
    left.touch()

    await environments(["huey"], NONE, fresh=True)

    assert not left.exists()
    assert len(commands) == 6


async def test_an_environment_that_was_not_finished_does_not_count(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*command: str) -> str:
        raise ServerFailed("no network")

    with monkeypatch.context() as failing:
        failing.setattr(making, "_run", fail)
        with pytest.raises(ServerFailed, match="no network"):
            await environments(["huey"], NONE, fresh=False)

    await environments(["huey"], NONE, fresh=False)
    assert len(commands) == 3


async def test_two_runs_do_not_make_the_same_environment(
    commands: list[list[str]],
) -> None:
    (peer,) = await environments(["huey"], NONE, fresh=False)
    with (
        making._alone(peer.directory.with_suffix(".lock")),
        pytest.raises(ServerFailed, match="another run is installing"),
    ):
        await environments(["huey"], NONE, fresh=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_of_peers_are_python(name: str) -> None:
    compile(PROGRAMS[name].tasks, f"{name} tasks", "exec")
    compile(PROGRAMS[name].producer, f"{name} producer", "exec")


def test_peers_go_by_the_name_of_their_package() -> None:
    for name, program in PROGRAMS.items():
        assert program.name == name
        assert any(requirement.startswith(name) for requirement in program.requirements)


def test_a_row_says_what_it_promises(peer: Peer) -> None:
    other = changed(replace(peer, version="2.0"), name="rows", broker=POSTGRESQL)

    assert choosing._in_words([peer, other, peer], recovery=False) == (
        "Redis with appendonly no: lines 1.0 (one at a time), lines 1.0 (one at a time); "
        "PostgreSQL with synchronous_commit=off, fsync=off: rows 2.0 (one at a time)"
    )
    assert choosing._in_words([peer], recovery=True).endswith("(one at a time, a look at it)")
