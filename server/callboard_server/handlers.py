"""What each message of a client does: one coroutine per event name.

Every mistake is answered with ``pusher:error`` and leaves the connection up. A handler that
raises :class:`~callboard_protocol.messages.BadMessage` has changed nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from callboard_protocol import messages, refusals, signatures
from callboard_protocol.channels import channel_name_fault, event_name_fault, kind_of
from callboard_protocol.messages import BadMessage, ClientMessage, SubscribeRequest
from callboard_server.brokers import Joined, Message, PresenceFull, Subscription
from callboard_server.connection import Connection

#: The window in which client events are counted, in seconds.
_RATE_WINDOW_SECONDS: Final = 1.0


def receive(connection: Connection, text: str) -> asyncio.Task[None] | None:
    """Take one text message; the task returned, if any, must end before the next is taken."""
    try:
        message = messages.decode_client_message(text)
    except BadMessage as mistake:
        connection.send(messages.error(str(mistake)))
        return None
    return connection.hub.run(handle(connection, message))


async def handle(connection: Connection, message: ClientMessage) -> None:
    """Carry out one message, or answer it with the reason why not."""
    try:
        if message.event.startswith("client-"):
            await _client_event(connection, message)
        else:
            await _HANDLERS.get(message.event, _unsupported)(connection, message)
    except BadMessage as mistake:
        connection.send(messages.error(str(mistake)))


async def _ping(connection: Connection, message: ClientMessage) -> None:
    connection.send(messages.PONG)


async def _pong(connection: Connection, message: ClientMessage) -> None:
    """A sign of life like any frame, and noted as one before it is read."""


async def _unsupported(connection: Connection, message: ClientMessage) -> None:
    raise BadMessage(refusals.unsupported_event(connection.socket_id, message.event))


async def _subscribe(connection: Connection, message: ClientMessage) -> None:
    request = messages.parse_subscribe(message)
    channel = request.channel
    if fault := channel_name_fault(channel):
        raise BadMessage(fault)
    if channel in connection.channels:
        raise BadMessage(refusals.existing_subscription(channel))
    kind = kind_of(channel)
    if kind.private:
        _check_auth(connection, request)
    member = None
    if kind.presence:
        if request.channel_data is None:
            raise BadMessage(refusals.channel_data_required(channel))
        member = messages.parse_member(request.channel_data)
    subscription = Subscription(connection.app.id, channel, connection.socket_id, member)
    joined = await _join(connection, subscription)
    if joined is None:
        return
    if joined.members is None:
        connection.send(messages.subscription_succeeded(channel))
    else:
        connection.send(messages.presence_succeeded(channel, joined.members))
    connection.hub.confirm_join(connection, channel, joined.serial)


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
    if not connection.live:
        hub.remove(connection, channel)
        await hub.broker.leave(subscription)
        return None
    connection.channels[channel] = member.user_id if member else None
    return joined


def _check_auth(connection: Connection, request: SubscribeRequest) -> None:
    if request.auth is None:
        raise BadMessage(refusals.auth_required(request.channel))
    key, separator, signature = request.auth.partition(":")
    if not separator or not key or not signature:
        raise BadMessage(refusals.malformed_auth(request.channel))
    if key != connection.app.key:
        raise BadMessage(refusals.unknown_auth_key(key))
    string = signatures.channel_string(connection.socket_id, request.channel, request.channel_data)
    if not signatures.matches(connection.app.secret, string, signature):
        raise BadMessage(refusals.wrong_signature(string, signature))


async def _unsubscribe(connection: Connection, message: ClientMessage) -> None:
    channel = messages.parse_unsubscribe(message)
    if channel not in connection.channels:
        raise BadMessage(refusals.no_subscription(channel[:200]))
    del connection.channels[channel]
    connection.hub.remove(connection, channel)
    subscription = Subscription(connection.app.id, channel, connection.socket_id)
    await connection.hub.broker.leave(subscription)


async def _client_event(connection: Connection, message: ClientMessage) -> None:
    channel = message.channel
    if channel is None:
        raise BadMessage(refusals.MALFORMED_CLIENT_EVENT)
    if not connection.app.client_events:
        raise BadMessage(refusals.client_events_off())
    if not kind_of(channel).client_events:
        raise BadMessage(refusals.CLIENT_EVENT_CHANNEL)
    if channel not in connection.channels:
        raise BadMessage(refusals.not_a_subscriber(channel[:200]))
    if fault := event_name_fault(message.event):
        raise BadMessage(fault)
    data = messages.client_event_data(message.data)
    limit = connection.app.max_event_payload_bytes
    if len(data) > limit or len(data.encode()) > limit:
        raise BadMessage(refusals.payload_too_large(limit))
    if not _within_rate(connection):
        text = refusals.CLIENT_EVENT_RATE.format(limit=connection.app.max_client_events_per_second)
        connection.send(messages.error(text, refusals.CLIENT_EVENT_RATE_CODE))
        return
    payload = messages.channel_event(message.event, channel, data, connection.channels[channel])
    event = Message(connection.app.id, channel, payload, connection.socket_id)
    await connection.hub.broker.publish([event])


def _within_rate(connection: Connection) -> bool:
    """Count a client event in the second that the first of them began."""
    now = connection.hub.time()
    if now - connection.client_events_since >= _RATE_WINDOW_SECONDS:
        connection.client_events_since = now
        connection.client_events_counted = 0
    connection.client_events_counted += 1
    return connection.client_events_counted <= connection.app.max_client_events_per_second


_HANDLERS: Final[Mapping[str, Callable[[Connection, ClientMessage], Awaitable[None]]]] = {
    "pusher:ping": _ping,
    "pusher:pong": _pong,
    "pusher:subscribe": _subscribe,
    "pusher:unsubscribe": _unsubscribe,
}
