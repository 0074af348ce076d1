"""The scheduler's transport inside a server: the broker taken for a Pusher service.

No socket, no HTTP and no signature stands between the scheduler and its workers, and because it
is the broker and not the hub, workers of other processes are heard as well.

1. Who is on which channel is known from the tap's joins and leaves, so whether a worker is there
   or a feed is watched is answered without asking anybody.
2. What is sent is published in the call where the broker does not suspend. Where it does, what
   follows waits in one queue behind it, so order is kept on every channel.
3. Once the server says farewell, clients leave because it ends: the scheduler is deaf to that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from callboard_protocol import messages, rest
from callboard_protocol.channels import kind_of
from callboard_scheduler import names
from callboard_scheduler.records import DEFAULT_NAMESPACE
from callboard_scheduler.transports import OWN, Cause, Listener, Profile, Sent
from callboard_server import brokers
from callboard_server.api import messages_of
from callboard_server.apps import AppRegistry
from callboard_server.brokers import ClientEvent, Message
from callboard_server.hub import State
from callboard_server.stepping import step

logger = logging.getLogger("callboard.scheduler")

#: Events that wait for the broker; more are refused, and the scheduler repeats what matters.
MAX_WAITING: Final = 10_000

_CAUSES: Final = {
    brokers.Cause.UNSUBSCRIBED: Cause.UNSUBSCRIBED,
    brokers.Cause.DISCONNECTED: Cause.DISCONNECTED,
}


class EmbeddedTransport:
    """Implements :class:`callboard_scheduler.transports.Transport`, and taps the broker."""

    hears_late = False

    def __init__(
        self,
        app_id: str,
        apps: AppRegistry,
        broker: State,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        profile: Profile = OWN,
    ) -> None:
        self.app_id = app_id
        self.profile = profile
        self._workers = names.worker_prefix(namespace)
        self.prefixes = (self._workers, names.feed_prefix(namespace))
        self._apps = apps
        self._broker = broker
        self._listener: Listener | None = None
        self._leaving = False
        #: The connections on each worker's channel and feed.
        self._subscribed: dict[str, set[str]] = {}
        #: What is being published while the broker suspends, and what waits behind it.
        self._publishing: asyncio.Task[Sequence[brokers.Serial]] | None = None
        self._waiting: list[Message] = []
        self._expelling: set[asyncio.Task[None]] = set()

    # Transport

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        self._leaving = False
        await self._broker.tap(self)

    async def stop(self) -> None:
        self._listener = None
        await self._broker.untap(self)
        self._subscribed.clear()
        while tasks := [*self._expelling, *filter(None, [self._publishing])]:
            await asyncio.wait(tasks)

    def send(self, channel: str, event: str, data: str) -> Sent:
        limit = self.profile.limits.bytes
        if len(data) > limit or (not data.isascii() and len(data.encode()) > limit):
            return Sent.REFUSED
        if channel.startswith(self._workers) and channel not in self._subscribed:
            return Sent.ABSENT
        payload = messages.channel_event(event, channel, data)
        cached = kind_of(channel).cache
        return self._publish([Message(self.app_id, channel, payload, cached=cached)])

    def publish(self, event: Mapping[str, object]) -> Sent:
        app = self._apps.by_id(self.app_id)
        if app is None:
            return Sent.REFUSED
        try:
            trigger = rest.parse_events(orjson.dumps(event), app)
        except rest.BadRequest as refusal:
            # It was valid when it was taken: the app has other limits since.
            logger.warning("an event is not published app=%s: %s", self.app_id, refusal)
            return Sent.REFUSED
        return self._publish(messages_of(app, trigger))

    def watched(self, channel: str) -> bool:
        return channel in self._subscribed

    def disconnect(self, channel: str) -> None:
        task = step(self._broker.expel(self.app_id, channel))
        if isinstance(task, asyncio.Task):
            self._expelling.add(task)
            task.add_done_callback(self._expelled)

    def farewell(self) -> None:
        """From now on clients leave because the server ends, and take nothing with them."""
        if not self._leaving:
            self._leaving = True
            if self._listener is not None:
                self._listener.deaf()

    # Tap

    def heard(self, event: ClientEvent) -> None:
        if self._listener is not None:
            self._listener.received(event.channel, event.socket_id, event.data)

    def joined(self, channel: str, socket_id: str) -> None:
        self._subscribed.setdefault(channel, set()).add(socket_id)
        if self._listener is not None:
            if channel.startswith(self._workers):
                self._listener.joined(channel, socket_id)
            else:
                self._listener.watching(channel)

    def left(self, channel: str, socket_id: str, cause: brokers.Cause) -> None:
        sockets = self._subscribed.get(channel)
        if sockets is not None:
            sockets.discard(socket_id)
            if not sockets:
                del self._subscribed[channel]
        if self._listener is not None and channel.startswith(self._workers) and not self._leaving:
            self._listener.left(channel, socket_id, _CAUSES[cause])

    # Publishing

    def _publish(self, events: Sequence[Message]) -> Sent:
        if self._publishing is not None:
            if len(self._waiting) + len(events) > MAX_WAITING:
                return Sent.REFUSED
            self._waiting += events
            return Sent.OK
        try:
            task = step(self._broker.publish(events))
        except Exception:
            logger.exception("the broker did not publish app=%s", self.app_id)
            return Sent.REFUSED
        if isinstance(task, asyncio.Task):
            self._publishing = task
            task.add_done_callback(self._published)
        return Sent.OK

    def _published(self, task: asyncio.Task[Sequence[brokers.Serial]]) -> None:
        self._publishing = None
        if not task.cancelled() and task.exception() is not None:
            logger.error("the broker did not publish", exc_info=task.exception())
        if self._waiting:
            events, self._waiting = self._waiting, []
            self._publish(events)

    def _expelled(self, task: asyncio.Task[None]) -> None:
        self._expelling.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("the broker did not disconnect a worker", exc_info=task.exception())
