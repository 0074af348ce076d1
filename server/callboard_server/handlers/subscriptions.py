"""``pusher:subscribe`` and ``pusher:unsubscribe``.

What a new subscriber hears, in this order: ``subscription_succeeded``, the last event of a cache
channel or ``cache_miss``, then the channel's events as they come.
"""

from __future__ import annotations

from callboard_protocol import messages, refusals, signatures
from callboard_protocol.channels import (
    SERVER_TO_USER_PREFIX,
    ChannelKind,
    channel_name_fault,
    kind_of,
)
from callboard_protocol.messages import (
    BadMessage,
    ClientMessage,
    Member,
    NotAuthorized,
    SubscribeRequest,
)
from callboard_protocol.reserved import worker_key
from callboard_server.brokers import Cause, Joined, PresenceFull, Subscription
from callboard_server.connection import Connection, leave_channel


async def subscribe(connection: Connection, message: ClientMessage) -> None:
    """Join a channel and answer with what it holds."""
    request = messages.parse_subscribe(message)
    channel = request.channel
    kind = kind_of(channel)
    _check(connection, request, kind)
    if kind.private and (objections := connection.hub.objections) is not None:
        objection = objections.to_subscription(connection.app, connection.socket_id, request)
        if objection is not None:
            connection.send(objection)
            return
    member = _member(connection, request) if kind.presence else None
    subscription = Subscription(connection.app.id, channel, connection.socket_id, member)
    joined = await _join(connection, subscription)
    if joined is None:
        return
    hub, app = connection.hub, connection.app
    if joined.members is None:
        connection.send(messages.subscription_succeeded(channel))
    else:
        connection.send(messages.presence_succeeded(channel, joined.members))
    if kind.cache:
        connection.send(joined.cached or messages.cache_miss(channel))
    hub.confirm_join(connection, channel, joined.serial)
    hub.transitions(app, joined.transitions)
    if kind.cache and joined.cached is None:
        hub.observer.cache_miss(app, channel)
    await hub.counts.changed(app, channel, joined.subscription_count)


async def unsubscribe(connection: Connection, message: ClientMessage) -> None:
    """Leave a channel; there is no answer on success."""
    channel = messages.parse_unsubscribe(message)
    if channel not in connection.channels:
        raise BadMessage(refusals.no_subscription(channel[:200]))
    del connection.channels[channel]
    connection.hub.remove(connection, channel)
    await leave_channel(connection, channel, Cause.UNSUBSCRIBED)


def _check(connection: Connection, request: SubscribeRequest, kind: ChannelKind) -> None:
    channel, app = request.channel, connection.app
    if channel.startswith(SERVER_TO_USER_PREFIX):
        user = connection.user
        if user is None or channel != SERVER_TO_USER_PREFIX + user.user_id:
            raise BadMessage(refusals.not_that_user(channel[:200]))
    elif fault := channel_name_fault(channel, app.max_channel_name_length):
        raise BadMessage(fault)
    if channel in connection.channels:
        raise BadMessage(refusals.existing_subscription(channel))
    limit = app.max_channels_per_connection
    if limit is not None and len(connection.channels) >= limit:
        raise BadMessage(refusals.too_many_channels(limit))
    if kind.private:
        _check_auth(connection, request)


def _check_auth(connection: Connection, request: SubscribeRequest) -> None:
    if request.auth is None:
        raise NotAuthorized(refusals.auth_required(request.channel))
    key, separator, signature = request.auth.partition(":")
    if not separator or not key or not signature:
        raise NotAuthorized(refusals.malformed_auth(request.channel))
    if key != connection.app.key:
        raise NotAuthorized(refusals.unknown_auth_key(key))
    app = connection.app
    string = signatures.channel_string(connection.socket_id, request.channel, request.channel_data)
    if connection.hub.reservations.holds_worker(app.id, request.channel):
        if not signatures.matches(worker_key(app.secret), string, signature):
            raise NotAuthorized(refusals.not_that_worker(string, signature))
    elif not signatures.matches(app.secret, string, signature):
        raise NotAuthorized(refusals.wrong_signature(string, signature))


def _member(connection: Connection, request: SubscribeRequest) -> Member:
    """Who joins: as ``channel_data`` says, else the signed-in user (pusher-js since 7.4)."""
    if request.channel_data is not None:
        return messages.parse_member(request.channel_data)
    user = connection.user
    if user is not None:
        # The bound of channel_data: every newcomer is sent all of it.
        if user.user_info is not None and len(user.user_info) > messages.MAX_USER_BYTES:
            raise BadMessage(refusals.member_too_large(messages.MAX_USER_BYTES))
        return Member(user.user_id, user.user_info)
    raise BadMessage(refusals.channel_data_required(request.channel))


async def _join(connection: Connection, subscription: Subscription) -> Joined | None:
    """Join the channel; None if the connection ended while the broker was asked."""
    hub, channel, member = connection.hub, subscription.channel, subscription.member
    hub.begin_join(connection, channel)
    try:
        joined = await hub.broker.join(subscription, connection.app.max_presence_members)
    except PresenceFull:
        hub.remove(connection, channel)
        limit = connection.app.max_presence_members
        raise BadMessage(refusals.presence_full(channel, limit)) from None
    except BaseException:
        hub.remove(connection, channel)
        raise
    if not connection.live:
        hub.remove(connection, channel)
        await leave_channel(connection, channel, Cause.DISCONNECTED)
        return None
    connection.channels[channel] = member.user_id if member else None
    return joined
