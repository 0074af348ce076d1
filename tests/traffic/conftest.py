"""A server to record, and the SDKs that meet it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.sync.client import connect

from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings, Settings
from interop.conftest import backend, node, node_program
from support.pusher_client import Client
from support.recording_proxy import RecordingProxy

__all__ = ["backend", "node", "node_program"]

#: The app that is recorded; the official Python library takes digits only for an id.
APP = AppSettings(id="101", key="interop-key", secret="interop-secret", client_events=True)
#: The app that recordings are played into: nothing of it is the other's.
OTHER = AppSettings(id="202", key="other-key", secret="other-secret", client_events=True)

#: Connects a client of the app to a port: ``with client(port) as alice:``.
Connect = Callable[[int], AbstractContextManager[Client]]
Record = Callable[..., RecordingProxy]
Lines = Callable[[], list[dict[str, Any]]]


@contextmanager
def client(port: int, app: AppSettings = APP) -> Iterator[Client]:
    with connect(f"ws://127.0.0.1:{port}/app/{app.key}?protocol=7", proxy=None) as socket:
        yield Client(socket, app)


def url(port: int, app: AppSettings = OTHER) -> str:
    return f"http://{app.key}:{app.secret}@127.0.0.1:{port}/apps/{app.id}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traffic.jsonl"


@pytest.fixture
def lines(path: Path) -> Lines:
    """Read what has been recorded, without the times."""

    def read() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in path.read_text().splitlines()[1:]]
        for line in found:
            assert line.pop("ms") >= 0
        return found

    return read


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture(scope="module")
def recorded_server() -> Iterator[BackgroundServer]:
    with BackgroundServer(Settings(port=0, apps=(APP,))) as server:
        yield server


@pytest.fixture
def record(recorded_server: BackgroundServer, path: Path) -> Record:
    """Stand before the server: ``with record() as proxy:``."""

    def record(**options: Any) -> RecordingProxy:
        return RecordingProxy(recorded_server.port, path, **options)

    return record


@pytest.fixture
def fresh_server() -> Iterator[BackgroundServer]:
    """A server that nobody has been to."""
    with BackgroundServer(Settings(port=0, apps=(OTHER,))) as server:
        yield server
