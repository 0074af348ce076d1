"""``client-sched`` on a worker's channel: what a worker says to its scheduler, and to nobody else.

A worker reports for all its tasks on one connection, so it may say more and more often than a
client may to others; the limits are those that the scheduler tells it in ``welcome``.
"""

from __future__ import annotations

from typing import Final

from callboard_protocol import messages, refusals
from callboard_protocol.messages import BadMessage, ClientMessage
from callboard_protocol.reserved import (
    WORKER_EVENT,
    WORKER_EVENT_BYTES,
    WORKER_EVENTS_PER_SECOND,
    worker_of,
)
from callboard_server.brokers import ClientEvent
from callboard_server.connection import Connection

#: How much of its rate a worker may use at once, in seconds.
_BURST_SECONDS: Final = 1.0
_INTERVAL_SECONDS: Final = 1 / WORKER_EVENTS_PER_SECOND


async def worker_event(connection: Connection, message: ClientMessage, channel: str) -> None:
    """Bring the event to whoever follows the workers' channels."""
    if message.event != WORKER_EVENT or worker_of(channel) is None:
        raise BadMessage(refusals.reserved_channel(message.event, channel[:200]))
    if channel not in connection.channels:
        raise BadMessage(refusals.not_a_subscriber(channel[:200]))
    data = messages.client_event_data(message.data)
    if len(data) > WORKER_EVENT_BYTES or len(data.encode()) > WORKER_EVENT_BYTES:
        raise BadMessage(refusals.payload_too_large(WORKER_EVENT_BYTES))
    if not _within_rate(connection):
        text = refusals.CLIENT_EVENT_RATE.format(limit=WORKER_EVENTS_PER_SECOND)
        connection.send(messages.error(text, refusals.CLIENT_EVENT_RATE_CODE))
        return
    socket_id = connection.socket_id
    event = ClientEvent(connection.app.id, channel, socket_id, message.event, data)
    await connection.hub.broker.tell(event)


def _within_rate(connection: Connection) -> bool:
    """Take one event from what the connection may send: the generic cell rate algorithm.

    ``worker_events_until`` is when all that was sent would have been, evenly spread.
    """
    now = connection.hub.time()
    until = max(connection.worker_events_until, now)
    # Half an interval of tolerance, since sums of a fraction are not exact.
    if until - now > _BURST_SECONDS - _INTERVAL_SECONDS / 2:
        return False
    connection.worker_events_until = until + _INTERVAL_SECONDS
    return True
