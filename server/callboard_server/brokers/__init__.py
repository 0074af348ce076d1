"""How what happens on one process reaches the others, and what all of them know together.

Four contracts: a :class:`Broker` carries events and subscriptions, :class:`Users` carries who is
signed in, :class:`Taps` carries what happens on some channels to whoever follows them, and a
:class:`Directory` answers questions about all of it. State lives in one place (behind these four)
and is never gathered from the processes. The memory broker is the reference;
``tests/conformance/broker.py`` holds any other to the same behaviour.

Rules for every implementation:

1. Answers are snapshots: what one call returns was true at one moment, and ``serial`` says
   which. An event of the channel with a higher serial comes after the snapshot.
2. Events of one channel reach every :class:`Listener` in the order of their serials.
3. A coroutine may be stepped outside a task up to its first suspension, so it must not ask for
   the current task (``asyncio.timeout``) before that.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from callboard_protocol.messages import Member
from callboard_protocol.rest import ChannelCounts


class Serial(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place in the order of events: ``n`` grows within an ``epoch``.

    A restart that loses the count begins a new epoch, so that an ``n`` from before is never
    taken for a place in the new order.
    """

    epoch: str
    n: int


class Source(enum.Enum):
    """Who published an event."""

    #: An app's backend, by a call of the API.
    API = "api"
    #: A connection, to the others in its channel.
    CLIENT = "client"
    #: The server of its own accord, or what is added to it.
    SERVER = "server"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One event for one channel, its JSON text built once by whoever published it."""

    app_id: str
    channel: str
    payload: bytes
    #: The connection left out, as ``socket_id`` of a trigger or the sender of a client event.
    excluded: str | None = None
    #: Whether it becomes what a new subscriber of its cache channel hears first.
    cached: bool = False
    source: Source = Source.SERVER


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """One connection in one channel; ``member`` on presence channels."""

    app_id: str
    channel: str
    socket_id: str
    member: Member | None = None


class Occurrence(enum.Enum):
    """A first or a last, by the name that webhooks have for it."""

    CHANNEL_OCCUPIED = "channel_occupied"
    CHANNEL_VACATED = "channel_vacated"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"


class Transition(msgspec.Struct, frozen=True):
    """The channel's first or last subscription, or a user's first or last in it.

    ``n`` tells it from any other of the same channel or user. ``provisional`` ones are the last
    of somebody who was cut off and may be back: they count only once settled
    (:meth:`Broker.settle`), and a return before that undoes them without a transition.
    """

    app_id: str
    occurrence: Occurrence
    channel: str
    user_id: str | None
    n: int
    provisional: bool = False


class Joined(msgspec.Struct, frozen=True):
    """The channel as the newcomer found it, itself included."""

    serial: Serial
    #: Whether the channel had no subscription anywhere before.
    first: bool
    subscription_count: int
    #: User id to ``user_info`` on presence channels; info is the first connection's.
    members: Mapping[str, bytes | None] | None = None
    #: The last event of a cache channel, None when there is none or it has expired.
    cached: bytes | None = None
    transitions: tuple[Transition, ...] = ()


class Left(msgspec.Struct, frozen=True):
    """The channel as it was left."""

    serial: Serial
    #: Whether the channel has no subscription anywhere now.
    last: bool
    subscription_count: int
    transitions: tuple[Transition, ...] = ()


class Cached(msgspec.Struct, frozen=True):
    """The last event of a cache channel and how many whole seconds it is still kept."""

    payload: bytes
    ttl_seconds: int


class ClientEvent(msgspec.Struct, frozen=True, gc=False):
    """What a client said on a channel, for those who follow the channel alone."""

    app_id: str
    channel: str
    #: Who said it, as the server knows it.
    socket_id: str
    event: str
    data: str


class Cause(enum.Enum):
    """How a subscription ended."""

    UNSUBSCRIBED = "unsubscribed"
    #: With its connection, whoever ended that, or with its process.
    DISCONNECTED = "disconnected"


class PresenceFull(Exception):
    """A user more than the channel may have; nobody was joined."""


class Listener(Protocol):
    """A process that delivers to its own connections; called on the loop, must not block."""

    def receive(self, message: Message, serial: Serial) -> None:
        """Deliver an event to this process's subscribers of its channel."""

    def user_changed(self, app_id: str, user_id: str, online: bool, serial: Serial) -> None:
        """Tell this process's watchers that a user's first connection came or last one went."""

    def terminate(self, app_id: str, user_id: str) -> None:
        """End this process's connections of a signed-in user."""

    def expel(self, app_id: str, channel: str) -> None:
        """End this process's connections that are subscribed to a channel."""


