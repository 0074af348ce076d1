"""Which addresses webhooks may be posted to.

A webhook's URL is data: whoever may write one must not thereby reach the database beside the
server or the cloud's metadata service (server-side request forgery). So:

1. What counts is the address that is connected to, never the name. A name is resolved once per
   connection, its addresses are checked, and the checked ones are connected to; a name that
   answers differently the second time (DNS rebinding) gains nothing. The socket of each attempt
   is only made for an address that passes, which also covers addresses written into the URL.
2. IPv4 is allowed but for the special-purpose blocks; of IPv6 only global unicast is. The lists
   are written out, because what ``ipaddress.is_global`` says depends on the version of Python.
3. IPv4 within IPv6 (mapped, NAT64, 6to4) counts as the IPv4 address that it leads to.

Sources: the IANA special-purpose address registries, RFC 4291, 6052 and 3056.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from callboard_server.webhooks.resolving import DetachedResolver

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*networks: str) -> tuple[_Network, ...]:
    return tuple(ip_network(network) for network in networks)


#: By what a refusal calls them.
_REFUSED: Sequence[tuple[str, Sequence[_Network]]] = (
    ("unspecified", _networks("0.0.0.0/8", "::/128")),
    ("loopback", _networks("127.0.0.0/8", "::1/128")),
    ("link-local", _networks("169.254.0.0/16", "fe80::/10")),
    ("multicast", _networks("224.0.0.0/4", "ff00::/8")),
    (
        "private",
        _networks(
            "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",
            "fec0::/10",
        ),
    ),
    (
        "reserved",
        _networks(
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20",
        ),
    ),
)  # fmt: skip
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class TargetRefused(OSError):
    """A webhook leads to an address that it may not be posted to; ``str()`` names it."""


class Targets:
    """Says whether an address may be posted to.

    ``private`` allows every address; ``loopback`` allows this machine's own.
    """

    def __init__(self, *, private: bool, loopback: bool) -> None:
        self._private = private
        self._loopback = loopback

    def check(self, address: str) -> None:
        """Return if ``address``, an IPv4 or IPv6 one, may be posted to.

        Raises:
            TargetRefused: it may not.
        """
        if self._private:
            return
        kind = kind_of(address)
        if kind is None or (kind == "loopback" and self._loopback):
            return
        raise TargetRefused(
            f"{address} is a {kind} address; set allow_private_targets in [webhooks] to allow it"
        )

    def open_socket(self, target: AddrInfoType) -> socket.socket:
        """Make the socket of one attempt to connect; aiohttp's ``socket_factory``.

        Raises:
            TargetRefused: the address may not be connected to.
        """
        family, kind, protocol, _, address = target
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)


class CheckedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be posted to."""

    def __init__(self, targets: Targets, resolver: AbstractResolver | None = None) -> None:
        self._targets = targets
        self._resolver = resolver or DetachedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a name.

        Raises:
            TargetRefused: it has addresses, and none of them is allowed.
            OSError: it cannot be resolved.
        """
        allowed: list[ResolveResult] = []
        refused: TargetRefused | None = None
        for found in await self._resolver.resolve(host, port, family):
            try:
                self._targets.check(found["host"])
            except TargetRefused as refusal:
                refused = refusal
            else:
                allowed.append(found)
        if refused is not None and not allowed:
            raise refused
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def kind_of(address: str) -> str | None:
    """Return what an address is called that is not on the public internet, else None."""
    parsed: _Address = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return _kind_of_ipv6(parsed)
        parsed = parsed.ipv4_mapped
    return _listed(parsed)


def _kind_of_ipv6(address: IPv6Address) -> str | None:
    if address in _NAT64:
        # A translator forwards it: what is loopback here is not loopback there.
        inner = _listed(IPv4Address(int(address) & 0xFFFF_FFFF))
        return "private" if inner else None
    if address.sixtofour is not None:
        return "private" if _listed(address.sixtofour) else None
    return _listed(address) or (None if address in _GLOBAL_UNICAST else "reserved")


def _listed(address: _Address) -> str | None:
    return next(
        (kind for kind, networks in _REFUSED if any(address in network for network in networks)),
        None,
    )
