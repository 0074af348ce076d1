"""A replay stays on this machine: it sends what many clients have sent, as fast as it can."""

from __future__ import annotations

from urllib.parse import urlsplit

from callboard.traffic.errors import CannotReplay
from callboard_server.loopback import is_loopback_host


def refuse_elsewhere(base: str) -> None:
    """Check that a service's URL is on this machine.

    Raises:
        CannotReplay: it is not, or its name does not say so by itself.
    """
    host = urlsplit(base).hostname or ""
    if not is_loopback_host(host):
        raise CannotReplay(
            f"{host} is not this machine. A replay is load, and triggers events for whoever is "
            "connected there: say --i-own-this-server if that is meant."
        )
