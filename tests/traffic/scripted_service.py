"""A service that does what a script says, and the recorder before it.

So both ends of everything that passes can be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from callboard.traffic.proxy import Proxy, bind
from callboard.traffic.recorder import Recorder

KEY_PATH = "/app/k?protocol=7&client=js&version=8.6.0&flash=false&ticket=secret-ticket"

Script = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Serve every request by a script; yields the service's URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def recording(service: str, path: Path, **options: Any) -> AsyncIterator[str]:
    """Stand before a service; yields the URL to go to in its place."""
    loop = asyncio.get_running_loop()
    with path.open("wb", buffering=0) as file:
        recorder = Recorder(file, time=loop.time, started_ms=0)
        try:
            async with Proxy(service, recorder, bind("127.0.0.1", 0), **options) as proxy:
                yield f"http://127.0.0.1:{proxy.address[1]}"
        finally:
            await recorder.close()


async def websocket_service(request: web.BaseRequest, **options: Any) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(autoping=False, autoclose=False, **options)
    await websocket.prepare(request)
    return websocket


def leave(request: web.BaseRequest) -> None:
    """End a connection without a word."""
    assert request.transport is not None
    request.transport.abort()
