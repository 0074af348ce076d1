"""The floors: the least a server can do, each a bare ``asyncio.Protocol`` on uvloop.

``connect`` upgrades WebSockets and confirms a subscription, and keeps nothing.
``broadcast`` does so too, and a POST to it is written as one prebuilt frame to every subscriber, a
``transport.write`` each. It knows one channel, checks nothing and keeps the transports.
``verify`` parses requests with httptools, checks the Pusher signature and answers ``{}``.

Run by the tool as ``python -m callboard_bench.floor KIND --ports-file PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, cast

import httptools
import orjson
import uvloop

from callboard_bench.process import raise_open_files_limit
from callboard_protocol.frames import Cut, cut_text_frame, text_frame
from callboard_protocol.messages import (
    PONG,
    channel_event,
    connection_established,
    subscription_succeeded,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
_PONG = text_frame(PONG)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Connect(asyncio.Protocol):
    """A client that connects and subscribes."""

    __slots__ = ("data", "transport", "upgraded")

    count: ClassVar[int] = 0

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.data = b""
        self.upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.upgraded:
            self.subscribe(data)
            return
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET /app/"):
            self.data = b""
            self.upgrade(head)
        else:
            self.request(head, body)

    def upgrade(self, head: bytes) -> None:
        """Answer 101 and ``connection_established``."""
        self.upgraded = True
        Connect.count += 1
        self.transport.write(greeting(head, f"1.{self.count}"))

    def subscribe(self, data: bytes) -> None:
        """Take a frame as a subscription; besides them only pings come in a run."""
        cut = cut_text_frame(data, 0, 10_000)
        if isinstance(cut, Cut):
            self.transport.close()
            return
        message = orjson.loads(cut[0])
        if message["event"] == "pusher:subscribe":
            self.transport.write(text_frame(subscription_succeeded(message["data"]["channel"])))
        else:
            self.transport.write(_PONG)

    def request(self, head: bytes, body: bytes) -> None:
        """Answer what is no WebSocket."""
        self.data = b""
        self.transport.write(OK)


class Broadcast(Connect):
    """A subscriber, or a control connection that carries POSTs."""

    __slots__ = ()

    subscribers: ClassVar[dict[asyncio.Transport, None]] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        self.subscribers.pop(self.transport, None)

    def subscribe(self, data: bytes) -> None:
        """Remember the connection too."""
        super().subscribe(data)
        self.subscribers[self.transport] = None

    def request(self, head: bytes, body: bytes) -> None:
        """Publish, once all of a POST is there."""
        if head.startswith(b"GET "):
            super().request(head, body)
        elif len(body) >= int(header(head, b"content-length")):
            self.publish(body)
            super().request(head, body)

    def publish(self, body: bytes) -> None:
        """Write one frame to every subscriber."""
        event = orjson.loads(body)
        frame = text_frame(channel_event(event["name"], event["channel"], event["data"]))
        for transport in self.subscribers:
            transport.write(frame)


class Verify(asyncio.Protocol):
    """A kept-alive connection whose requests are verified and thrown away."""

    secret = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """httptools: the request target."""
        self.url = url

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        path, _, query = self.url.partition(b"?")
        self.transport.write(OK if verified(self.secret, path, query, self.body) else _REFUSED)
        self.body = b""


def verified(secret: bytes, path: bytes, query: bytes, body: bytes) -> bool:
    """Check signature and body MD5 of a POST, and nothing else: no clock, key or spelling."""
    parameters = query.split(b"&")
    signed = sorted(part for part in parameters if not part.startswith(b"auth_signature="))
    expected = hmac.digest(secret, b"POST\n%s\n%s" % (path, b"&".join(signed)), "sha256").hex()
    given = dict(part.split(b"=", 1) for part in parameters)
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return hmac.compare_digest(expected.encode(), given[b"auth_signature"]) and (
        hmac.compare_digest(md5.encode(), given[b"body_md5"])
    )


def greeting(head: bytes, socket_id: str) -> bytes:
    """Return the answer to an upgrade, with ``connection_established`` behind it."""
    key = hashlib.sha1(header(head, b"sec-websocket-key") + _GUID, usedforsecurity=False)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n%s"
        % (base64.b64encode(key.digest()), text_frame(connection_established(socket_id, 120)))
    )


def header(head: bytes, name: bytes) -> bytes:
    """Return a header's value from a request head."""
    start = head.lower().index(b"\r\n" + name + b":") + len(name) + 3
    return head[start:].split(b"\r\n", 1)[0].strip()


def write_ports_file(path: Path, host: str, port: int) -> None:
    """Write ``{"host","port"}`` so that a reader finds all of it or nothing."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(orjson.dumps({"host": host, "port": port}))
    partial.replace(path)


async def serve(protocol: Callable[[], asyncio.Protocol], ports_file: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    raise_open_files_limit()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    write_ports_file(ports_file, *server.sockets[0].getsockname()[:2])
    await ended.wait()


_KINDS: Final = {"connect": Connect, "broadcast": Broadcast, "verify": Verify}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A floor to measure a server against.")
    arguments.add_argument("kind", choices=_KINDS)
    arguments.add_argument("--ports-file", type=Path, required=True)
    options = arguments.parse_args()
    Verify.secret = os.environ["BENCH_FLOOR_SECRET"].encode()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(_KINDS[options.kind], options.ports_file))
