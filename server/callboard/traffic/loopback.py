"""Whether a host is this machine: a replay sends what many clients have sent, as fast as it can."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from callboard.traffic.errors import CannotReplay


def refuse_elsewhere(base: str) -> None:
    """Check that a service's URL is on this machine.

    Raises:
        CannotReplay: it is not, or its name does not say so by itself.
    """
    host = urlsplit(base).hostname or ""
    if not _is_loopback(host):
        raise CannotReplay(
            f"{host} is not this machine. A replay is load, and triggers events for whoever is "
            "connected there: say --i-own-this-server if that is meant."
        )


def _is_loopback(host: str) -> bool:
    # No other name is looked up: what it leads to may be another thing a moment later.
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
