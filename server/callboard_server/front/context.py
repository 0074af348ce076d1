"""What the connections of the front share: the server behind them, as far as they know it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from callboard_server.admission import Apps
from callboard_server.client_info import TrustedProxies
from callboard_server.deadlines import Deadlines
from callboard_server.extensions.hosting import Extensions
from callboard_server.front.exchange import Attend
from callboard_server.front.known_heads import KnownHeads
from callboard_server.front.request import Encoder, Request, Response
from callboard_server.hub import Hub
from callboard_server.roster import Roster
from callboard_server.settings import Settings

#: Answers a request: at once, or by taking it as an exchange.
Handle = Callable[[Request], Coroutine[Any, Any, Response | Attend]]
#: Takes a transport and the bytes of one request over, with everything that follows.
HandOver = Callable[[asyncio.Transport, bytes], None]


class Visitor(Protocol):
    """A connection that the front has not given away, as the end of the server sees it."""

    @property
    def has_more(self) -> bool:
        """Whether requests that have been read wait for nothing but their turn."""

    def finish(self) -> None:
        """End as soon as what was asked is answered."""

    def abort(self) -> None:
        """End now."""


class FrontInterference(Protocol):
    """What is asked by the front of ``callboard_server.interference.Interference``."""

    def carrying(self, visitor: asyncio.Protocol) -> asyncio.Protocol:
        """Return the protocol of a new socket, which stands between it and ``visitor``."""

    def to_upgrade(self, request: Request) -> Response | None:
        """Return what answers a request for a WebSocket instead of the handshake."""


@dataclass(slots=True)
class FrontContext:
    """What every connection of the front shares."""

    hub: Hub
    apps: Apps
    settings: Settings
    deadlines: Deadlines
    encoder: Encoder
    #: Answers a request under ``/apps/``.
    handle: Handle
    #: Answers a request under one of ``fallback_paths``.
    fallback: Handle
    fallback_paths: tuple[bytes, ...]
    #: Answers a request under one of its paths.
    extensions: Extensions
    #: Gives any other request to aiohttp.
    hand_over: HandOver
    connections: Roster[Visitor]
    proxies: TrustedProxies
    #: What a proxy puts before every path, such as ``/pusher``; may be empty.
    path_prefix: bytes
    #: What may stand between a socket and its connection, or refuse a WebSocket.
    interference: FrontInterference | None = None
    #: What requests begin with again and again.
    known_heads: KnownHeads = field(default_factory=KnownHeads)
    #: Set when the server ends: finish what was begun, keep nothing alive.
    closing: bool = False

    def without_prefix(self, target: bytes) -> bytes:
        """Return a target as it is without a proxy's prefix."""
        if not target.startswith(self.path_prefix):
            return target
        rest = target[len(self.path_prefix) :]
        if rest.startswith(b"/"):
            return rest
        return target if rest and not rest.startswith(b"?") else b"/" + rest

    def max_page_body_bytes(self, target: bytes) -> int:
        """Return how large a request to an extension's page may be, 0 for any other target."""
        return self.extensions.max_body_bytes(self.without_prefix(target))
