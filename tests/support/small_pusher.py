"""A Pusher server for a handful of clients that can be told to do wrong.

It checks nothing, knows every channel's subscribers, and tells members of one another. All that
it delivers because of another client goes through ``tamper``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson

from callboard_protocol.frames import Cut, cut_text_frame, text_frame
from callboard_protocol.messages import connection_established, error

#: Makes of a message those that a client hears instead; it is named by its member's user id, or
#: by its place among the connections where it has none.
Tamper = Callable[[str, dict[str, Any]], Sequence[dict[str, Any]]]


def honest(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [message]


class Client(asyncio.Protocol):
    def __init__(self, server: SmallPusher) -> None:
        self._server = server
        self._data = b""
        self._upgraded = False
        self.name = ""
        #: The member's data by channel, None where the channel has no members.
        self.channels: dict[str, dict[str, Any] | None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.name = str(len(self._server.clients))
        self._server.clients.append(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._upgraded:
            if not data.endswith(b"\r\n\r\n"):
                return
            self._upgraded, self._data = True, b""
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            self.send(connection_established(f"1.{self.name}", 120))
        start = 0
        while not isinstance(cut := cut_text_frame(self._data, start, 10_000), Cut):
            text, start = cut
            self._server.take(self, orjson.loads(text))
        self._data = self._data[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        for channel in list(self.channels):
            self._server.unsubscribe(self, channel)

    def send(self, message: bytes) -> None:
        self.transport.write(text_frame(message))


class SmallPusher:
    def __init__(self) -> None:
        self.port = 0
        self.tamper: Tamper = honest
        #: What it answers to subscriptions and client events once there were so many of them.
        self.refusal: tuple[int, bytes] | None = None
        #: Whether it drops what a client sends to others.
        self.deaf = False
        self.clients: list[Client] = []
        self.asked = 0

    def take(self, client: Client, message: dict[str, Any]) -> None:
        event, data = message["event"], message["data"]
        if event == "pusher:unsubscribe":
            self.unsubscribe(client, data["channel"])
            return
        self.asked += 1
        if self.refusal is not None and self.asked > self.refusal[0]:
            client.send(self.refusal[1])
        elif event == "pusher:subscribe":
            self._subscribe(client, data)
        elif not self.deaf:
            self._tell(client, message["channel"], message)

    def _subscribe(self, client: Client, data: dict[str, Any]) -> None:
        channel, given = data["channel"], data.get("channel_data")
        member = orjson.loads(given) if given else None
        if member is not None:
            client.name = member["user_id"]
        client.channels[channel] = member
        answer: dict[str, Any] = {}
        if member is not None:
            users = [each.channels[channel] for each in self.clients if channel in each.channels]
            known = {each["user_id"]: each["user_info"] for each in users if each is not None}
            answer = {"presence": {"ids": list(known), "hash": known, "count": len(known)}}
        event = "pusher_internal:subscription_succeeded"
        text = orjson.dumps(answer).decode()
        for message in self.tamper(client.name, _message(event, channel, text)):
            client.send(orjson.dumps(message))
        if member is not None:
            text = orjson.dumps(member).decode()
            added = _message("pusher_internal:member_added", channel, text)
            self._tell(client, channel, added)

    def unsubscribe(self, client: Client, channel: str) -> None:
        member = client.channels.pop(channel)
        if member is not None:
            text = orjson.dumps({"user_id": member["user_id"]}).decode()
            removed = _message("pusher_internal:member_removed", channel, text)
            self._tell(client, channel, removed)

    def _tell(self, sender: Client, channel: str, message: dict[str, Any]) -> None:
        for client in self.clients:
            if client is not sender and channel in client.channels:
                for heard in self.tamper(client.name, message):
                    client.send(orjson.dumps(heard))


def _message(event: str, channel: str, data: str) -> dict[str, Any]:
    return {"event": event, "channel": channel, "data": data}


class HangUp:
    """Ends a client's connection instead of letting it hear the first of an event."""

    def __init__(self, server: SmallPusher, name: str, event: str) -> None:
        self._server = server
        self._name = name
        self._event = event

    def __call__(self, receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if receiver != self._name or message["event"] != self._event:
            return [message]
        for client in self._server.clients:
            if client.name == receiver:
                client.transport.abort()
        return []


class Stall:
    """Holds answers to subscriptions back from one on, for a while; what is asked goes on."""

    def __init__(self, server: SmallPusher, after: int, seconds: float) -> None:
        self._server = server
        self._after = after
        self._seconds = seconds
        self._held: list[tuple[str, dict[str, Any]]] | None = None
        self._over = False

    def __call__(self, receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        answer = message["event"] == "pusher_internal:subscription_succeeded"
        if self._over or not answer or self._server.asked <= self._after:
            return [message]
        if self._held is None:
            self._held = []
            asyncio.get_running_loop().call_later(self._seconds, self._end)
        self._held.append((receiver, message))
        return []

    def _end(self) -> None:
        self._over = True
        for receiver, message in self._held or ():
            for client in self._server.clients:
                if client.name == receiver:
                    client.send(orjson.dumps(message))


def refused(after: int, text: str, code: int | None = None) -> tuple[int, bytes]:
    """Return the refusal of all that is asked after so many."""
    return after, error(text, code)


@asynccontextmanager
async def small_pusher() -> AsyncIterator[SmallPusher]:
    small = SmallPusher()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(small), "127.0.0.1", 0)
    small.port = server.sockets[0].getsockname()[1]
    try:
        yield small
    finally:
        server.close()
        for client in small.clients:
            client.transport.close()
        await server.wait_closed()
