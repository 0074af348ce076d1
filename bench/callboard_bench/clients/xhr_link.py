"""Links over HTTP streaming and polling, as pusher-js makes them where no WebSocket gets through.

A session is a path of the client's choice. Its *receive* is a POST whose response is a stream, or
a poll that ends with the first lines; a stream longer than pusher-js reads is given up and posted
again, and what a server writes behind that point is lost, here as there. What the client sends
goes over connections that all sessions of the process share, one POST of a session at a time so
that its messages keep their order.

Equal bodies are read once, as in :mod:`websocket_link` (:mod:`xhr_receive`).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import orjson

from callboard_bench.clients.link import XHR_STREAMING, Listener, Wire
from callboard_bench.clients.xhr_lines import MOST_UNITS, Lines
from callboard_bench.clients.xhr_receive import Parsed, Receive
from callboard_bench.keepalive import KeepAlive
from callboard_bench.websocket import Unexpected

_POSTING_AT_ONCE: Final = 64
_NAME_LETTERS: Final = "0123456789abcdefghijklmnopqrstuv"


class XhrLinks:
    """Opens sessions, keeps what was last read of all of them, and posts for them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.streaming = wire.transport == XHR_STREAMING
        self._opened = 0
        self._posts: list[KeepAlive] = []
        self._gate = asyncio.Semaphore(_POSTING_AT_ONCE)
        self.parsed = Parsed()

    async def open(self, listener: Listener) -> None:
        """Begin a session.

        Raises:
            OSError: nobody listens there.
        """
        path, _, query = self._wire.path.partition("?")
        name = "".join(secrets.choice(_NAME_LETTERS) for _ in range(8))
        base = f"{self._wire.http_path}{path}/{secrets.randbelow(1000)}/{name}"
        link = _XhrLink(self, base, query, listener)
        listener.linked(link)
        await link.receive()

    async def connect(self, receive: asyncio.Protocol) -> None:
        """Connect for one receive."""
        endpoint = self._wire.endpoint(self._opened)
        self._opened += 1
        await asyncio.get_running_loop().create_connection(lambda: receive, **endpoint)

    def request(self, target: str, body: bytes) -> bytes:
        """Return a POST."""
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {self._wire.address.authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def post(self, request: bytes) -> tuple[int, bytes]:
        """Send a request over a connection that is free, and return its answer.

        Raises:
            OSError: nobody listens there, or the server closed instead of answering.
            Unexpected: what came is no answer this client understands.
        """
        async with self._gate:
            connection = self._posts.pop() if self._posts else None
            if connection is None or connection.closed:
                connection = await KeepAlive.to(self._wire.address)
            answer = await connection.request(request)
            self._posts.append(connection)
            return answer


class _XhrLink:
    __slots__ = (
        "_base",
        "_count",
        "_links",
        "_listener",
        "_outgoing",
        "_query",
        "_receive",
        "_reopening",
        "_sending",
        "_units",
    )

    def __init__(self, links: XhrLinks, base: str, query: str, listener: Listener) -> None:
        self._links = links
        self._base = base
        self._query = query
        self._listener: Listener | None = listener
        self._receive: Receive | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._outgoing: list[bytes] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._units = 0
        self._count = 0

    def send(self, message: bytes) -> None:
        self._post(message)

    def ping(self) -> None:
        self._post()

    def close(self) -> None:
        self._listener = None
        if self._receive is not None:
            self._receive.abort()

    async def receive(self) -> None:
        """Post for the next response, on the connection of the last one if it is still there."""
        action = "xhr_streaming" if self._links.streaming else "xhr"
        self._units = 0
        receive = self._receive
        if receive is None or not receive.usable:
            receive = self._receive = Receive(self, self._links.parsed)
            await self._links.connect(receive)
        target = f"{self._base}/{action}?{self._query}&t=0&n={self._next()}"
        receive.ask(self._links.request(target, b""))

    def read(self, lines: Lines, *, whole: bool) -> None:
        """Take lines of the current response; ``whole`` if nothing more comes of it."""
        self._units += lines.units
        listener = self._listener
        if listener is not None and lines.messages:
            listener.heard(lines.messages)
        if lines.closed is not None:
            self.end(f"the server closed with {lines.closed}")
            return
        if lines.heartbeats and self._links.streaming:
            self._post()
        if not self._links.streaming:
            if whole:
                self._again()
        elif self._units > MOST_UNITS and not lines.rest:
            if not whole and self._receive is not None:
                self._receive.abort()
            self._again()
        elif whole:
            self.end("the server ended the stream before it was full")

    def refuse(self, status: int, body: bytes) -> None:
        """Tell the listener what a receive was answered with."""
        advice = ""
        if status == 404:
            advice = (
                ": it may not speak this transport, or have it elsewhere, which --http-path says"
            )
        self.end(f"{self._base} was answered with {status} {body[:200]!r}{advice}")

    def end(self, reason: str) -> None:
        """Tell the listener that it is over."""
        listener, self._listener = self._listener, None
        if self._receive is not None:
            self._receive.abort()
        if listener is not None:
            listener.ended(reason)

    def _again(self) -> None:
        if self._listener is not None:
            self._reopening = asyncio.ensure_future(self._guarded_receive())

    async def _guarded_receive(self) -> None:
        try:
            await self.receive()
        except OSError as error:
            self.end(f"the next receive failed: {error}")

    def _post(self, *messages: bytes) -> None:
        self._outgoing = [*(self._outgoing or ()), *messages]
        if self._sending is None and self._listener is not None:
            self._sending = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        try:
            while self._outgoing is not None and self._listener is not None:
                texts, self._outgoing = [each.decode() for each in self._outgoing], None
                target = f"{self._base}/xhr_send?t=0&n={self._next()}"
                request = self._links.request(target, orjson.dumps(texts))
                status, body = await self._links.post(request)
                if status not in (200, 204):
                    self.end(f"a message was answered with {status} {body[:200]!r}")
        except (OSError, Unexpected) as error:
            self.end(f"a message could not be sent: {error}")
        finally:
            self._sending = None

    def _next(self) -> int:
        self._count += 1
        return self._count
