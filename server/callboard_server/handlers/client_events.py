"""``client-…``: an event from one member of a channel to the others."""

from __future__ import annotations

from typing import Final

from callboard_protocol import messages, refusals
from callboard_protocol.channels import event_name_fault, kind_of
from callboard_protocol.messages import BadMessage, ClientMessage
from callboard_server.brokers import Message, Source
from callboard_server.connection import Connection
from callboard_server.handlers.worker_events import worker_event

#: The window in which client events are counted, in seconds.
_RATE_WINDOW_SECONDS: Final = 1.0
# Asking an enumeration for a member costs seven times what a name of the module does.
_CLIENT: Final = Source.CLIENT


async def client_event(connection: Connection, message: ClientMessage) -> None:
    """Publish the event to everyone in the channel but its sender."""
    channel = message.channel
    if channel is None:
        raise BadMessage(refusals.MALFORMED_CLIENT_EVENT)
    app = connection.app
    if connection.hub.reservations.holds(app.id, channel):
        await worker_event(connection, message, channel)
        return
    if not app.client_events:
        raise BadMessage(refusals.client_events_off())
    if not kind_of(channel).client_events:
        raise BadMessage(refusals.CLIENT_EVENT_CHANNEL)
    if channel not in connection.channels:
        raise BadMessage(refusals.not_a_subscriber(channel[:200]))
    if fault := event_name_fault(message.event, app.max_event_name_length):
        raise BadMessage(fault)
    data = messages.client_event_data(message.data)
    limit = app.max_event_payload_bytes
    if len(data) > limit or len(data.encode()) > limit:
        raise BadMessage(refusals.payload_too_large(limit))
    if not _within_rate(connection):
        text = refusals.CLIENT_EVENT_RATE.format(limit=app.max_client_events_per_second)
        connection.hub.refusals.tell(
            message.event, text, app=app.id, socket_id=connection.socket_id, channel=repr(channel)
        )
        connection.send(messages.error(text, refusals.CLIENT_EVENT_RATE_CODE))
        return
    user_id = connection.channels[channel]
    payload = messages.channel_event(message.event, channel, data, user_id)
    event = Message(app.id, channel, payload, connection.socket_id, source=_CLIENT)
    await connection.hub.broker.publish([event])
    connection.hub.observer.client_event(
        app, channel, message.event, data, connection.socket_id, user_id
    )


def _within_rate(connection: Connection) -> bool:
    """Count a client event in the second that the first of them began."""
    now = connection.hub.time()
    if now - connection.client_events_since >= _RATE_WINDOW_SECONDS:
        connection.client_events_since = now
        connection.client_events_counted = 0
    connection.client_events_counted += 1
    return connection.client_events_counted <= connection.app.max_client_events_per_second
