"""The connections of this process, and the one place where an event reaches them.

Publishing goes through the broker, which calls :meth:`Hub.receive` for every event of a
channel that has subscribers here. Per publish, the frame is built once per wire form; per
subscriber, it is left in an outbox, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from callboard_protocol import messages, refusals
from callboard_protocol.messages import User
from callboard_protocol.refusals import Refusal
from callboard_server.brokers import (
    Broker,
    Directory,
    Message,
    Serial,
    Taps,
    Transition,
    Users,
)
from callboard_server.deadlines import Deadlines
from callboard_server.objections import Objections
from callboard_server.observer import NoObserver, Observer
from callboard_server.outbox import Flushable, Flusher
from callboard_server.refusal_log import RefusalLog
from callboard_server.reservations import Reservations
from callboard_server.roster import Roster
from callboard_server.settings import AppSettings
from callboard_server.signed_in import SignedInUsers
from callboard_server.stepping import step
from callboard_server.subscription_counts import SubscriptionCounts
from callboard_server.witness import Witness

#: Builds a wire form of an event's JSON text, such as a WebSocket text frame.
Encode = Callable[[bytes], bytes]


logger = logging.getLogger("callboard.server")

#: How long the end waits for what waits for the broker, in seconds.
_STOP_SECONDS = 1.0


class Subscriber(Flushable, Protocol):
    """A connection as the hub sees it."""

    app: AppSettings
    encode: Encode
    socket_id: str
    user: User | None

    def send(self, payload: bytes) -> None:
        """Queue one message for this client alone."""

    def end(self, refusal: Refusal) -> None:
        """Close the connection, telling the client why."""


class State(Broker, Users, Taps, Directory, Protocol):
    """What the processes know together: one object keeps all four contracts."""


class Transient(Protocol):
    """A transport that is being admitted, was refused, or is ending."""

    def abort(self) -> None:
        """Cut it without waiting for anything."""


class LocalChannel:
    """This process's subscribers of one channel.

    ``groups`` has them by wire form. ``joining`` has those whose subscription is not confirmed
    yet, with the events that wait behind the confirmation; it is there only for as long as there
    are any, since most channels have none nearly always.
    """

    __slots__ = ("groups", "joining")

    def __init__(self) -> None:
        self.groups: dict[Encode, dict[Subscriber, None]] = {}
        self.joining: dict[Subscriber, list[tuple[Serial, bytes]]] | None = None

    @property
    def empty(self) -> bool:
        return not self.groups and self.joining is None

    def begin(self, connection: Subscriber) -> None:
        """Let events wait for ``connection`` from now on."""
        if self.joining is None:
            self.joining = {}
        self.joining[connection] = []

    def end(self, connection: Subscriber) -> list[tuple[Serial, bytes]]:
        """Return the events that wait for ``connection``, and let no more wait."""
        if self.joining is None:
            return []
        waiting = self.joining.pop(connection, [])
        if not self.joining:
            self.joining = None
        return waiting


class Hub:
    """Knows every connection by socket id and every channel with subscribers here."""

    def __init__(
        self,
        broker: State,
        flusher: Flusher,
        deadlines: Deadlines,
        time: Callable[[], float],
        observer: Observer | None = None,
        reservations: Reservations | None = None,
        witness: Witness | None = None,
        objections: Objections | None = None,
    ) -> None:
        self.broker = broker
        self.observer = NoObserver() if observer is None else observer
        self.reservations = Reservations() if reservations is None else reservations
        self.users: SignedInUsers[Subscriber] = SignedInUsers()
        self.counts = SubscriptionCounts(self._publish_count, self.run, deadlines)
        self.flusher = flusher
        self.deadlines = deadlines
        #: Seconds of the loop's clock.
        self.time = time
        self.connections: dict[str, Subscriber] = {}
        #: Transports that are not, or no longer, those of a live connection.
        self.transient: Roster[Transient] = Roster()
        self.witness = witness
        self.objections = objections
        self.refusals = RefusalLog(time, witness)
        #: Set when all clients are sent away at once: none need hear of the others leaving.
        self.farewell = False
        #: Clients closed since the start because they read too slowly.
        self.slow_clients = 0
        self._channels: dict[tuple[str, str], LocalChannel] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # Delivery

    def receive(self, message: Message, serial: Serial) -> None:
        """Deliver an event of the broker to this process's subscribers of its channel."""
        if self.farewell:
            return
        channel = self._channels.get((message.app_id, message.channel))
        if channel is None:
            return
        excluded = self.connections.get(message.excluded) if message.excluded else None
        for encode, group in channel.groups.items():
            self.flusher.send_all(group, encode(message.payload), excluded)
        if channel.joining is not None:
            for connection, waiting in channel.joining.items():
                if connection is not excluded:
                    waiting.append((serial, message.payload))

    def user_changed(self, app_id: str, user_id: str, online: bool, serial: Serial) -> None:
        """Tell this process's watchers that a user came online or went offline."""
        if self.farewell:
            return
        self.users.changed(app_id, user_id, online, serial)

    def terminate(self, app_id: str, user_id: str) -> None:
        """End this process's connections of a signed-in user."""
        for connection in self.users.connections(app_id, user_id):
            connection.end(refusals.TERMINATED)

    def expel(self, app_id: str, channel: str) -> None:
        """End this process's connections that are subscribed to a channel."""
        found = self._channels.get((app_id, channel))
        if found is not None:
            for group in list(found.groups.values()):
                for connection in list(group):
                    connection.end(refusals.EXPELLED)

    # Subscribers

    def begin_join(self, connection: Subscriber, channel_name: str) -> None:
        """From now on hold the channel's events for ``connection``, in order."""
        key = (connection.app.id, channel_name)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = LocalChannel()
        channel.begin(connection)

    def confirm_join(self, connection: Subscriber, channel_name: str, serial: Serial) -> None:
        """Deliver what waited and is newer than the snapshot ``serial``, then events as they come.

        Whatever confirms the subscription to the client must have been sent before.
        """
        channel = self._channels[(connection.app.id, channel_name)]
        for place, payload in channel.end(connection):
            if place.epoch != serial.epoch or place.n > serial.n:
                connection.send(payload)
        channel.groups.setdefault(connection.encode, {})[connection] = None

    def remove(self, connection: Subscriber, channel_name: str) -> None:
        """Deliver no more events of the channel to ``connection``."""
        key = (connection.app.id, channel_name)
        channel = self._channels.get(key)
        if channel is None:
            return
        channel.end(connection)
        group = channel.groups.get(connection.encode)
        if group is not None:
            group.pop(connection, None)
            if not group:
                del channel.groups[connection.encode]
        if channel.empty:
            del self._channels[key]

    # What follows a change

    def transitions(self, app: AppSettings, transitions: Iterable[Transition]) -> None:
        """Pass the broker's transitions on to whoever observes; the server's own channels hide."""
        for transition in transitions:
            if not transition.channel.startswith("#"):
                self.observer.transition(app, transition)

    async def _publish_count(self, app: AppSettings, channel: str, count: int) -> None:
        """Tell a channel's subscribers how many they are."""
        payload = messages.subscription_count(channel, count)
        await self.broker.publish([Message(app.id, channel, payload)])
        self.observer.subscription_count(app, channel, count)

    # Work that may have to wait

    async def settled(self) -> None:
        """Return when nothing waits any more of what waits now."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """End what still waits for the broker; a moment is left for it to finish by itself."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Step ``coroutine``; return the task it became if it could not finish at once."""
        task = step(coroutine)
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("work for a client failed", exc_info=task.exception())
