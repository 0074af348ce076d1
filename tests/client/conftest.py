"""A scripted service, and clients of it that do not wait as long as people would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callboard_client import ApiClient, Client
from client.fake_api import NOW, FakeApi
from client.fake_server import FakeServer
from client.scripted import KEY, QUICK, SECRET, MakeClient


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


@pytest.fixture
async def make_client(server: FakeServer) -> AsyncIterator[MakeClient]:
    """Return a function that starts a client of the scripted service; all are closed at the end."""
    clients: list[Client] = []

    def make(**options: Any) -> Client:
        options.setdefault("timings", QUICK)
        client = Client(KEY, server.host, server.port, **options)
        client.start()
        clients.append(client)
        return client

    async with AsyncExitStack() as stack:
        yield make
        for client in clients:
            stack.push_async_callback(client.close)


@pytest.fixture
async def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def host(api: FakeApi) -> AsyncIterator[str]:
    """Return host:port of a service that verifies each signature before it answers."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    async with TestServer(application) as server:
        yield f"{server.host}:{server.port}"


@pytest.fixture
async def api_client(host: str) -> AsyncIterator[ApiClient]:
    url = f"http://{KEY}:{SECRET}@{host}/apps/3"
    async with ApiClient(url, clock=lambda: NOW) as api_client:
        yield api_client
