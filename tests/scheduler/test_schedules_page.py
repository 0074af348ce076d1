"""docs/schedules.md: by shell, Python or a call, what is put is the same."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from callboard.scheduling import Scheduling
from callboard_client import ApiClient
from callboard_scheduler import AsyncClient
from callboard_scheduler.stores.memory import MemoryStore
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from scheduler import schedules_page
from support.task_server import PATIENCE_SECONDS

NAMES = ("daily-report", "ticker")


@pytest.fixture
def url() -> Iterator[str]:
    """The development app, as ``callboard serve`` has it."""
    with BackgroundServer(Settings(port=0), extensions=[Scheduling(MemoryStore)]) as server:
        yield f"http://app-key:app-secret@127.0.0.1:{server.port}/apps/app-id"


async def put_by_calls(url: str) -> dict[str, Any]:
    """Put the page's bodies; return what there is then."""
    async with ApiClient(url) as api:
        for name, body in zip(NAMES, schedules_page.bodies(), strict=True):
            await api.post(f"/schedules/{name}", json.loads(body))
    return await schedules(url)


async def schedules(url: str) -> dict[str, Any]:
    """Return what there is, without what depends on when it was put, and remove it."""
    async with AsyncClient(url) as client:
        found = {each["id"]: each for each in await client.schedules.list()}
        for name in found:
            await client.schedules.delete(name)
    assert tuple(found) == NAMES
    for each in found.values():
        for moment in ("created_at", "next_at", "next_runs", "text"):
            del each[moment]
    return found


async def test_the_commands_put_what_the_bodies_say(url: str) -> None:
    (commands,) = schedules_page.blocks("sh")
    function = f'callboard() {{ {shlex.quote(sys.executable)} -m callboard "$@"; }}'
    subprocess.run(
        ["bash", "-ec", f"{function}\n{commands}"],
        env={**os.environ, "CALLBOARD_URL": url},
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert await schedules(url) == await put_by_calls(url)


async def test_the_program_puts_what_the_bodies_say(url: str) -> None:
    (program,) = schedules_page.blocks("python")
    program = re.sub(r"http://\S+(?=\")", url, program)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.stdout == "3\n"
    assert await schedules(url) == await put_by_calls(url)
