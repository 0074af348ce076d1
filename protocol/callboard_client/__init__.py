"""An asynchronous client of any service that speaks the Pusher Channels protocol.

Over WebSocket::

    authorizer = SecretAuthorizer(KEY, SECRET)
    async with Client(KEY, "127.0.0.1", 6001, authorizer=authorizer) as client:
        channel = await client.subscribe("private-orders")
        async for event in channel:
            print(event.event, event.data)

Over the signed HTTP API::

    async with ApiClient("http://KEY:SECRET@127.0.0.1:6001/apps/ID") as api:
        await api.trigger("private-orders", "created", {"id": 1})

Read in this order: :mod:`states`, :mod:`events`, :mod:`keepalive`, :mod:`backoff`,
:mod:`subscriptions`, :mod:`inbox` (what is decided, without a loop or a socket), then
:mod:`session` (one WebSocket), :mod:`channel`, :mod:`registry` and :mod:`connection` (the
client), and :mod:`signed_request` and :mod:`api` (the HTTP side). Nothing is imported before it
is used, so neither side pays for the other's libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard_client.api import ApiClient
    from callboard_client.authorizers import (
        Authorization,
        Authorizer,
        EndpointAuthorizer,
        SecretAuthorizer,
    )
    from callboard_client.channel import Channel
    from callboard_client.connection import Client
    from callboard_client.errors import (
        ApiError,
        ChannelClosed,
        ClientClosed,
        ClientError,
        ConnectionFailed,
        EventsLost,
        NotConnected,
        SubscriptionError,
    )
    from callboard_client.events import Event, ServerError
    from callboard_client.states import State
    from callboard_client.timings import Timings

__all__ = [
    "ApiClient",
    "ApiError",
    "Authorization",
    "Authorizer",
    "Channel",
    "ChannelClosed",
    "Client",
    "ClientClosed",
    "ClientError",
    "ConnectionFailed",
    "EndpointAuthorizer",
    "Event",
    "EventsLost",
    "NotConnected",
    "SecretAuthorizer",
    "ServerError",
    "State",
    "SubscriptionError",
    "Timings",
]

_MODULES = {
    "api": ("ApiClient",),
    "authorizers": ("Authorization", "Authorizer", "EndpointAuthorizer", "SecretAuthorizer"),
    "channel": ("Channel",),
    "connection": ("Client",),
    "errors": (
        "ApiError",
        "ChannelClosed",
        "ClientClosed",
        "ClientError",
        "ConnectionFailed",
        "EventsLost",
        "NotConnected",
        "SubscriptionError",
    ),
    "events": ("Event", "ServerError"),
    "states": ("State",),
    "timings": ("Timings",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:
    # Type checkers take the imports above; to them this would make every name one of ours.
    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        # The next access finds it without coming here.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
