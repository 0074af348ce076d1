"""One client, whatever transport it came by: its state, its channels and what it is sent.

A connection knows nothing of the others. Its transport notes signs of life, gives messages to
:mod:`handlers` and takes bytes through the :class:`Outlet` seam; the hub appends frames to
:attr:`Connection.outbox`.

Backpressure: the transport says when its buffer is not empty (:meth:`Connection.pause`). Until
it is, frames stay in the outbox and are counted; beyond ``max_outbox_bytes`` the connection is
taken out of its channels at once and closed with 4100. Nothing is dropped silently, and the
other subscribers do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from callboard_protocol import messages, refusals
from callboard_protocol.channels import kind_of
from callboard_protocol.lifecycle import Event, State, step
from callboard_protocol.messages import User
from callboard_protocol.refusals import Refusal
from callboard_server.brokers import Cause, Subscription
from callboard_server.hub import Encode, Hub
from callboard_server.outbox import Outbox, joined
from callboard_server.settings import AppSettings, Settings

logger = logging.getLogger("callboard.server")

# Asking an enumeration for a member costs seven times what a name of the module does.
_OPEN: Final = State.OPEN
_PINGED: Final = State.PINGED

#: After so many channels of a client that has gone the others get a turn.
_LEAVES_PER_TURN: Final = 256

#: How long a client has to answer a close before its transport is cut, in seconds.
CLOSE_TIMEOUT_SECONDS = 5.0


class Outlet(Protocol):
    """The transport below a connection, which gives it the form its bytes have on the wire."""

    def writer(self) -> Callable[[bytes], object]:
        """Return what sends wire bytes; the connection drops it with the transport."""

    def buffered(self) -> int:
        """Return how many bytes the transport holds that the kernel did not take."""

    def ping(self) -> bytes:
        """Return wire bytes that make a living client answer."""

    def close(self, code: int, reason: str) -> bytes:
        """Return the wire bytes that end the connection; it is closed once they are sent."""

    def abort(self) -> None:
        """Cut the transport without waiting for anything; it then is no longer transient."""


class Connection:
    """A client that has been accepted; created established and ended exactly once."""

    __slots__ = (
        "__weakref__",
        "_authorization",
        "_held",
        "_held_bytes",
        "app",
        "channels",
        "client_events_counted",
        "client_events_since",
        "due",
        "encode",
        "heard",
        "hub",
        "outbox",
        "outlet",
        "paused",
        "settings",
        "socket_id",
        "state",
        "user",
        "worker_events_until",
        "write",
    )

    def __init__(
        self,
        hub: Hub,
        app: AppSettings,
        settings: Settings,
        outlet: Outlet,
        encode: Encode,
        prologue: bytes = b"",
    ) -> None:
        """``prologue`` is what the transport says before the first frame, such as its handshake."""
        self.hub = hub
        self.app = app
        self.settings = settings
        self.outlet = outlet
        self.encode = encode
        self.socket_id = _new_socket_id(hub)
        self.state = State.OPEN
        #: Channel name to the user id it was joined with; None without presence.
        self.channels: dict[str, str | None] = {}
        #: Who the client is signed in as.
        self.user: User | None = None
        self.outbox: Outbox = None
        self.write = outlet.writer()
        self.paused = False
        #: What the flush has left while the transport was full, None when nothing.
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self.client_events_since = 0.0
        self.client_events_counted = 0
        self.worker_events_until = 0.0
        self.due: int | None = None
        self.heard = hub.deadlines.tick
        hub.connections[self.socket_id] = self
        hub.transient.discard(outlet)
        hub.deadlines.set(self, settings.activity_timeout_seconds)
        self._authorization: _Authorization | None = None
        if app.user_authentication_timeout_seconds is not None:
            self._authorization = _Authorization(self)
            hub.deadlines.set(self._authorization, app.user_authentication_timeout_seconds)
        established = messages.connection_established(
            self.socket_id, settings.activity_timeout_seconds
        )
        self.send_wire(prologue + encode(established))

    @property
    def live(self) -> bool:
        """Whether the client may still be sent events and asked for messages."""
        state = self.state
        return state is _OPEN or state is _PINGED

    @property
    def authorized(self) -> bool:
        """Whether the client has shown a signature: signed in, or in a channel that demands one.

        That is what hosted Pusher's "authorized connections" ask for.
        """
        return self.user is not None or any(kind_of(name).private for name in self.channels)

    # In

    def hear(self) -> None:
        """Note a sign of life: any frame of the client."""
        self.heard = self.hub.deadlines.tick
        if self.state is _PINGED:
            self.state = step(self.state, Event.HEARD)

    # Out

    def send(self, payload: bytes) -> None:
        """Queue one message for this client alone; dropped once the connection is ending."""
        if self.live:
            self.hub.flusher.send(self, self.encode(payload))

    def send_wire(self, data: bytes) -> None:
        """Queue bytes already in wire form, behind what is queued."""
        if self.live:
            self.hub.flusher.send(self, data)

    def pause(self) -> None:
        """The kernel takes no more for now."""
        self.paused = True
        self._check_budget()

    def resume(self) -> None:
        """The transport's buffer is empty again."""
        self.paused = False
        held, self._held, self._held_bytes = self._held, None, 0
        if held is not None:
            self.write(b"".join(held))

    def hold(self, data: bytes) -> None:
        """Keep what the flush found for this connection until the transport takes more."""
        if self._held is None:
            self._held = []
        self._held.append(data)
        self._held_bytes += len(data)
        self._check_budget()

    def _check_budget(self) -> None:
        if not self.live:
            return
        held = self._held_bytes + self.outlet.buffered()
        if held > self.settings.max_outbox_bytes:
            logger.warning(
                "closed a slow client app=%s socket_id=%s held_bytes=%d",
                self.app.id,
                self.socket_id,
                held,
            )
            self.hub.slow_clients += 1
            # What it has not read it will not read: make room for the close alone.
            self._held = self.outbox = None
            self._held_bytes = 0
            self.end(refusals.TOO_SLOW)

    # The end

    def end(self, refusal: Refusal) -> None:
        """Leave all channels, say why in ``pusher:error``, and close with the same code."""
        if self.live:
            error = messages.error(refusal.message, refusal.code)
            self._close(self.encode(error), refusal.code, refusal.message)

    def fail(self, code: int, reason: str) -> None:
        """Close for a violation below the Pusher protocol, without ``pusher:error``."""
        if self.live:
            self._close(b"", code, reason)

    def cut(self) -> None:
        """End at once, because nothing can be written any more."""
        self.outlet.abort()

    def closed_by_client(self, farewell: bytes) -> None:
        """The client has said goodbye; ``farewell`` is the transport's answer to it."""
        if self.live:
            self._closing(farewell)

    def lost(self) -> None:
        """The transport is gone, for whatever reason."""
        was_live = self.live
        self.state = step(self.state, Event.LOST)
        self.hub.deadlines.cancel(self)
        # After it nothing may be written, and uvloop would raise.
        self.write = _discard
        self.outbox = self._held = None
        if was_live:
            self._depart()

    def overdue(self) -> None:
        """The deadline of the state has passed: ping, give up, or cut."""
        quiet_for = self.hub.deadlines.seconds_since(self.heard)
        timeout = self.settings.activity_timeout_seconds
        if self.state is State.OPEN and quiet_for < timeout:
            self.hub.deadlines.set(self, timeout - quiet_for)
            return
        state = step(self.state, Event.QUIET)
        if state is State.PINGED:
            self.state = state
            self.send_wire(self.outlet.ping())
            self.hub.deadlines.set(self, self.settings.pong_timeout_seconds)
        elif state is State.CLOSING:
            self.end(refusals.NO_PONG)
        else:
            self.outlet.abort()

    def _close(self, error: bytes, code: int, reason: str) -> None:
        self._closing(error + self.outlet.close(code, reason))

    def _closing(self, last_words: bytes) -> None:
        self.state = step(self.state, Event.ENDED)
        self.hub.deadlines.set(self, CLOSE_TIMEOUT_SECONDS)
        self.hub.transient.add(self.outlet)
        self._depart()
        # At once and behind what waits, since the transport may be closed right after.
        outbox, self.outbox = self.outbox, None
        last_words = joined(outbox) + last_words
        if self.paused:
            self.hold(last_words)
        elif last_words:
            self.write(last_words)

    def _depart(self) -> None:
        """Leave this process's channels at once, and then the cluster's."""
        if self._authorization is not None:
            self.hub.deadlines.cancel(self._authorization)
            self._authorization = None
        self.hub.connections.pop(self.socket_id, None)
        left, self.channels = self.channels, {}
        for channel in left:
            self.hub.remove(self, channel)
        user, self.user = self.user, None
        if user is not None:
            self.hub.users.remove(self, self.app.id, user.user_id, user.watchlist)
        self.hub.run(self._leave(list(left), user))

    async def _leave(self, channels: list[str], user: User | None) -> None:
        broker = self.hub.broker
        for place, channel in enumerate(channels, start=1):
            await leave_channel(self, channel, Cause.DISCONNECTED, provisional=True)
            if place % _LEAVES_PER_TURN == 0:
                await asyncio.sleep(0)
        if user is not None:
            await broker.sign_out(self.app.id, self.socket_id, user.user_id)
        await broker.disconnect(self.app.id)


