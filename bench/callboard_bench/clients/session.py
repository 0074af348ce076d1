"""A client as the Pusher protocol sees one, whatever its link.

It learns its socket id, subscribes, answers ``pusher:ping``, and asks for a sign of life itself
when it has heard nothing for the ``activity_timeout`` that the server named. Everything else it
hears goes to :meth:`Session.event`, which is for subclasses; one that hears the same as thousands
of others overrides :meth:`Session.heard` and looks at most messages itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

import orjson

from callboard_bench.clients.link import WS, Link, Links, Wire
from callboard_bench.clients.websocket_link import WebSocketLinks
from callboard_bench.clients.xhr_link import XhrLinks
from callboard_bench.websocket import Unexpected
from callboard_protocol.messages import PONG

#: Clients under way at once: more would time the listen backlog, not the server.
AT_ONCE: Final = 200
#: Pings of a period go out in so many parts: clients that came one by one do not ping as one.
_PARTS: Final = 20
_SECONDS_IF_NOT_SAID: Final = 120.0

Entering = TypeVar("Entering")


class Session:
    """One client. Implements :class:`~callboard_bench.clients.link.Listener`."""

    __slots__ = (
        "_established",
        "_link",
        "_pending",
        "activity_seconds",
        "heard_count",
        "socket_id",
    )

    def __init__(self) -> None:
        self._link: Link
        self._established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending: dict[str, asyncio.Future[str]] | None = None
        #: Messages seen by :meth:`take`.
        self.heard_count = 0
        #: Empty until the connection is established, and again when it is over.
        self.socket_id = ""
        #: What the server gave as ``activity_timeout``; 0 while unknown.
        self.activity_seconds = 0.0

    async def open(self, links: Links) -> None:
        """Connect, and wait until the connection is established.

        Raises:
            OSError: nobody listens there.
            Unexpected: the server refused.
        """
        await links.open(self)
        await self._established

    async def subscribe(self, channel: str, **data: str) -> str:
        """Subscribe, with ``auth`` and ``channel_data`` if given; return the answer's data.

        Raises:
            Unexpected: the server refused, or the connection ended.
        """
        return await self.ask_to_subscribe(channel, **data)

    def ask_to_subscribe(self, channel: str, **data: str) -> asyncio.Future[str]:
        """Begin to subscribe; the future is what :meth:`subscribe` returns or raises."""
        if not self.socket_id:
            raise Unexpected(f"the connection was over before {channel!r} could be subscribed to")
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self._pending is None:
            self._pending = {}
        self._pending[channel] = answer
        self.say("pusher:subscribe", {"channel": channel, **data})
        return answer

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel; the protocol has no answer to it."""
        self.say("pusher:unsubscribe", {"channel": channel})

    def say(self, event: str, data: object, **keys: str) -> None:
        """Send an event."""
        self._link.send(orjson.dumps({"event": event, **keys, "data": data}))

    def send(self, message: bytes) -> None:
        """Send a message that is ready, JSON text."""
        self._link.send(message)

    def close(self) -> None:
        """Leave without a word."""
        self.socket_id = ""
        self._link.close()

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self._link.ping()

    # Listener

    def linked(self, link: Link) -> None:
        self._link = link

    def heard(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.take(message)

    def ended(self, reason: str) -> None:
        self.socket_id = ""
        self._refuse(reason)
        self.gone(reason)

    # What subclasses hear

    def event(self, message: dict[str, Any]) -> None:
        """Hear an event that is none of the session's own."""

    def subscribed(self, channel: str, data: str) -> None:
        """Hear that a subscription succeeded, before any event of the channel."""

    def refused(self, reason: str) -> None:
        """Hear a ``pusher:error`` that answers no subscription."""

    def gone(self, reason: str) -> None:
        """Hear that the server, or what lies between, has ended the connection."""

    def activity(self) -> int:
        """Return a number that is another one when something was heard meanwhile."""
        return self.heard_count

    # The protocol

    def take(self, message: bytes) -> None:
        """Take one message."""
        self.heard_count += 1
        try:
            parsed = orjson.loads(message)
        except orjson.JSONDecodeError:
            self._refuse(f"the server sent {message[:100]!r}, which is no JSON")
            return
        match parsed.get("event"):
            case "pusher:connection_established":
                self._establish(parsed.get("data"))
            case "pusher_internal:subscription_succeeded":
                self._subscribed(parsed)
            case "pusher:ping":
                self._link.send(PONG)
            case "pusher:pong":
                pass
            case "pusher:error" | "pusher:subscription_error":
                self._fail(parsed)
            case _:
                self.event(parsed)

    def _establish(self, data: object) -> None:
        given = decoded(data)
        self.socket_id = str(given.get("socket_id", ""))
        timeout = given.get("activity_timeout", 0)
        self.activity_seconds = float(timeout) if isinstance(timeout, (int, float)) else 0.0
        if self._established.done():
            return
        if self.socket_id:
            self._established.set_result(None)
        else:
            self._established.set_exception(Unexpected(f"no socket_id in {data!r}"))

    def _subscribed(self, message: dict[str, Any]) -> None:
        channel, data = str(message.get("channel", "")), message.get("data", "")
        text = data if isinstance(data, str) else orjson.dumps(data).decode()
        self.subscribed(channel, text)
        answer = self._pending.pop(channel, None) if self._pending else None
        if not self._pending:
            self._pending = None
        if answer is not None and not answer.done():
            answer.set_result(text)

    def _fail(self, message: dict[str, Any]) -> None:
        given = decoded(message.get("data"))
        code = f" ({given['code']})" if given.get("code") else ""
        text = given.get("message") or given.get("error") or message.get("data")
        reason = f"the server said {text}{code}"
        answer = self._pending.pop(message.get("channel", ""), None) if self._pending else None
        if answer is not None and not answer.done():
            answer.set_exception(Unexpected(reason))
        elif self._pending or not self._established.done():
            self._refuse(reason)
        else:
            self.refused(reason)

    def _refuse(self, reason: str) -> None:
        """Fail whatever is being waited for: an error names no subscription that it answers."""
        pending, self._pending = self._pending, None
        waiting: list[asyncio.Future[Any]] = [self._established, *(pending or {}).values()]
        for future in waiting:
            if not future.done():
                future.set_exception(Unexpected(reason))


def links(wire: Wire) -> Links:
    """Return what opens links of the kind that the wire names."""
    return WebSocketLinks(wire) if wire.transport == WS else XhrLinks(wire)


async def let_in(
    clients: Iterable[Entering], enter: Callable[[Entering], Coroutine[Any, Any, None]]
) -> None:
    """Let each client, or whatever one is made of, enter; so many are under way at once.

    Raises:
        ExceptionGroup: one of them was refused.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            await gate.acquire()
            tasks.create_task(enter(client)).add_done_callback(lambda _: gate.release())


async def keep_alive(sessions: Sequence[Session]) -> None:
    """Ping for every session that has heard nothing for a while, for ever.

    Each is looked at twice in the ``activity_timeout`` that the server named. ``sessions`` may
    grow meanwhile.
    """
    seen: dict[Session, int] = {}
    part = 0
    while True:
        named = (session.activity_seconds for session in sessions if session.activity_seconds)
        await asyncio.sleep(next(named, _SECONDS_IF_NOT_SAID) / 2 / _PARTS)
        for session in sessions[part::_PARTS]:
            now = session.activity()
            if session.socket_id and seen.get(session) == now:
                session.ping()
            seen[session] = now
        part = (part + 1) % _PARTS


def decoded(data: object) -> dict[str, Any]:
    """Return the data of a protocol event, which servers send as JSON in a string or as it is."""
    if isinstance(data, str):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError:
            return {}
    return data if isinstance(data, dict) else {}
