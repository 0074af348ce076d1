"""How what happens on one process reaches the others, and what all of them know together.

Two contracts. A :class:`Broker` carries events and subscriptions; a :class:`Directory` answers
questions about them. State lives in one place (behind these two) and is never gathered from the
processes. The memory broker is the reference; ``tests/conformance/broker.py`` holds any other
to the same behaviour.

Rules for every implementation:

1. Answers are snapshots: what one call returns was true at one moment, and ``serial`` says
   which. An event of the channel with a higher serial comes after the snapshot.
2. Events of one channel reach every :class:`Listener` in the order of their serials.
3. A coroutine may be stepped outside a task up to its first suspension, so it must not ask for
   the current task (``asyncio.timeout``) before that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from callboard_protocol.messages import Member
from callboard_protocol.rest import ChannelCounts


class Serial(NamedTuple):
    """A place in the order of events: ``n`` grows within an ``epoch``.

    A restart that loses the count begins a new epoch, so that an ``n`` from before is never
    taken for a place in the new order.
    """

    epoch: str
    n: int


class Message(msgspec.Struct, frozen=True, gc=False):
    """One event for one channel, its JSON text built once by whoever published it."""

    app_id: str
    channel: str
    payload: bytes
    #: The connection left out, as ``socket_id`` of a trigger or the sender of a client event.
    excluded: str | None = None


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """One connection in one channel; ``member`` on presence channels."""

    app_id: str
    channel: str
    socket_id: str
    member: Member | None = None


class Joined(msgspec.Struct, frozen=True):
    """The channel as the newcomer found it, itself included."""

    serial: Serial
    #: Whether the channel had no subscription anywhere before.
    first: bool
    subscription_count: int
    #: User id to ``user_info`` on presence channels; info is the first connection's.
    members: Mapping[str, bytes | None] | None = None


class Left(msgspec.Struct, frozen=True):
    """The channel as it was left."""

    serial: Serial
    #: Whether the channel has no subscription anywhere now.
    last: bool
    subscription_count: int


class PresenceFull(Exception):
    """A user more than the channel may have; nobody was joined."""


class Listener(Protocol):
    """A process that delivers to its own connections; called on the loop, must not block."""

    def receive(self, message: Message, serial: Serial) -> None:
        """Deliver an event to this process's subscribers of its channel."""


class Broker(Protocol):
    """Carries events and subscriptions between the processes of a cluster."""

    async def start(self, listener: Listener) -> None:
        """Connect, and from now on call ``listener`` for every event of a joined channel."""

    async def stop(self) -> None:
        """Disconnect; this process's subscriptions end. Safe to call twice or unstarted."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[Serial]:
        """Send events to the subscribers of their channels, in this order.

        An event to a channel without subscribers is accepted and gets its serial too.
        """

    async def join(self, subscription: Subscription, max_members: int = 100) -> Joined:
        """Enter a subscription; a user's first one is told to the others as ``member_added``.

        A user's further connections keep the first one's ``user_info``.

        Raises:
            PresenceFull: the channel has ``max_members`` other users.
        """

    async def leave(self, subscription: Subscription) -> Left:
        """Remove a subscription; a user's last one is told as ``member_removed``.

        A subscription that is not there is left with no effect.
        """

    async def connect(self, app_id: str, max_connections: int | None) -> bool:
        """Count a connection of the app, or return False when it has ``max_connections``."""

    async def disconnect(self, app_id: str) -> None:
        """Uncount a connection that ``connect`` has counted."""


class Directory(Protocol):
    """What is known of an app's channels across the cluster."""

    async def channels(self, app_id: str, prefix: str = "") -> Mapping[str, ChannelCounts]:
        """Return the occupied channels whose name starts with ``prefix``."""

    async def counts(self, app_id: str, channels: Sequence[str]) -> Sequence[ChannelCounts]:
        """Return the counts of these channels in this order, zeros for an unoccupied one."""

    async def users(self, app_id: str, channel: str) -> Sequence[str]:
        """Return the distinct user ids in a presence channel, in order of arrival."""
