"""Benchmarks of the server: a whole one, but for sockets.

Its clients are transports that take what is written (:mod:`transport`), so a figure has all that
the server does and nothing of the kernel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Final

import orjson
import uvloop

from callboard.measuring.transport import Sink
from callboard_bench.micro.benchmark import Benchmark, Body, calling
from callboard_protocol import frames, messages, rest_signature
from callboard_server.brokers import Message
from callboard_server.fallback import lines
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings

_SUBSCRIBERS: Final = 1_000
#: So many different requests that none is found in a cache by its bytes.
_REQUESTS: Final = 500
_CHANNEL: Final = "orders"
_DATA: Final = '{"id":4711,"state":"shipped","note":"' + "x" * 80 + '"}'
_APP: Final = AppSettings(id="bench", key="bench-key", secret="bench-secret")  # noqa: S106 - of no use
_NOW: Final = 1_700_000_000


class _StandingClock:
    """A time of day at which a request signed in advance is always fresh."""

    def now(self) -> float:
        return float(_NOW)


def benchmarks() -> Sequence[Benchmark]:
    """Return the benchmarks of :mod:`callboard_server`."""
    event = messages.channel_event("order-changed", _CHANNEL, _DATA)
    return [
        Benchmark(
            "trigger",
            f"a signed trigger of {len(event)} bytes from its bytes to those of the answer",
            _triggers,
        ),
        Benchmark(
            "hub-delivery",
            f"an event of {len(event)} bytes to one of {_SUBSCRIBERS:,} subscribers, "
            "from the broker to the transport's write",
            _deliveries,
            operations=_SUBSCRIBERS,
        ),
        calling(
            "fallback-line",
            f"a message of {len(event)} bytes as a line of the fallback",
            lines.message,
            event,
        ),
    ]


@contextmanager
def _serving() -> Iterator[tuple[Server, asyncio.AbstractEventLoop]]:
    """Run a server without sockets, on the loop that `serve` runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = Server(Settings(apps=(_APP,)), [], clock=_StandingClock())
        runner.run(server.start())
        try:
            yield server, runner.get_loop()
        finally:
            runner.run(server.stop(0.0))


@contextmanager
def _triggers() -> Iterator[Body]:
    with _serving() as (server, _):
        client = Sink(server.connect())
        requests = [_request(number) for number in range(_REQUESTS)]

        def body(turns: int) -> None:
            receive = client.receive
            for request in islice(cycle(requests), turns):
                receive(request)

        body(1)
        if not bytes(client.last).startswith(b"HTTP/1.1 200 "):
            raise AssertionError(f"a trigger was answered {client.last!r}")
        yield body
        client.close()


def _request(number: int) -> bytes:
    path = f"/apps/{_APP.id}/events"
    body = orjson.dumps({"name": f"event-{number}", "channels": [_CHANNEL], "data": _DATA})
    parameters = {
        "auth_key": _APP.key,
        "auth_timestamp": str(_NOW),
        "auth_version": "1.0",
        "body_md5": rest_signature.body_md5(body),
    }
    parameters["auth_signature"] = rest_signature.sign(_APP.secret, "POST", path, parameters)
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    head = (
        f"POST {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1:6001\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def _deliveries() -> Iterator[Body]:
    with _serving() as (server, loop):
        subscribers = [_subscriber(server) for _ in range(_SUBSCRIBERS)]
        event = messages.channel_event("order-changed", _CHANNEL, _DATA)

        async def publish(times: int) -> None:
            hub = server.hub
            for _ in range(times):
                await hub.broker.publish([Message(_APP.id, _CHANNEL, event)])
                # The flush goes on from turn to turn, and nobody tells when it is done.
                while len(hub.flusher):  # noqa: ASYNC110
                    await asyncio.sleep(0)

        def body(turns: int) -> None:
            loop.run_until_complete(publish(turns))

        body(1)
        if any(each.last != frames.text_frame(event) for each in subscribers):
            raise AssertionError("an event did not reach all subscribers")
        yield body
        for subscriber in subscribers:
            subscriber.abort()


def _subscriber(server: Server) -> Sink:
    subscriber = Sink(server.connect())
    subscriber.receive(
        f"GET /app/{_APP.key}?protocol=7 HTTP/1.1\r\nHost: 127.0.0.1:6001\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    message = orjson.dumps({"event": "pusher:subscribe", "data": {"channel": _CHANNEL}})
    # A mask of zeros leaves the payload as it is.
    subscriber.receive(bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message)
    return subscriber
