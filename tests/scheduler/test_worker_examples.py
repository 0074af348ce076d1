"""The examples of workers, run as their users run them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callboard.scheduling import Scheduling
from callboard_scheduler import AsyncClient, TaskCancelled, TaskFailed
from callboard_scheduler.client.updates import Progress
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.transports import OWN
from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings, Settings
from support.scripted_scheduler import PATIENCE_SECONDS

APP = AppSettings(id="1", key="a.key", secret="secret")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """A client of a server with a scheduler, where the pysher example works on queue python."""
    extension = Scheduling(MemoryStore)
    with BackgroundServer(Settings(port=0, apps=(APP,)), extensions=[extension]) as server:
        url = f"http://{APP.key}:{APP.secret}@127.0.0.1:{server.port}/apps/{APP.id}"
        async with AsyncClient(url) as client:
            token = client.token(worker="pysher-1", queues=["python"])
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(EXAMPLES / "worker_pysher.py"),
                f"127.0.0.1:{server.port}",
                token,
                "pysher-1",
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "NO_PROXY": "127.0.0.1"},
            )
            try:
                assert process.stdout is not None
                line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
                assert line == b"worker pysher-1 is ready\n"
                yield client
            finally:
                process.kill()
                await process.communicate()


async def test_a_worker_of_stock_pysher_runs_tasks_shows_progress_and_can_be_stopped(
    client: AsyncClient,
) -> None:
    task = await client.submit("add", {"a": 1, "b": 2}, queue="python")
    assert await task.result(PATIENCE_SECONDS) == 3

    large = "a" * (OWN.inline_bytes + 1)
    task = await client.submit("add", [large, "b"], queue="python")
    assert await task.result(PATIENCE_SECONDS) == large + "b"

    seen = []
    task = await client.submit("steps", [3], queue="python")
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen = [each async for each in task.updates() if isinstance(each, Progress)]
    assert await task.result(PATIENCE_SECONDS) == 3
    assert seen[-1].message == "step 3"

    task = await client.submit("add", {"a": 1}, queue="python", retry={"max_attempts": 1})
    with pytest.raises(TaskFailed, match="missing 1 required positional argument: 'b'"):
        await task.result(PATIENCE_SECONDS)

    task = await client.submit("steps", [1_000], queue="python")
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for update in task.updates():
            if isinstance(update, Progress):
                break
    await task.cancel()
    with pytest.raises(TaskCancelled):
        await task.result(PATIENCE_SECONDS)
