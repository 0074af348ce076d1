"""A worker that owns its process: the command, signals, and children of a fork."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from callboard_scheduler import wire
from callboard_scheduler.transports import Cause
from support.scripted_scheduler import PATIENCE_SECONDS, ScriptedScheduler, scripted_scheduler

MODULE = """
import asyncio, os, subprocess, sys, threading, time
from callboard_scheduler import Context, Worker

worker = Worker(queues=["pictures"], slots=4, id="of the module".replace(" ", "-"))
nothing = Worker()

@worker.task("wait")
async def wait(ctx: Context) -> None:
    await asyncio.Event().wait()

@worker.task("block")
async def block() -> None:
    threading.Event().wait()

@worker.task("finish")
async def finish(path: str) -> str:
    while not os.path.exists(path):
        await asyncio.sleep(0.005)
    return "finished"

@worker.task("fork")
def fork() -> int:
    child = os.fork()
    if child == 0:
        # As a child of multiprocessing does: live on, and know nothing of the worker.
        time.sleep(60)
        os._exit(0)
    return child

def fork_and_end(end: str) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("said by the child")
    if end == "exit":
        sys.exit(7)
    if end == "raise":
        raise ValueError("in the child")
    return 99

@worker.task("fork and end")
def fork_in_thread(end: str) -> int:
    return fork_and_end(end)

@worker.task("fork and end on the loop")
async def fork_on_loop(end: str) -> int:
    return fork_and_end(end)

@worker.task("start")
def start() -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    return tmp_path


@asynccontextmanager
async def command(folder: Path, *arguments: str) -> AsyncIterator[Process]:
    """Run ``callboard worker``; whatever is left of it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "callboard",
        "worker",
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CALLBOARD_URL": "http://127.0.0.1:1"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def worker_process(
    scheduler: ScriptedScheduler, folder: Path, *arguments: str
) -> AsyncIterator[Process]:
    """Run the module's worker as ``w1``, and wait for its hello."""
    options = ("--url", scheduler.url, "--id", scheduler.worker_id, *arguments)
    async with command(folder, "pictures:worker", *options) as process:
        await scheduler.hear(wire.Hello)
        yield process


@pytest.fixture
async def scheduler() -> AsyncIterator[ScriptedScheduler]:
    async with scripted_scheduler() as scheduler:
        yield scheduler


async def status_of(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


async def test_the_command_runs_a_modules_worker_with_other_options_if_there_are_any(
    scheduler: ScriptedScheduler, folder: Path
) -> None:
    options = ("--slots", "9", "--queue", "a", "--queue", "b")
    async with worker_process(scheduler, folder, *options) as process:
        (hello,) = (each for each in scheduler.heard if isinstance(each, wire.Hello))
        assert (hello.w, hello.cap, hello.q) == ("w1", 9, ["a", "b"])
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        assert line == (
            b"worker w1: 9 at a time of queues a, b, tasks block, finish, fork, fork and end, "
            b"fork and end on the loop, start, wait\n"
        )
        process.terminate()
        assert await status_of(process) == 0
        await scheduler.hear(wire.Bye)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("pictures",), 2, "'pictures' is no MODULE:WORKER, such as tasks:worker."),
        (("missing:worker",), 2, "there is no module 'missing'"),
        (("pictures:wrong",), 2, "'wrong' of module 'pictures' is no Worker: it has worker, noth"),
        (("pictures:worker", "--slots", "0"), 2, "slots must be a whole number of 1 or more"),
        (("pictures:worker", "--url", "nonsense"), 2, "expected http[s]://KEY:SECRET@HOST[:PORT]"),
        (("pictures:worker", "--token", "x"), 2, "expected KEY.payload.signature"),
        (("pictures:nothing",), 1, "put @worker.task(NAME) on a function"),
        (("broken:worker",), 1, "No module named 'no_such_library'"),
    ],
)
async def test_what_cannot_run_says_why(
    folder: Path, arguments: tuple[str, ...], status: int, text: str
) -> None:
    if "nothing" in arguments[0]:
        arguments = (*arguments, "--url", "http://key:secret@127.0.0.1:1/apps/1")
    async with command(folder, *arguments) as process:
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        assert text in " ".join(stderr.decode().split())
        assert process.returncode == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_what_runs_end(
    scheduler: ScriptedScheduler, folder: Path, number: signal.Signals
) -> None:
    async with worker_process(scheduler, folder) as process:
        given = scheduler.assign("finish", f'{{"path":"{folder}/go"}}')
        await scheduler.hear(wire.Accept, f=given.f)
        process.send_signal(number)
        await scheduler.hear(wire.Capacity, cap=0)
        (folder / "go").touch()
        result = await scheduler.hear(wire.Result, f=given.f)
        assert result.ok
        assert await status_of(process) == 0


async def test_what_does_not_end_in_the_time_of_the_drain_is_handed_back(
    scheduler: ScriptedScheduler, folder: Path
) -> None:
    async with worker_process(scheduler, folder, "--drain", "0.05") as process:
        given = scheduler.assign("wait")
        await scheduler.hear(wire.Accept, f=given.f)
        process.terminate()
        await scheduler.hear(wire.Released, f=given.f)
        assert await status_of(process) == 0


async def test_a_second_signal_quits_at_once_though_the_loop_is_blocked(
    scheduler: ScriptedScheduler, folder: Path
) -> None:
    async with worker_process(scheduler, folder) as process:
        given = scheduler.assign("block")
        await scheduler.hear(wire.Accept, f=given.f)
        process.terminate()
        await scheduler.hear(wire.Capacity, cap=0)
        process.terminate()
        assert await status_of(process) == 143


@pytest.mark.parametrize("name", ["fork", "start"])
async def test_a_killed_worker_is_seen_to_go_though_its_children_live(
    scheduler: ScriptedScheduler, folder: Path, name: str
) -> None:
    async with worker_process(scheduler, folder) as process:
        given = scheduler.assign(name)
        result = await scheduler.hear(wire.Result, f=given.f)
        child = msgspec.json.decode(result.val or b"")
        try:
            process.kill()
            assert await scheduler.gone() is Cause.DISCONNECTED
            os.kill(child, 0)  # alive
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("name", ["fork and end", "fork and end on the loop"])
async def test_a_child_in_which_the_function_ends_ends_too_and_reports_nothing(
    scheduler: ScriptedScheduler, folder: Path, name: str
) -> None:
    async with worker_process(scheduler, folder) as process:
        for end, status in (("return", 0), ("raise", 1), ("exit", 7)):
            given = scheduler.assign(name, f'["{end}"]')
            result = await scheduler.hear(wire.Result, f=given.f)
            assert (result.ok, msgspec.json.decode(result.val or b"null")) == (True, status)
            said = [each for each in scheduler.said_of(given) if isinstance(each, wire.Result)]
            assert len(said) == 1
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        assert line == b"said by the child\n"


async def test_a_program_of_ones_own_says_that_it_works_unless_it_is_told_what_to_call(
    scheduler: ScriptedScheduler, folder: Path
) -> None:
    for options, expected in (
        ("", b"worker w1: 4 at a time of queues pictures, tasks block, "),
        (", on_ready=lambda name: print('ready:', name, flush=True)", b"ready: w1\n"),
    ):
        (folder / "program.py").write_text(
            f"from pictures import worker\nworker.change(id='w1')\n"
            f"worker.run({scheduler.url!r}{options})\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "program.py", cwd=folder, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
            assert line.startswith(expected)
            process.terminate()
            assert await status_of(process) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