class Broker(Protocol):
    """Carries events and subscriptions between the processes of a cluster."""

    async def start(self, listener: Listener) -> None:
        """Connect, and from now on call ``listener`` for every event of a joined channel."""

    async def stop(self) -> None:
        """Disconnect; this process's subscriptions end. Safe to call twice or unstarted."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[Serial]:
        """Send events to the subscribers of their channels, in this order.

        A ``cached`` one replaces the channel's last event in the same moment. An event to a
        channel without subscribers is accepted and gets its serial too.
        """

    async def join(self, subscription: Subscription, max_members: int = 100) -> Joined:
        """Enter a subscription; a user's first one is told to the others as ``member_added``.

        A user's further connections keep the first one's ``user_info``.

        Raises:
            PresenceFull: the channel has ``max_members`` other users.
        """

    async def leave(
        self,
        subscription: Subscription,
        *,
        provisional: bool = False,
        cause: Cause = Cause.UNSUBSCRIBED,
    ) -> Left:
        """Remove a subscription; a user's last one is told as ``member_removed``.

        ``provisional`` is for a connection that was cut off: its transitions are. ``cause`` is
        for taps. A subscription that is not there is left with no effect.
        """

    async def settle(self, transition: Transition) -> bool:
        """Make a provisional transition count; False if it was undone or is settled already."""

    async def connect(self, app_id: str, max_connections: int | None) -> bool:
        """Count a connection of the app, or return False when it has ``max_connections``."""

    async def disconnect(self, app_id: str) -> None:
        """Uncount a connection that ``connect`` has counted."""


class Users(Protocol):
    """Carries who is signed in, and what is meant for one user."""

    async def sign_in(
        self, app_id: str, socket_id: str, user_id: str, watchlist: Sequence[str]
    ) -> SignedIn:
        """Enter a connection of a user; the first one is told to every listener.

        Returns who of ``watchlist`` is online, the user included if it watches itself.
        """

    async def sign_out(self, app_id: str, socket_id: str, user_id: str) -> None:
        """Remove a connection of a user; the last one is told to every listener."""

    async def terminate(self, app_id: str, user_id: str) -> None:
        """End all connections of a user, wherever they are."""


class SignedIn(msgspec.Struct, frozen=True):
    """Who of the watchlist was online at ``serial``."""

    serial: Serial
    online: frozenset[str]


class Tap(Protocol):
    """Follows an app's channels without subscribing; called on the loop, must not block.

    It hears of the whole cluster. What concerns one channel comes in the order in which it
    happened: a connection's events stand between its coming and its going. A call that fails is
    logged, and nobody else notices.
    """

    @property
    def app_id(self) -> str:
        """Whose channels; does not change."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of the channels begin with, one of these; does not change."""

    def heard(self, event: ClientEvent) -> None:
        """A client said something (:meth:`Taps.tell`)."""

    def joined(self, channel: str, socket_id: str) -> None:
        """A connection has subscribed. What is published from now on reaches it."""

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        """A subscription has ended; told as soon as that is known."""


class Taps(Protocol):
    """Carries what happens on some channels to those who follow them, and their commands back."""

    async def tap(self, tap: Tap) -> None:
        """Let ``tap`` hear from now on; who is subscribed already is told as joined first."""

    async def untap(self, tap: Tap) -> None:
        """Let it hear no more. One that does not hear is left with no effect."""

    async def tell(self, event: ClientEvent) -> None:
        """Bring a client's event to the taps of its channel, and to nobody else."""

    async def expel(self, app_id: str, channel: str) -> None:
        """End the connections that are subscribed to a channel, wherever they are."""


class Directory(Protocol):
    """What is known of an app's channels across the cluster."""

    async def channels(self, app_id: str, prefix: str = "") -> Mapping[str, ChannelCounts]:
        """Return the occupied channels whose name starts with ``prefix``."""

    async def counts(self, app_id: str, channels: Sequence[str]) -> Sequence[ChannelCounts]:
        """Return the counts of these channels in this order, zeros for an unoccupied one."""

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """Return the last event of a cache channel, None when there is none or it has expired."""

    async def users(self, app_id: str, channel: str) -> Sequence[str]:
        """Return the distinct user ids in a presence channel, in order of arrival."""
