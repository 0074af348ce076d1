"""One channel as its user sees it: read its events, bind callbacks, trigger client events.

There are two ways to hear a channel, for two purposes:

1. Reading (``async for event in channel``, ``await channel.get()``) gives what was published, in
   order, from a queue that is bounded (:mod:`inbox` has the policy).
2. Callbacks (``channel.bind``) are called as each frame arrives, before anything is read. They
   also get the protocol's own events under pusher-js's names: ``pusher:subscription_succeeded``
   (again after each reconnect: events may have been missed before it),
   ``pusher:subscription_error``, ``pusher:member_added``, ``pusher:member_removed``,
   ``pusher:cache_miss``, ``pusher:subscription_count``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from callboard_client.callbacks import call
from callboard_client.errors import ChannelClosed, ClientClosed, ClientError, NotConnected
from callboard_client.events import Event, client_event, public_name
from callboard_client.inbox import Inbox
from callboard_client.members import Members
from callboard_protocol.channels import kind_of

Callback = Callable[[Event], object]

_PROTOCOL_EVENTS: Final = ("pusher:", "pusher_internal:")


class Channel:
    """A channel of a client; made by ``client.channel()`` and ``client.subscribe()``."""

    def __init__(
        self, name: str, max_queued_events: int, send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self.name = name
        self._send = send
        self._members = Members()
        self._inbox = Inbox(name, max_queued_events)
        self._callbacks: dict[str | None, list[Callback]] = {}
        # Set while there is something to read; set while subscribed, or at the end.
        self._readable = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<Channel {self.name}{'' if self.subscribed else ', not subscribed'}>"

    @property
    def members(self) -> Mapping[str, Any]:
        """The members of a presence channel, user id to ``user_info``; empty while disconnected."""
        return self._members.view

    @property
    def subscribed(self) -> bool:
        """Whether the service has confirmed the subscription on the present connection."""
        return self._subscribed.is_set() and self._inbox.end is None

    # Reading

    async def get(self, timeout: float | None = None) -> Event:
        """Return the next event published on the channel; wait for it up to ``timeout`` seconds.

        Raises:
            TimeoutError: nothing arrived in time.
            EventsLost: the queue was full in between; read on.
            ClientError: nothing more will come, and why.
        """
        if not self._inbox.readable:
            async with asyncio.timeout(timeout):
                while not self._inbox.readable:
                    self._readable.clear()
                    await self._readable.wait()
        return self._inbox.take()

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> Event:
        """As :meth:`get`; the iteration ends when the channel is unsubscribed or closed."""
        try:
            return await self.get()
        except (ChannelClosed, ClientClosed):
            raise StopAsyncIteration from None

    def bind(self, event: str | None, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each :class:`Event` of that name, None for every event.

        Bind before subscribing (``client.channel(name)``) to miss nothing. A callback runs on the
        loop and must not block; what it raises goes to the loop's exception handler. Returns a
        function that undoes the binding.
        """
        callbacks = self._callbacks.setdefault(event, [])
        callbacks.append(callback)

        def unbind() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return unbind

    # Sending

    async def trigger(self, event: str, data: object) -> None:
        """Send a client event to the other subscribers; ``data`` is any JSON value.

        The service confirms nothing; its refusal reaches the client's ``on_error``.

        Raises:
            ValueError: the name does not start with ``client-``, or the channel is public.
            TypeError: ``data`` is not JSON.
            NotConnected: there is no subscription at the moment.
            ClientError: the channel is at its end, and why.
        """
        if not event.startswith("client-"):
            raise ValueError(f"a client event's name must start with 'client-', got {event!r}")
        if not kind_of(self.name).client_events:
            raise ValueError(
                f"client events need a private or presence channel, {self.name} is public"
            )
        if self._inbox.end is not None:
            raise self._inbox.end.with_traceback(None)
        if not self.subscribed:
            raise NotConnected(f"{self.name} is not subscribed at the moment: nothing was sent")
        await self._send(client_event(event, self.name, data))

    # For the client, which calls these as things happen.

    async def wait_subscribed(self) -> None:
        """Return once the service has confirmed the subscription.

        Raises:
            ClientError: why it never will.
        """
        self._waiting += 1
        try:
            await self._subscribed.wait()
        finally:
            self._waiting -= 1
        if self._inbox.end is not None:
            raise self._inbox.end.with_traceback(None)

    @property
    def awaited(self) -> bool:
        """Whether anyone waits for the subscription."""
        return self._waiting > 0

    def received(self, event: Event) -> None:
        """Take a frame of the channel: keep it for the reader, then call the callbacks."""
        if event.event.startswith(_PROTOCOL_EVENTS):
            event = self._received_protocol_event(event)
        else:
            self._inbox.put(event)
            self._readable.set()
        if self._callbacks:
            self._call(event)

    def _received_protocol_event(self, event: Event) -> Event:
        name = public_name(event.event)
        if name == "pusher:subscription_succeeded":
            self._members.succeeded(event.data)
            self._subscribed.set()
        elif name == "pusher:member_added":
            self._members.added(event.data)
        elif name == "pusher:member_removed":
            self._members.removed(event.data)
        return Event(name, event.channel, event.data, event.user_id)

    def lost(self) -> None:
        """The connection is gone; the subscription will be asked for again."""
        self._members.clear()
        self._subscribed.clear()

    def finish(self, reason: ClientError) -> None:
        """Nothing more will come: waiting ends and reading ends behind what is unread."""
        self._members.clear()
        self._inbox.finish(reason)
        self._readable.set()
        self._subscribed.set()

    def _call(self, event: Event) -> None:
        for name in (event.event, None):
            # A copy, for a callback may unbind itself.
            for callback in tuple(self._callbacks.get(name, ())):
                call(callback, event, f"events of channel {self.name}")
