"""A disk that is behind holds up what passes, since none of it may be missing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from callboard.traffic.proxy import Proxy, bind
from callboard.traffic.recorder import Recorder
from traffic.scripted_service import KEY_PATH, serving, websocket_service


class Stalled:
    """A file that takes nothing until it is let."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        #: What happened, as the lines say.
        self.written: list[str] = []
        self._rest = b""

    def write(self, data: memoryview) -> int:
        self.goes_on.wait()
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        self.written += [json.loads(line).get("what", "") for line in lines]
        return len(data)

    @asynccontextmanager
    async def recording(self, service: str) -> AsyncIterator[str]:
        """Stand before a service; yields the URL to go to in its place."""
        recorder = Recorder(self, time=asyncio.get_running_loop().time, started_ms=0)
        try:
            async with Proxy(service, recorder, bind("127.0.0.1", 0)) as proxy:
                yield f"http://127.0.0.1:{proxy.address[1]}"
        finally:
            self.goes_on.set()
            await recorder.close()


@pytest.fixture
def stalled() -> Stalled:
    return Stalled()


class TestAStalledDisk:
    """What passes while the disk takes nothing is kept in memory, so it soon may not pass."""

    #: Sixteen are more than may wait.
    DATA = "d" * 512 * 1024

    async def test_websockets_wait_for_it(
        self, session: aiohttp.ClientSession, stalled: Stalled
    ) -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            websocket = await websocket_service(request)
            while (message := await websocket.receive()).type is WSMsgType.TEXT:
                heard.put_nowait(len(message.data))
            return websocket

        async with (
            serving(script) as service,
            stalled.recording(service) as url,
            session.ws_connect(url + KEY_PATH) as client,
        ):
            for _ in range(20):
                await client.send_json({"event": "client-x", "data": self.DATA})
            for _ in range(16):
                await heard.get()
            stalled.goes_on.set()
            for _ in range(4):
                await heard.get()
        assert "held" in stalled.written

    async def test_requests_wait_for_it(
        self, session: aiohttp.ClientSession, stalled: Stalled
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            await request.read()
            return web.Response()

        async with serving(script) as service, stalled.recording(service) as url:
            body = json.dumps({"data": self.DATA}).encode()
            for _ in range(16):
                await session.post(url + "/apps/1/events", data=body)
            last = asyncio.ensure_future(session.post(url + "/apps/1/events", data=body))
            stalled.goes_on.set()
            await last
        assert "held" in stalled.written
