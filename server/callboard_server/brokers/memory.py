"""The broker of a single process: plain dictionaries, and the reference for any other."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callboard_protocol import messages
from callboard_protocol.channels import kind_of
from callboard_protocol.rest import ChannelCounts
from callboard_server.brokers import (
    Joined,
    Left,
    Listener,
    Message,
    PresenceFull,
    Serial,
    Subscription,
)


@dataclass(slots=True)
class _Presence:
    user_info: bytes | None
    connections: int


@dataclass(slots=True)
class _Channel:
    """Socket id to user id (None without presence), and the users by id."""

    sockets: dict[str, str | None] = field(default_factory=dict)
    users: dict[str, _Presence] = field(default_factory=dict)


class MemoryBroker:
    """Implements :class:`~callboard_server.brokers.Broker` and ``Directory`` in memory.

    No call ever suspends, so a subscription is joined and answered within one loop turn.
    """

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._n = 0
        self._listener: Listener | None = None
        self._channels: dict[str, dict[str, _Channel]] = {}
        self._connections: dict[str, int] = {}

    # Broker

    async def start(self, listener: Listener) -> None:
        self._listener = listener

    async def stop(self) -> None:
        self._listener = None
        self._channels.clear()
        self._connections.clear()

    async def publish(self, messages: Sequence[Message]) -> Sequence[Serial]:
        return [self._publish(message) for message in messages]

    async def join(self, subscription: Subscription, max_members: int = 100) -> Joined:
        app = self._channels.setdefault(subscription.app_id, {})
        channel = app.get(subscription.channel) or _Channel()
        member = subscription.member
        if subscription.socket_id not in channel.sockets:
            if member is not None:
                self._add_member(channel, subscription, member, max_members)
            app[subscription.channel] = channel
            channel.sockets[subscription.socket_id] = member.user_id if member else None
        count = len(channel.sockets)
        return Joined(
            serial=Serial(self._epoch, self._n),
            first=count == 1,
            subscription_count=count,
            members=None
            if member is None
            else {user: presence.user_info for user, presence in channel.users.items()},
        )

    async def leave(self, subscription: Subscription) -> Left:
        app = self._channels.get(subscription.app_id, {})
        channel = app.get(subscription.channel)
        if channel is None or subscription.socket_id not in channel.sockets:
            count = len(channel.sockets) if channel else 0
            return Left(Serial(self._epoch, self._n), False, count)
        user_id = channel.sockets.pop(subscription.socket_id)
        count = len(channel.sockets)
        if not count:
            del app[subscription.channel]
        if user_id is not None:
            self._remove_member(channel, subscription, user_id)
        return Left(Serial(self._epoch, self._n), count == 0, count)

    async def connect(self, app_id: str, max_connections: int | None) -> bool:
        count = self._connections.get(app_id, 0)
        if max_connections is not None and count >= max_connections:
            return False
        self._connections[app_id] = count + 1
        return True

    async def disconnect(self, app_id: str) -> None:
        self._connections[app_id] = max(0, self._connections.get(app_id, 0) - 1)

    # Directory

    async def channels(self, app_id: str, prefix: str = "") -> Mapping[str, ChannelCounts]:
        return {
            name: _counts(name, channel)
            for name, channel in self._channels.get(app_id, {}).items()
            if name.startswith(prefix)
        }

    async def counts(self, app_id: str, channels: Sequence[str]) -> Sequence[ChannelCounts]:
        app = self._channels.get(app_id, {})
        return [_counts(name, app.get(name)) for name in channels]

    async def users(self, app_id: str, channel: str) -> Sequence[str]:
        found = self._channels.get(app_id, {}).get(channel)
        return list(found.users) if found else []

    def _publish(self, message: Message) -> Serial:
        self._n += 1
        serial = Serial(self._epoch, self._n)
        if self._listener is not None:
            self._listener.receive(message, serial)
        return serial

    def _add_member(
        self,
        channel: _Channel,
        subscription: Subscription,
        member: messages.Member,
        max_members: int,
    ) -> None:
        presence = channel.users.get(member.user_id)
        if presence is not None:
            presence.connections += 1
            return
        if len(channel.users) >= max_members:
            raise PresenceFull
        channel.users[member.user_id] = _Presence(member.user_info, 1)
        added = messages.member_added(subscription.channel, member)
        self._tell(subscription, added)

    def _remove_member(self, channel: _Channel, subscription: Subscription, user_id: str) -> None:
        presence = channel.users[user_id]
        presence.connections -= 1
        if presence.connections == 0:
            del channel.users[user_id]
            self._tell(subscription, messages.member_removed(subscription.channel, user_id))

    def _tell(self, subscription: Subscription, payload: bytes) -> None:
        self._publish(
            Message(subscription.app_id, subscription.channel, payload, subscription.socket_id)
        )


def _counts(name: str, channel: _Channel | None) -> ChannelCounts:
    presence = kind_of(name).presence
    if channel is None:
        return ChannelCounts(0, 0 if presence else None)
    return ChannelCounts(len(channel.sockets), len(channel.users) if presence else None)