async def leave_channel(
    connection: Connection, channel: str, cause: Cause, *, provisional: bool = False
) -> None:
    """Leave a channel in the cluster, and tell what follows from it.

    ``provisional`` is for a client that was cut off and may be back in a moment.
    """
    hub, app = connection.hub, connection.app
    subscription = Subscription(app.id, channel, connection.socket_id)
    # Only who settles provisional transitions may ask for them.
    provisional = provisional and hub.observer.wants_transitions(app)
    left = await hub.broker.leave(subscription, provisional=provisional, cause=cause)
    hub.transitions(app, left.transitions)
    if not hub.farewell:
        await hub.counts.changed(app, channel, left.subscription_count)


class _Authorization:
    """The time a client has to show that somebody vouches for it."""

    __slots__ = ("_connection", "due")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.due: int | None = None

    def overdue(self) -> None:
        if not self._connection.authorized:
            self._connection.end(refusals.NOT_AUTHORIZED_IN_TIME)


def _discard(data: bytes) -> None:
    """Stand in for the write of a transport that is gone."""


def _new_socket_id(hub: Hub) -> str:
    """Draw an id of the form SDKs check (``123.456``) that nobody can guess."""
    while True:
        # More bits than are used, so that all ids are equally likely but for one in 2**36.
        drawn = secrets.randbits(96)
        socket_id = f"{drawn // 10**9 % 10**9}.{drawn % 10**9}"
        if socket_id not in hub.connections:
            return socket_id
