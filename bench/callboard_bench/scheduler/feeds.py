"""A watcher: a WebSocket subscribed to the feeds of tasks, each event with the time it came."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple, cast

import orjson

from callboard_bench.clock import monotonic_ns
from callboard_bench.scheduler.server import Server
from callboard_bench.websocket import (
    Unexpected,
    cut_frames,
    masked_pong,
    masked_text,
    upgrade_request,
)
from callboard_protocol import signatures
from callboard_protocol.frames import CLOSE, PING, TEXT
from callboard_protocol.messages import PONG as PUSHER_PONG

_CONNECT_SECONDS: Final = 10.0


class FeedEvent(NamedTuple):
    """One event of a feed."""

    name: str
    data: dict[str, Any]
    at_ns: int


class Feed:
    """The events of one task's feed in the order of their coming."""

    def __init__(self, subscribed: asyncio.Future[None]) -> None:
        self.subscribed = subscribed
        self.events: list[FeedEvent] = []
        self._awaited: dict[str, asyncio.Future[FeedEvent]] = {}

    async def until(self, name: str) -> FeedEvent:
        """Return the first event of this name, once it has come."""
        for event in self.events:
            if event.name == name:
                return event
        future: asyncio.Future[FeedEvent] = asyncio.get_running_loop().create_future()
        self._awaited[name] = future
        return await future

    def take(self, event: FeedEvent) -> None:
        """Add an event."""
        self.events.append(event)
        future = self._awaited.pop(event.name, None)
        if future is not None and not future.done():
            future.set_result(event)


class Feeds(asyncio.Protocol):
    """One connection that watches feeds."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._data = b""
        self._upgraded = False
        self._socket_id = ""
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._feeds: dict[str, Feed] = {}

    @classmethod
    async def open(cls, server: Server) -> Feeds:
        """Connect.

        Raises:
            OSError, Unexpected: the connection was refused.
        """
        loop = asyncio.get_running_loop()
        _, feeds = await loop.create_connection(lambda: cls(server), server.host, server.port)
        async with asyncio.timeout(_CONNECT_SECONDS):
            await feeds._connected
        return feeds

    async def watch(self, task_id: str) -> Feed:
        """Subscribe to a task's feed, and return it once the server says so.

        Raises:
            Unexpected: it was refused.
        """
        app = self._server.app
        channel = f"private-cache-sched.default.t.{task_id}"
        feed = self._feeds[channel] = Feed(asyncio.get_running_loop().create_future())
        string = signatures.channel_string(self._socket_id, channel)
        data = {"channel": channel, "auth": signatures.auth(app.key, app.secret, string)}
        subscribe = {"event": "pusher:subscribe", "data": data}
        self._transport.write(masked_text(orjson.dumps(subscribe)))
        async with asyncio.timeout(_CONNECT_SECONDS):
            await feed.subscribed
        return feed

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        path = f"/app/{self._server.app.key}?protocol=7&client=callboard-bench&version=1"
        self._transport.write(upgrade_request(f"{self._server.host}:{self._server.port}", path))

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        self._data += data
        try:
            if not self._upgraded and not self._upgrade():
                return
            frames, self._data = cut_frames(self._data)
        except Unexpected as error:
            self._fail(str(error))
            return
        for opcode, payload in frames:
            if opcode == TEXT:
                self._message(orjson.loads(payload), now)
            elif opcode == PING:
                self._transport.write(masked_pong(payload))
            elif opcode == CLOSE:
                self._fail(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the watcher's connection")

    def _upgrade(self) -> bool:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Unexpected(f"the upgrade was answered with {head[:60]!r}")
        self._upgraded, self._data = True, rest
        return True

    def _message(self, message: dict[str, Any], now: int) -> None:
        event, feed = message["event"], self._feeds.get(message.get("channel", ""))
        if event == "pusher:connection_established":
            self._socket_id = orjson.loads(message["data"])["socket_id"]
            self._connected.set_result(None)
        elif event == "pusher:ping":
            self._transport.write(masked_text(PUSHER_PONG))
        elif event == "pusher:error" or event == "pusher:subscription_error":
            self._fail(f"the server said {message.get('data')}")
        elif feed is None:
            return
        elif event == "pusher_internal:subscription_succeeded":
            feed.subscribed.set_result(None)
        elif not event.startswith("pusher:"):
            feed.take(FeedEvent(event, orjson.loads(message["data"]), now))

    def _fail(self, reason: str) -> None:
        waiting = [self._connected, *(feed.subscribed for feed in self._feeds.values())]
        for future in waiting:
            if not future.done():
                future.set_exception(Unexpected(reason))
        self._transport.close()
