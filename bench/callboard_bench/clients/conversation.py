"""Clients that come and go: each asks for subscriptions and ends them while others listen.

The :class:`Clients` of a part have in common what links are opened with, the secret that signs
their subscriptions as the app's backend would, and the count of what the server refused them. A
refusal under load is no reason to stop: the protocol keeps the connection, and a part goes on
and tells it at the end.

A :class:`Conversation` asks without waiting. What it then hears must be taken in its order (who
joined after a roster is in no roster), so the answer comes by a call and not by a future, which
would run after the rest of the same read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from callboard_bench.api import App
from callboard_bench.clients.link import Wire
from callboard_bench.clients.session import Session, keep_alive, let_in, links
from callboard_bench.generator import CONNECTED, FAILED
from callboard_protocol.signatures import auth, channel_string


class Clients:
    """What the clients of one part have in common."""

    def __init__(self, wire: Wire, app: App, counters: memoryview) -> None:
        self._links = links(wire)
        self._app = app
        self._open_ones: list[Conversation] = []
        self._awake: asyncio.Task[None] | None = None
        self.counters = counters
        #: What the server refused, in words, and how often.
        self.refused: Counter[str] = Counter()
        #: Connections that ended before they were to, by why.
        self.closed: Counter[str] = Counter()

    async def open(self, conversations: Sequence[Conversation]) -> None:
        """Connect every one, let it begin, and keep all of them alive until :meth:`close`.

        Raises:
            OSError: nobody listens there.
            Unexpected: the server refused one, in its words.
        """
        self._awake = asyncio.ensure_future(keep_alive(self._open_ones))
        await let_in(conversations, self._open)

    async def _open(self, conversation: Conversation) -> None:
        await conversation.open(self._links)
        self._open_ones.append(conversation)
        self.counters[CONNECTED] += 1
        await conversation.begin()

    def close(self) -> None:
        """Let every one leave."""
        if self._awake is not None:
            self._awake.cancel()
        for conversation in self._open_ones:
            conversation.close()

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self.counters[FAILED] += 1
        self.refused[reason] += 1

    def lose(self, reason: str) -> None:
        """Count a connection that ended before it was to."""
        self.counters[FAILED] += 1
        self.closed[reason] += 1

    def vouch(self, socket_id: str, channel: str, channel_data: str | None) -> dict[str, str]:
        """Return what a subscription carries besides its channel, signed unless it is public."""
        if not channel.startswith(("private-", "presence-")):
            return {}
        string = channel_string(socket_id, channel, channel_data)
        signed = {"auth": auth(self._app.key, self._app.secret, string)}
        if channel_data is not None:
            signed["channel_data"] = channel_data
        return signed


class Conversation(Session):
    """One client. Subclasses say how it begins and what they make of what it hears."""

    __slots__ = ("_clients",)

    def __init__(self, clients: Clients) -> None:
        super().__init__()
        self._clients = clients

    async def begin(self) -> None:
        """Do what comes before the load, such as the first subscription."""

    async def enter(self, channel: str, channel_data: str | None = None) -> str:
        """Subscribe, and wait for the answer; return its data.

        Raises:
            Unexpected: the server refused it.
        """
        signed = self._clients.vouch(self.socket_id, channel, channel_data)
        return await self.subscribe(channel, **signed)

    def ask(self, channel: str, channel_data: str | None = None) -> None:
        """Subscribe, and leave the answer to :meth:`subscribed`."""
        signed = self._clients.vouch(self.socket_id, channel, channel_data)
        self.say("pusher:subscribe", {"channel": channel, **signed})

    @property
    def connected(self) -> bool:
        """Whether there is a connection to say something over."""
        return bool(self.socket_id)

    def refused(self, reason: str) -> None:
        self._clients.refuse(reason)

    def gone(self, reason: str) -> None:
        self._clients.lose(reason)
