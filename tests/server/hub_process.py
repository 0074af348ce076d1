"""A hub with connections whose transports only note what they are given, and a broker that waits.

Everything between a client's message and the bytes for its socket is the real thing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callboard_server import handlers
from callboard_server.brokers import Cause, Joined, Left, Message, Serial, Subscription
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.connection import Connection
from callboard_server.deadlines import Deadlines
from callboard_server.hub import Encode, Hub
from callboard_server.outbox import Flusher
from callboard_server.settings import AppSettings, Settings

APP = AppSettings(id="1", key="key-1", secret="secret-1", client_events=True)


def one_line(payload: bytes) -> bytes:
    """The wire form of these transports; messages are told apart by their line ends."""
    return payload + b"\n"


class Transport:
    """The outlet of a connection; it is told to be full by the test."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False
        self.due: int | None = None

    def writer(self) -> Callable[[bytes], object]:
        return self.written.append

    def buffered(self) -> int:
        return 0

    def ping(self) -> bytes:
        return b""

    def close(self, code: int, reason: str) -> bytes:
        return one_line(json.dumps({"event": "close", "code": code}).encode())

    def abort(self) -> None:
        self.aborted = True

    def overdue(self) -> None:
        """These transports close as soon as they are told."""


class Client:
    """A connection with its transport."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self.connection = connection
        self.transport = transport

    @property
    def socket_id(self) -> str:
        return self.connection.socket_id

    def say(self, event: str, **data: object) -> asyncio.Task[None] | None:
        """Let the client send a message; returns the task it became if it must wait."""
        return handlers.receive(self.connection, json.dumps({"event": event, "data": data}))

    def subscribe(self, channel: str, **data: object) -> asyncio.Task[None] | None:
        return self.say("pusher:subscribe", channel=channel, **data)

    def heard(self) -> list[dict[str, Any]]:
        """Return what was written behind connection_established, in order."""
        lines = b"".join(self.transport.written).splitlines()
        return [json.loads(line) for line in lines][1:]

    def events(self) -> list[str]:
        """Return what :meth:`heard` has, briefly: the event, and its data where it has some."""
        return [brief(message) for message in self.heard()]


def brief(message: dict[str, Any]) -> str:
    name = message["event"].removeprefix("pusher_internal:")
    return f"e {message['data']}" if name == "e" else name


@dataclass
class Held:
    """A join that waits twice: on the way to the broker, and on the way back."""

    request: asyncio.Future[None]
    answer: asyncio.Future[None]


class HeldBroker(MemoryBroker):
    """A broker at the other end of a wire, whose joins go on when the test says so."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        #: The joins under way, by socket id.
        self.held: dict[str, Held] = {}
        self.left: list[Subscription] = []

    async def join(self, subscription: Subscription, max_members: int = 100) -> Joined:
        loop = asyncio.get_running_loop()
        held = Held(loop.create_future(), loop.create_future())
        self.held[subscription.socket_id] = held
        try:
            await held.request
            joined = await super().join(subscription, max_members)
            await held.answer
        finally:
            del self.held[subscription.socket_id]
        return joined

    async def leave(
        self,
        subscription: Subscription,
        *,
        provisional: bool = False,
        cause: Cause = Cause.UNSUBSCRIBED,
    ) -> Left:
        self.left.append(subscription)
        return await super().leave(subscription, provisional=provisional, cause=cause)

    async def let_in(self, client: Client) -> None:
        """Let the client's join happen; its answer is on the way."""
        self.held[client.socket_id].request.set_result(None)
        await turns()

    async def answer(self, client: Client) -> None:
        """Let the answer arrive."""
        self.held[client.socket_id].answer.set_result(None)
        await turns()


async def turns() -> None:
    """Let the loop do what it has to do; nothing here takes longer than a few turns."""
    for _ in range(5):
        await asyncio.sleep(0)


class Process:
    """A hub, its broker and its clients, without a socket."""

    def __init__(
        self, broker: MemoryBroker, call_soon: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        flusher = Flusher(call_soon or loop.call_soon, loop.time)
        self.broker = broker
        self.hub = Hub(broker, flusher, Deadlines(0.0), loop.time)

    async def start(self) -> Process:
        await self.broker.start(self.hub)
        return self

    def client(self, encode: Encode = one_line, app: AppSettings = APP) -> Client:
        transport = Transport()
        return Client(Connection(self.hub, app, Settings(), transport, encode), transport)

    async def publish(self, channel: str, data: str = "d", excluded: str | None = None) -> Serial:
        payload = json.dumps({"event": "e", "channel": channel, "data": data}).encode()
        return (await self.broker.publish([Message(APP.id, channel, payload, excluded)]))[0]
