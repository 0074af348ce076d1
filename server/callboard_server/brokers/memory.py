"""The broker of a single process: plain dictionaries, and the reference for any other."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from callboard_protocol import messages
from callboard_protocol.channels import kind_of
from callboard_protocol.rest import ChannelCounts
from callboard_server.brokers import (
    Cached,
    Cause,
    ClientEvent,
    Joined,
    Left,
    Listener,
    Message,
    Occurrence,
    PresenceFull,
    Serial,
    SignedIn,
    Subscription,
    Tap,
    Transition,
)
from callboard_server.brokers.local_taps import LocalTaps, call

#: How long the last event of a cache channel is kept, as hosted Pusher documents it.
CACHE_SECONDS = 30 * 60.0


@dataclass(slots=True)
class _Presence:
    user_info: bytes | None
    connections: int


@dataclass(slots=True)
class _Channel:
    """Socket id to user id (None without presence), and the users by id."""

    sockets: dict[str, str | None] = field(default_factory=dict)
    users: dict[str, _Presence] = field(default_factory=dict)


@dataclass(slots=True)
class _LastEvent:
    payload: bytes
    expires: float


class MemoryBroker:
    """Implements the four contracts of :mod:`callboard_server.brokers`.

    No call ever suspends, so a subscription is joined and answered within one loop turn.
    ``time`` returns seconds of a clock that does not go back.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.time = time
        self._epoch = secrets.token_hex(4)
        self._n = 0
        self._listener: Listener | None = None
        self._channels: dict[str, dict[str, _Channel]] = {}
        self._connections: dict[str, int] = {}
        #: By app and channel, the oldest first: all are kept equally long.
        self._last_events: dict[tuple[str, str], _LastEvent] = {}
        #: Provisional transitions not settled yet, by what they are about.
        self._provisional: dict[tuple[str, str, str | None], int] = {}
        #: Signed-in users: socket ids by app and user id.
        self._users: dict[tuple[str, str], set[str]] = {}
        self._taps = LocalTaps()

    # Broker

    async def start(self, listener: Listener) -> None:
        self._listener = listener

    async def stop(self) -> None:
        self._listener = None
        self._taps.clear()
        self.forget()

    def forget(self) -> None:
        """Lose who is there and what was said, and nothing else, without telling anybody."""
        self._channels.clear()
        self._connections.clear()
        self._last_events.clear()
        self._provisional.clear()
        self._users.clear()

    async def publish(self, messages: Sequence[Message]) -> Sequence[Serial]:
        return [self._publish(message) for message in messages]

    async def join(self, subscription: Subscription, max_members: int = 100) -> Joined:
        app = self._channels.setdefault(subscription.app_id, {})
        channel = app.get(subscription.channel) or _Channel()
        member = subscription.member
        transitions: list[Transition] = []
        new = subscription.socket_id not in channel.sockets
        if new:
            added = member is not None and self._add_member(
                channel, subscription, member, max_members
            )
            app[subscription.channel] = channel
            channel.sockets[subscription.socket_id] = member.user_id if member else None
            if len(channel.sockets) == 1:
                transitions += self._first(subscription, Occurrence.CHANNEL_OCCUPIED, None)
            if added and member is not None:
                transitions += self._first(subscription, Occurrence.MEMBER_ADDED, member.user_id)
        count = len(channel.sockets)
        last_event = self._last_event(subscription.app_id, subscription.channel)
        joined = Joined(
            serial=self._here(),
            first=count == 1,
            subscription_count=count,
            members=None
            if member is None
            else {user: presence.user_info for user, presence in channel.users.items()},
            cached=last_event.payload if last_event else None,
            transitions=tuple(transitions),
        )
        if new:
            # Behind the snapshot: what a tap publishes now comes after it.
            self._taps.joined(subscription.app_id, subscription.channel, subscription.socket_id)
        return joined

    async def leave(
        self,
        subscription: Subscription,
        *,
        provisional: bool = False,
        cause: Cause = Cause.UNSUBSCRIBED,
    ) -> Left:
        app = self._channels.get(subscription.app_id, {})
        channel = app.get(subscription.channel)
        if channel is None or subscription.socket_id not in channel.sockets:
            return Left(self._here(), False, len(channel.sockets) if channel else 0)
        transitions = []
        user_id = channel.sockets.pop(subscription.socket_id)
        count = len(channel.sockets)
        if user_id is not None and self._remove_member(channel, subscription, user_id):
            removed = Occurrence.MEMBER_REMOVED
            transitions.append(self._last(subscription, removed, user_id, provisional))
        if not count:
            del app[subscription.channel]
            vacated = Occurrence.CHANNEL_VACATED
            transitions.append(self._last(subscription, vacated, None, provisional))
        left = Left(self._here(), count == 0, count, tuple(transitions))
        self._taps.left(subscription.app_id, subscription.channel, subscription.socket_id, cause)
        return left

    async def settle(self, transition: Transition) -> bool:
        about = (transition.app_id, transition.channel, transition.user_id)
        if self._provisional.get(about) != transition.n:
            return False
        del self._provisional[about]
        return True

    async def connect(self, app_id: str, max_connections: int | None) -> bool:
        count = self._connections.get(app_id, 0)
        if max_connections is not None and count >= max_connections:
            return False
        self._connections[app_id] = count + 1
        return True

    async def disconnect(self, app_id: str) -> None:
        self._connections[app_id] = max(0, self._connections.get(app_id, 0) - 1)

    # Users

    async def sign_in(
        self, app_id: str, socket_id: str, user_id: str, watchlist: Sequence[str]
    ) -> SignedIn:
        sockets = self._users.setdefault((app_id, user_id), set())
        first = not sockets
        sockets.add(socket_id)
        if first:
            self._user_changed(app_id, user_id, online=True)
        online = frozenset(user for user in watchlist if (app_id, user) in self._users)
        return SignedIn(self._here(), online)

    async def sign_out(self, app_id: str, socket_id: str, user_id: str) -> None:
        sockets = self._users.get((app_id, user_id))
        if sockets is not None:
            sockets.discard(socket_id)
            if not sockets:
                del self._users[(app_id, user_id)]
                self._user_changed(app_id, user_id, online=False)

    async def terminate(self, app_id: str, user_id: str) -> None:
        if self._listener is not None:
            self._listener.terminate(app_id, user_id)

    # Taps

    async def tap(self, tap: Tap) -> None:
        self._taps.add(tap)
        for name, channel in list(self._channels.get(tap.app_id, {}).items()):
            if name.startswith(tap.prefixes):
                for socket_id in list(channel.sockets):
                    call(tap.joined, name, socket_id)

    async def untap(self, tap: Tap) -> None:
        self._taps.discard(tap)

    async def tell(self, event: ClientEvent) -> None:
        self._taps.heard(event)

    async def expel(self, app_id: str, channel: str) -> None:
        if self._listener is not None:
            self._listener.expel(app_id, channel)

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

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        last_event = self._last_event(app_id, channel)
        if last_event is None:
            return None
        return Cached(last_event.payload, int(last_event.expires - self.time()))

    async def users(self, app_id: str, channel: str) -> Sequence[str]:
        found = self._channels.get(app_id, {}).get(channel)
        return list(found.users) if found else []

    # Within

    def _here(self) -> Serial:
        return Serial(self._epoch, self._n)

    def _next(self) -> Serial:
        self._n = n = self._n + 1
        return Serial(self._epoch, n)

    def _publish(self, message: Message) -> Serial:
        serial = self._next()
        if message.cached:
            self._keep(message)
        if self._listener is not None:
            self._listener.receive(message, serial)
        return serial

    def _keep(self, message: Message) -> None:
        now = self.time()
        key = (message.app_id, message.channel)
        # Behind the others: it is the youngest now.
        self._last_events.pop(key, None)
        self._last_events[key] = _LastEvent(message.payload, now + CACHE_SECONDS)
        while (oldest := next(iter(self._last_events.items())))[1].expires <= now:
            del self._last_events[oldest[0]]

    def _last_event(self, app_id: str, channel: str) -> _LastEvent | None:
        last_event = self._last_events.get((app_id, channel))
        return last_event if last_event and last_event.expires > self.time() else None

    def _first(
        self, subscription: Subscription, occurrence: Occurrence, user_id: str | None
    ) -> list[Transition]:
        """The transition of a first; none for one who is back before his last was settled."""
        about = (subscription.app_id, subscription.channel, user_id)
        if self._provisional.pop(about, None) is not None:
            return []
        app_id, channel = subscription.app_id, subscription.channel
        return [Transition(app_id, occurrence, channel, user_id, self._next().n)]

    def _last(
        self,
        subscription: Subscription,
        occurrence: Occurrence,
        user_id: str | None,
        provisional: bool,
    ) -> Transition:
        app_id, channel = subscription.app_id, subscription.channel
        n = self._next().n
        if provisional:
            self._provisional[(app_id, channel, user_id)] = n
        return Transition(app_id, occurrence, channel, user_id, n, provisional)

    def _add_member(
        self,
        channel: _Channel,
        subscription: Subscription,
        member: messages.Member,
        max_members: int,
    ) -> bool:
        """Count a member's connection; whether it is the user's first."""
        presence = channel.users.get(member.user_id)
        if presence is not None:
            presence.connections += 1
            return False
        if len(channel.users) >= max_members:
            raise PresenceFull
        channel.users[member.user_id] = _Presence(member.user_info, 1)
        self._tell(subscription, messages.member_added(subscription.channel, member))
        return True

    def _remove_member(self, channel: _Channel, subscription: Subscription, user_id: str) -> bool:
        """Uncount a member's connection; whether it was the user's last."""
        presence = channel.users[user_id]
        presence.connections -= 1
        if presence.connections:
            return False
        del channel.users[user_id]
        self._tell(subscription, messages.member_removed(subscription.channel, user_id))
        return True

    def _tell(self, subscription: Subscription, payload: bytes) -> None:
        self._publish(
            Message(subscription.app_id, subscription.channel, payload, subscription.socket_id)
        )

    def _user_changed(self, app_id: str, user_id: str, *, online: bool) -> None:
        serial = self._next()
        if self._listener is not None:
            self._listener.user_changed(app_id, user_id, online, serial)


def _counts(name: str, channel: _Channel | None) -> ChannelCounts:
    presence = kind_of(name).presence
    if channel is None:
        return ChannelCounts(0, 0 if presence else None)
    return ChannelCounts(len(channel.sockets), len(channel.users) if presence else None)
