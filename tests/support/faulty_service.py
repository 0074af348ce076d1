"""A Pusher service that does what a test makes it do, wrong things above all.

It takes clients over WebSocket, HTTP streaming and polling, and confirms what they subscribe to.
What else they are sent is up to the test (:meth:`Client.say`), and so is the answer to a request
to the API. It checks nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from callboard_bench.api import App
from callboard_bench.targets.target import Address, Target

APP = App("app", "key", "secret")

#: Said in place of a message over HTTP, it is a heartbeat.
HEARTBEAT = "h"

#: What stands between a client's messages and the socket.
Writer = Callable[[list[str]], Awaitable[None]]


class Client:
    """A client of the service, over whatever transport."""

    def __init__(self, service: FaultyService) -> None:
        self._service = service
        self._write: Writer | None = None
        self._waiting: list[str] = []
        self._writable = asyncio.Event()
        self.channels: list[str] = []
        #: What it has sent besides subscriptions.
        self.said: list[dict[str, Any]] = []
        self.receives = 0
        self.over = asyncio.Event()

    async def say(self, *messages: str) -> None:
        """Send messages, JSON text, all at once."""
        self._waiting += messages
        if self._write is not None:
            await self._flush()

    async def established(self) -> None:
        data = json.dumps({"socket_id": "1.1", "activity_timeout": self._service.activity_timeout})
        await self.say(
            self._service.greeting
            or json.dumps({"event": "pusher:connection_established", "data": data})
        )

    async def take(self, text: str) -> None:
        """Hear a message of the client."""
        message = json.loads(text)
        if message["event"] != "pusher:subscribe":
            self.said.append(message)
            self._service.changed()
            return
        channel = message["data"]["channel"]
        self.channels.append(channel)
        await self.say(
            json.dumps(
                {
                    "event": "pusher_internal:subscription_succeeded",
                    "channel": channel,
                    "data": "{}",
                }
            )
        )
        self._service.changed()

    async def attend(self, write: Writer | None) -> None:
        """Write there from now on, or keep what is to be written."""
        self._write = write
        if write is not None:
            self.receives += 1
            if self._waiting:
                await self._flush()
            self._service.changed()

    async def _flush(self) -> None:
        write, waiting = self._write, self._waiting
        assert write is not None
        self._waiting = []
        await write(waiting)

    def end(self) -> None:
        """Cut the connection, without a word."""
        self.over.set()


class FaultyService:
    """The service; ``clients`` are in the order in which they came."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.requests: list[bytes] = []
        self.activity_timeout = 120
        #: What clients are told at first, if not that the connection is established.
        self.greeting = ""
        self.answer: Callable[[bytes], Awaitable[tuple[int, bytes]]] = _fine
        self.port = 0
        self._sessions: dict[str, Client] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def target(self) -> Target:
        """Where it listens. It is this process, so nothing is known of what it costs."""
        where = Address("127.0.0.1", self.port)
        return Target("faulty", APP, where, where)

    def changed(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something of what clients do makes it true."""
        async with asyncio.timeout(20):
            while not condition():
                waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.add(waiting)
                await waiting
                self._waiting.discard(waiting)

    def application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get("/app/key", self._websocket),
                web.post("/pusher/app/key/{n}/{session}/xhr_streaming", self._stream),
                web.post("/pusher/app/key/{n}/{session}/xhr", self._poll),
                web.post("/pusher/app/key/{n}/{session}/xhr_send", self._send),
                web.route("*", "/apps/app/{call:.*}", self._api),
            ]
        )
        return application

    def _come(self) -> Client:
        client = Client(self)
        self.clients.append(client)
        return client

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        client = self._come()

        async def write(messages: list[str]) -> None:
            for message in messages:
                await response.send_str(message)

        async def listen() -> None:
            async for message in response:
                if message.type == WSMsgType.TEXT:
                    await client.take(message.data)

        await client.attend(write)
        await client.established()
        await _until_over(client, listen())
        if request.transport is not None:
            request.transport.close()
        return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        client, fresh = self._session(request)
        written = 0
        full = asyncio.Event()

        async def write(messages: list[str]) -> None:
            nonlocal written
            for number, message in enumerate(messages):
                if full.is_set():
                    client._waiting = messages[number:] + client._waiting
                    return
                line = _line(message)
                written += len(line)
                await response.write(line.encode())
                if written > 256 * 1024:
                    client._write = None
                    full.set()

        if fresh:
            await response.write(b"o\n")
        await client.attend(write)
        if fresh:
            await client.established()
        await _until_over(client, full.wait())
        if client.over.is_set() and request.transport is not None:
            request.transport.close()
        return response

    async def _poll(self, request: web.Request) -> web.Response:
        client, fresh = self._session(request)
        lines: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        if fresh:
            client.receives += 1
            await client.established()
            return web.Response(body=b"o\n")

        async def write(messages: list[str]) -> None:
            client._write = None
            lines.set_result(messages)

        await client.attend(write)
        await _until_over(client, asyncio.wait([lines]))
        if not lines.done() and request.transport is not None:
            request.transport.close()
            return web.Response()
        return web.Response(body="".join(map(_line, await lines)).encode())

    async def _send(self, request: web.Request) -> web.Response:
        client = self._sessions[request.match_info["session"]]
        texts = await request.json()
        if not texts:
            client.said.append({"event": "heartbeat"})
            self.changed()
        for text in texts:
            await client.take(text)
        return web.Response(status=204)

    async def _api(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(body)
        status, answer = await self.answer(body)
        return web.Response(status=status, body=answer, content_type="application/json")

    def _session(self, request: web.Request) -> tuple[Client, bool]:
        name = request.match_info["session"]
        fresh = name not in self._sessions
        if fresh:
            self._sessions[name] = self._come()
        return self._sessions[name], fresh


def _line(message: str) -> str:
    return "h\n" if message == HEARTBEAT else f"a{json.dumps([message])}\n"


async def _fine(body: bytes) -> tuple[int, bytes]:
    return 200, b"{}"


async def _until_over(client: Client, work: Any) -> None:
    """Wait until the test or the work ends the client's connection."""
    tasks = {asyncio.ensure_future(work), asyncio.ensure_future(client.over.wait())}
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


@asynccontextmanager
async def faulty_service() -> AsyncIterator[FaultyService]:
    """Serve on a free port of the loopback address."""
    service = FaultyService()
    runner = web.AppRunner(service.application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.port = runner.addresses[0][1]
    try:
        yield service
    finally:
        for client in service.clients:
            client.end()
        await runner.cleanup()
