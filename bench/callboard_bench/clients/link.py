"""The seam between what clients say and how it travels: a WebSocket, HTTP streaming or polling.

A :class:`Link` is one client's connection. It hands the text of whole messages to its
:class:`Listener` and sends the texts it is given; opening, heartbeats and the ends of HTTP
responses stay on its side.

Many listeners of one process hear the same. Links therefore share what they have parsed, and the
messages of equal reads are *the same tuple*: whoever hears it again knows by identity that there
is nothing new to parse. That is what makes thousands of subscribers affordable.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from callboard_bench.targets.target import Address, Target

WS: Final = "ws"
XHR_STREAMING: Final = "xhr_streaming"
XHR_POLLING: Final = "xhr_polling"
TRANSPORTS: Final = (WS, XHR_STREAMING, XHR_POLLING)

#: What pusher-js puts before the paths of streaming and polling.
HTTP_PATH: Final = "/pusher"

#: How a client asks for a sign of life on a WebSocket.
PING: Final = b'{"event":"pusher:ping","data":{}}'

#: Connections from one address: Linux has 28,232 ports for them, and some linger.
_CONNECTIONS_PER_SOURCE: Final = 20_000


class Listener(Protocol):
    """Whoever hears what comes over a link. No method may raise."""

    def linked(self, link: Link) -> None:
        """Learn of the link, once connected and before anything is heard."""

    def heard(self, messages: Sequence[bytes]) -> None:
        """Take messages, JSON texts in their order; never none of them."""

    def ended(self, reason: str) -> None:
        """Learn that the link is over, and why. Comes once, and nothing after it."""


class Link(Protocol):
    """One client's way to the server and back."""

    def send(self, message: bytes) -> None:
        """Send one message, a JSON text; behind those sent before."""

    def ping(self) -> None:
        """Ask the server for a sign of life, as pusher-js does on this transport."""

    def close(self) -> None:
        """Leave, without a word about it to the listener."""


class Links(Protocol):
    """Opens links of one kind, which share what they parse."""

    async def open(self, listener: Listener) -> None:
        """Connect, and ask for the session; what the server answers is heard later.

        Raises:
            OSError: nobody listens there.
        """


@dataclass(frozen=True, slots=True)
class Wire:
    """Where and how the clients of one generator connect."""

    address: Address
    #: Path and query of a WebSocket.
    path: str
    transport: str = WS
    http_path: str = HTTP_PATH
    #: The connections that other generators have, which comes before those of this one.
    before: int = 0

    @classmethod
    def to(
        cls, target: Target, transport: str = WS, http_path: str = HTTP_PATH, before: int = 0
    ) -> Wire:
        """Return the way to a target."""
        return cls(target.websocket, target.websocket_path, transport, http_path, before)

    def endpoint(self, number: int) -> dict[str, Any]:
        """Return the arguments of ``create_connection`` for this generator's n-th connection.

        An IPv4 loopback address is reached from 127.0.0.1, 127.0.0.2 and so on, for one address
        has too few ports.
        """
        where = self.address.endpoint()
        source = (self.before + number) // _CONNECTIONS_PER_SOURCE
        if source and _is_ipv4_loopback(where["host"]):
            where["local_addr"] = (f"127.0.0.{1 + source}", 0)
        return where


def _is_ipv4_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.version == 4 and address.is_loopback
