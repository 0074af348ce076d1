"""Load goes to this machine alone, unless the user says that the server is theirs.

A name may resolve to several addresses, and a connection takes any of them: all have to be
loopback. The one that was looked at is the one that gets the load (:class:`Address`).
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from callboard_bench.targets.target import Address

OWNED: Final = "--i-own-this-server"


class Refused(ValueError):
    """There will be no load on this address; the text says why and what to do."""


def resolve(host: str, port: int, *, tls: bool, owned: bool, insecure: bool) -> Address:
    """Return where a target listens.

    Args:
        owned: the user says that a server beyond loopback is theirs.
        insecure: take any certificate, which is for loopback only.

    Raises:
        Refused: the name has no address, or one beyond loopback.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Refused(f"{host} has no address: {error.strerror}") from None
    ips = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    beyond = [ip for ip in ips if not is_loopback(ip)]
    named = host if host in ips else f"{host} ({', '.join(beyond)})"
    if beyond and not owned:
        raise Refused(
            f"{named} is not a loopback address: load is put on servers of one's own only; if it "
            f"is yours, say so with {OWNED}"
        )
    if beyond and insecure:
        raise Refused(f"--insecure is for loopback only, and {named} is beyond it: leave it out")
    # A server of this machine rarely listens on ::1 alone, and often on 127.0.0.1 alone.
    ips.sort(key=lambda ip: ":" in ip)
    return Address(host, port, tls, ips[0], verified=not insecure)


def is_loopback(ip: str) -> bool:
    """Whether an IP address never leaves this machine."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
