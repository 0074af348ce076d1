"""After a session of a project's tests no thread, socket, task or file of ours is left."""

from __future__ import annotations

from pathlib import Path

from support.installed import Environment

#: The session's first act and its last: what is there, and what is there now that was not.
CONFTEST = """
import asyncio
import gc
import os
import socket
import threading

import uvloop

BEFORE = []

# libuv keeps one pipe for all loops of a process.
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(asyncio.sleep(0))


def files():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            pass  # the descriptor that lists the directory
    return found


def pytest_sessionstart(session):
    BEFORE[:] = files()


def pytest_unconfigure(config):
    left = files()
    for name in BEFORE:
        if name in left:
            left.remove(name)
    gc.collect()
    everything = gc.get_objects()
    tasks = [each for each in everything if isinstance(each, asyncio.Task) and not each.done()]
    sockets = [each for each in everything if isinstance(each, socket.socket)]
    open_loops = [
        each
        for each in everything
        if isinstance(each, asyncio.AbstractEventLoop) and not each.is_closed()
    ]
    print("files:", left)
    # pysher's own ends by itself, some time later.
    names = {each.name for each in threading.enumerate()} - {"PysherScheduler"}
    print("threads:", sorted(names))
    print("tasks:", tasks)
    print("sockets:", [each for each in sockets if each.fileno() != -1])
    print("loops:", open_loops)
"""

#: pysher does not close its sockets; what of ours is left open is seen at the end.
SETTINGS = """
[pytest]
filterwarnings =
    error
    ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning
"""

TESTS = """
import asyncio
import threading

import pusher
import pysher
import pytest
from callboard_scheduler import AsyncClient, Client, Worker
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

worker = Worker()


@worker.task
def double(n: int) -> int:
    return 2 * n


def test_clients_that_go_and_one_that_stays(pusher_server):
    url = f"ws://127.0.0.1:{pusher_server.port}/app/{pusher_server.key}"
    with connect(url):
        pusher.Pusher(**pusher_server.pusher_options()).trigger("c", "e", "d")
    threading.Thread(target=listen, args=(url,)).start()
    pusher_server.wait_for_connections()


def listen(url):
    with connect(url) as client, pytest.raises(ConnectionClosed, match="was reset"):
        while True:
            client.recv()


def test_a_client_of_pysher(pusher_server):
    client = pysher.Pusher("test-key", secure=False, custom_host="127.0.0.1",
                           port=pusher_server.port)
    client.connect()
    pusher_server.wait_for_connections()
    client.disconnect()


def test_faults(pusher_server):
    with pusher_server.faults.delay(0.01, "c"), pusher_server.faults.rest_status(503):
        pusher_server.trigger("c", "e", "d")
    pusher_server.faults.hold("c")
    pusher_server.trigger("c", "e", "d")


def test_tasks(task_scheduler):
    with task_scheduler.run(worker):
        task = task_scheduler.submit("double", {"n": 1}, delay_ms=1000)
        task_scheduler.submit("double", {"n": 1}, delay_ms=10_000)
        assert task_scheduler.advance(1) == [task]
        assert task_scheduler.client().submit("double", {"n": 2}).result(timeout=10) == 4


def test_coroutines(task_scheduler):
    async def main():
        serving = asyncio.ensure_future(worker.serve(task_scheduler.server.url))
        async with AsyncClient(task_scheduler.server.url) as client:
            task = await client.submit("double", {"n": 3}, delay_ms=1000)
            await task_scheduler.wait_for_workers_async()
            await task_scheduler.advance_async(1)
            assert await task.result(timeout=10) == 6
        serving.cancel()
        await asyncio.wait((serving,))

    asyncio.run(main())


def test_a_failure(task_scheduler):
    with pytest.raises(task_scheduler.NotSeen):
        task_scheduler.wait_for(task_scheduler.submit("nobody"), timeout=0)


def test_a_server_that_is_left_to_the_session(pusher_server_factory):
    pusher_server_factory().trigger("c", "e", "d")
"""


def test_nothing_is_left_of_a_session(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "test_own.py").write_text(TESTS)
    printed = environment.pytest("-s", "-p", "no:asyncio", cwd=tmp_path)
    assert "7 passed" in printed
    left = dict(line.split(": ", 1) for line in printed.splitlines() if ": [" in line)
    assert left == {
        "files": "[]",
        "threads": "['MainThread']",
        "tasks": "[]",
        "sockets": "[]",
        "loops": "[]",
    }
