"""A Pusher service whose answers the test writes, one line at a time.

``await server.accept()`` gives the next connection, on which the test says what a service would
say and reads what the client said. Nothing is answered by itself.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TIMEOUT_SECONDS = 10.0


class Peer:
    """The service's end of one connection."""

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket
        self.done = asyncio.Event()

    @property
    def path(self) -> str:
        request = self._websocket.request
        assert request is not None
        return request.path

    async def establish(self, socket_id: str = "1.1", activity_timeout: object = 120) -> None:
        data = {"socket_id": socket_id, "activity_timeout": activity_timeout}
        await self.send("pusher:connection_established", data)

    async def send(self, event: str, data: object = None, channel: str | None = None) -> None:
        """Send a frame; what is not a string goes as JSON text, as services do."""
        text = data if isinstance(data, str) else orjson.dumps(data).decode()
        frame = {"event": event, "data": text}
        if channel is not None:
            frame["channel"] = channel
        await self.send_raw(frame)

    async def send_raw(self, frame: object) -> None:
        text = frame if isinstance(frame, str) else orjson.dumps(frame).decode()
        await self._websocket.send(text)

    async def error(self, message: str, code: int | None = None) -> None:
        await self.send_raw({"event": "pusher:error", "data": {"code": code, "message": message}})

    async def succeed(self, channel: str, data: object = "{}") -> None:
        await self.send("pusher_internal:subscription_succeeded", data, channel)

    async def hear(self, event: str) -> Any:
        """Return the client's next message, which must be ``event``."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            message = orjson.loads(await self._websocket.recv())
        assert message["event"] == event, message
        return message

    async def hear_subscribe(self, channel: str) -> Any:
        """Return the data of the client's next message, a subscription to ``channel``."""
        data = (await self.hear("pusher:subscribe"))["data"]
        assert data["channel"] == channel, data
        return data

    async def close(self, code: int, reason: str = "") -> None:
        await self._websocket.close(code, reason)

    def cut(self) -> None:
        """End the TCP connection without a close frame."""
        self._websocket.transport.abort()

    async def closed(self) -> int | None:
        """Wait until the connection is over and return the code the client closed with."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while True:
                    await self._websocket.recv()
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code


class FakeServer:
    """Listens on a free loopback port from ``async with`` on."""

    def __init__(self) -> None:
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._open: set[Peer] = set()
        self._server: Server | None = None
        self.host = "127.0.0.1"
        self.port = 0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._attend, self.host, self.port, compression=None, close_timeout=1
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and cut what is connected."""
        for peer in self._open:
            peer.cut()
            peer.done.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def accept(self) -> Peer:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._peers.get()

    async def _attend(self, websocket: ServerConnection) -> None:
        self.accepted += 1
        peer = Peer(websocket)
        self._open.add(peer)
        self._peers.put_nowait(peer)
        await peer.done.wait()
        self._open.discard(peer)
