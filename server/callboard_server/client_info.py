"""Who a client is, as far as can be known: its address, whether it came by TLS, its page.

Anyone can write ``X-Forwarded-For``, so what a request says of its way counts only as far as
trusted proxies have written it:

1. The connection's own address is certain. If it is not that of a trusted proxy, nothing else
   counts.
2. Each proxy writes at the end of the list whom it was called by. Read from the end, the first
   address that is no trusted proxy's is the client's; what stands before it is hearsay.
3. That proxy also knows how it was called: ``X-Forwarded-Proto`` at the same place in its list
   if the two lists have the same length, else at the end.
4. ``Forwarded`` (RFC 7239) says the same in one header, and counts if there is no
   ``X-Forwarded-For`` and no ``X-Forwarded-Proto``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

import msgspec

from callboard_server.settings import UNIX

#: The address of a client that nobody knows or tells.
UNKNOWN: Final = "unknown"

Headers = Sequence[tuple[bytes, bytes]]


class TrustedProxies:
    """The proxies that are believed, as ``trusted_proxies`` names them."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._unix = False
        for entry in entries:
            if entry == UNIX:
                self._unix = True
            else:
                self._networks.append(ip_network(entry))

    def __contains__(self, address: str) -> bool:
        if address == UNIX:
            return self._unix
        if address == UNKNOWN:
            return False
        return any(ip_address(address) in network for network in self._networks)


NO_PROXIES: Final = TrustedProxies()


class ClientInfo(msgspec.Struct, frozen=True):
    """Looks at a request's way only when it is asked, since hardly any request is asked about."""

    _transport: asyncio.BaseTransport | None = None
    _headers: Headers = ()
    _proxies: TrustedProxies = NO_PROXIES

    @property
    def address(self) -> str:
        """The client's IP address, ``unix`` for the Unix socket, or ``unknown``."""
        return self._hop.address

    @property
    def secure(self) -> bool:
        """Whether the client came by TLS, to this server or to a trusted proxy."""
        return self._hop.secure

    @property
    def origin(self) -> str | None:
        """The page that the client belongs to; None if it is not a browser's."""
        values = _values(self._headers, b"origin")
        return values[0] if values else None

    @property
    def _hop(self) -> _Hop:
        if self._transport is None:
            return _Hop(UNKNOWN, False)
        client = nearest = _nearest(self._transport)
        if nearest.address in self._proxies:
            for client in _forwarded(self._headers, nearest.address):
                if client.address not in self._proxies:
                    break
        return client


#: A client that nothing is known of.
NOBODY: Final = ClientInfo()


class _Hop(NamedTuple):
    """Whom somebody was called by, and how."""

    address: str
    secure: bool


def _nearest(transport: asyncio.BaseTransport) -> _Hop:
    peer = transport.get_extra_info("peername")
    # A client's end of a Unix socket has no name.
    address = _address(peer[0]) if isinstance(peer, tuple) else UNIX
    return _Hop(address, transport.get_extra_info("sslcontext") is not None)


def _forwarded(headers: Headers, proxy: str) -> Iterator[_Hop]:
    """Yield the hops that proxies have written down, the one before ``proxy`` first."""
    addresses = _list(headers, b"x-forwarded-for")
    schemes = _list(headers, b"x-forwarded-proto")
    if addresses:
        same = len(addresses) == len(schemes)
        for place, address in enumerate(reversed(addresses), start=1):
            scheme = schemes[-place if same else -1] if schemes else ""
            yield _Hop(_address(address), scheme.lower() == "https")
    elif schemes:
        yield _Hop(proxy, schemes[-1].lower() == "https")
    else:
        for element in reversed(_list(headers, b"forwarded")):
            pairs = _pairs(element.lower())
            yield _Hop(_address(pairs.get("for", "")), pairs.get("proto") == "https")


def _list(headers: Headers, name: bytes) -> list[str]:
    """Return a header's elements, of all its lines in order.

    Quotes do not keep a comma from ending an element: no address or scheme has one, and a client
    that opens a quote must not swallow what a proxy writes behind it.
    """
    joined = ",".join(_values(headers, name))
    return [element for part in joined.split(",") if (element := part.strip())]


def _pairs(element: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in element.split(";"))
    return {name.strip(): value.strip(' "') for name, _, value in pairs}


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for found, value in headers if found.lower() == name]


_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+")


def _address(text: str) -> str:
    """Return the IP address in the form of all comparisons, ``unix``, or ``unknown``."""
    # nginx writes "unix:" for a client of its own Unix socket.
    if text.lower() == f"{UNIX}:":
        return UNIX
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port.group(1) or with_port.group(2)
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
