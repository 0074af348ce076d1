"""What tests of a scripted conversation share: credentials, quick times, and the first steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from callboard_client import Channel, Client, SecretAuthorizer, Timings
from client.fake_server import FakeServer, Peer

KEY = "278d425bdf160c739803"
SECRET = "7ad3773142a6692b25b8"
AUTHORIZER = SecretAuthorizer(KEY, SECRET, {"user_id": "u1", "user_info": {"name": "Ada"}})

#: Retries are quick; what must not happen during a test has the default, long time.
QUICK = Timings(first_retry_seconds=0.01, max_retry_seconds=0.05, close_seconds=0.5)

#: A pause outlasts any test, so what still comes comes at once.
NO_RETRY = Timings(first_retry_seconds=3600, max_retry_seconds=3600)

MakeClient = Callable[..., Client]

T = TypeVar("T")


class Recorder(Generic[T]):
    """Keeps what a callback is called with, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen: list[T] = []
        self._arrived = asyncio.Event()

    def __call__(self, value: T) -> None:
        self.seen.append(value)
        self._arrived.set()

    async def until(self, value: T) -> None:
        async with asyncio.timeout(10):
            while value not in self.seen:
                self._arrived.clear()
                await self._arrived.wait()


async def connect(
    server: FakeServer, make_client: MakeClient, **options: Any
) -> tuple[Client, Peer]:
    """Return a connected client, with an authorizer unless told otherwise, and its peer."""
    client = make_client(**{"authorizer": AUTHORIZER, **options})
    peer = await server.accept()
    await peer.establish("1.1")
    await client.connected()
    return client, peer


async def join(client: Client, peer: Peer, name: str, data: object = "{}") -> Channel:
    """Subscribe to a channel, and let the service confirm it."""
    subscribing = asyncio.create_task(client.subscribe(name))
    await peer.hear_subscribe(name)
    await peer.succeed(name, data)
    return await subscribing


async def all_is_received(peer: Peer) -> None:
    """Return when the client has taken all that was sent to it before."""
    await peer.send("pusher:ping", {})
    await peer.hear("pusher:pong")
