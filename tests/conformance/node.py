"""A broker under examination: started, with a listener that notes what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

from callboard_protocol.messages import Member
from callboard_protocol.rest import ChannelCounts
from callboard_server.brokers import (
    Broker,
    Directory,
    Joined,
    Message,
    Serial,
    Subscription,
)

#: How long an event may take to arrive, in seconds.
PATIENCE_SECONDS: Final = 10.0

APP, CHANNEL, PRESENCE = "app", "channel", "presence-channel"


class FullBroker(Broker, Directory, Protocol):
    """Both contracts in one object, as the server uses them."""


MakeBroker = Callable[[], AbstractAsyncContextManager[FullBroker]]
Check = Callable[[MakeBroker], Awaitable[None]]


class Suite(list[Check]):
    """The checks of one module, in the order in which they are written."""

    def check(self, function: Check) -> Check:
        self.append(function)
        return function


class RecordingListener:
    """A process that notes what it is given."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[tuple[Message, Serial]] = asyncio.Queue()

    def receive(self, message: Message, serial: Serial) -> None:
        self._heard.put_nowait((message, serial))

    def user_changed(self, app_id: str, user_id: str, online: bool, serial: Serial) -> None:
        """Users are the other suite's."""

    def terminate(self, app_id: str, user_id: str) -> None:
        """Users are the other suite's."""

    def expel(self, app_id: str, channel: str) -> None:
        """Taps are the other suite's."""

    async def hear(self) -> tuple[Message, Serial]:
        return await asyncio.wait_for(self._heard.get(), PATIENCE_SECONDS)


class Node:
    """A started broker and its listener."""

    def __init__(self, broker: FullBroker) -> None:
        self.broker = broker
        self.listener = RecordingListener()

    async def join(
        self,
        socket_id: str,
        channel: str = CHANNEL,
        user: str | None = None,
        info: bytes | None = None,
        *,
        app: str = APP,
        limit: int = 100,
    ) -> Joined:
        member = None if user is None else Member(user, info)
        return await self.broker.join(Subscription(app, channel, socket_id, member), limit)

    async def leave(
        self, socket_id: str, channel: str = CHANNEL, *, app: str = APP
    ) -> tuple[bool, int]:
        """Leave, and return whether it was the last one and how many are there now."""
        left = await self.broker.leave(Subscription(app, channel, socket_id))
        return left.last, left.subscription_count

    async def publish(self, payload: bytes, channel: str = CHANNEL, *, app: str = APP) -> Serial:
        return (await self.broker.publish([Message(app, channel, payload)]))[0]

    async def payload(self) -> bytes:
        """Return the next event's JSON text."""
        return (await self.listener.hear())[0].payload

    async def quiet(self) -> None:
        """Check that nothing else was said up to now."""
        fence = Message(APP, "fence", b"fence")
        await self.broker.join(Subscription(APP, "fence", "0.0"))
        await self.broker.publish([fence])
        assert (await self.listener.hear())[0] == fence
        await self.broker.leave(Subscription(APP, "fence", "0.0"))

    async def counts(self, *channels: str, app: str = APP) -> Sequence[ChannelCounts]:
        return await self.broker.counts(app, channels)


@asynccontextmanager
async def started(make: MakeBroker) -> AsyncIterator[Node]:
    async with make() as broker:
        node = Node(broker)
        await broker.start(node.listener)
        try:
            yield node
        finally:
            await broker.stop()
