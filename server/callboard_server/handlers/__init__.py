"""What each message of a client does: one coroutine per event name.

Every mistake is answered with ``pusher:error`` and leaves the connection up. A handler that
raises :class:`~callboard_protocol.messages.BadMessage` has changed nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from callboard_protocol import messages, refusals
from callboard_protocol.messages import BadMessage, ClientMessage, NotAuthorized
from callboard_server.connection import Connection
from callboard_server.handlers.client_events import client_event
from callboard_server.handlers.signin import signin
from callboard_server.handlers.subscriptions import subscribe, unsubscribe

logger = logging.getLogger("callboard.server")


def receive(connection: Connection, text: str) -> asyncio.Task[None] | None:
    """Take one text message; the task returned, if any, must end before the next is taken."""
    try:
        message = messages.decode_client_message(text)
    except BadMessage as mistake:
        log = connection.hub.refusals
        log.tell("a message", str(mistake), app=connection.app.id, socket_id=connection.socket_id)
        connection.send(messages.error(str(mistake)))
        return None
    return connection.hub.run(handle(connection, message))


async def handle(connection: Connection, message: ClientMessage) -> None:
    """Carry out one message, or answer it with the reason why not."""
    try:
        if message.event.startswith("client-"):
            await client_event(connection, message)
        else:
            await _HANDLERS.get(message.event, _unsupported)(connection, message)
    except BadMessage as mistake:
        _note(connection, message, mistake)
        connection.send(messages.error(str(mistake)))
    except Exception:
        logger.exception("a message failed event=%r app=%s", message.event[:100], connection.app.id)
        connection.end(refusals.INTERNAL_ERROR)


def _note(connection: Connection, message: ClientMessage, mistake: BadMessage) -> None:
    """Tell a mistake, and log what whoever runs the server looks for.

    That is a backend with the wrong secret; without what was signed, which may say who somebody is.
    """
    unauthorized = isinstance(mistake, NotAuthorized)
    if connection.hub.witness is None and not unauthorized:
        return
    channel = message.channel
    with suppress(BadMessage):
        channel = messages.parameters(message).get("channel", channel)
    facts = {
        "app": connection.app.id,
        "socket_id": connection.socket_id,
        "channel": repr(str(channel or "")[:200]),
    }
    log = connection.hub.refusals
    log.tell(message.event[:100], str(mistake), **facts)
    if unauthorized:
        log.log(message.event, str(mistake).partition(":")[0], **facts)


async def _ping(connection: Connection, message: ClientMessage) -> None:
    connection.send(messages.PONG)


async def _pong(connection: Connection, message: ClientMessage) -> None:
    """A sign of life like any frame, and noted as one before it is read."""


async def _unsupported(connection: Connection, message: ClientMessage) -> None:
    raise BadMessage(refusals.unsupported_event(connection.socket_id, message.event))


_HANDLERS: Final[Mapping[str, Callable[[Connection, ClientMessage], Awaitable[None]]]] = {
    "pusher:ping": _ping,
    "pusher:pong": _pong,
    "pusher:signin": signin,
    "pusher:subscribe": subscribe,
    "pusher:unsubscribe": unsubscribe,
}
