"""Which pages may connect: the ``Origin`` header of browsers against ``allowed_origins``.

Browsers send ``scheme://host[:port]``, without the scheme's own port, or ``null`` for a page that
is nobody's (RFC 6454, 6.1). Scheme and host are compared without regard to case. An entry whose
host begins with ``*.`` stands for all names below it, but not for the name itself. Whoever sends
no origin is not a browser and could send any.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_OWN_PORTS: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def allows(allowed_origins: tuple[str, ...], origin: str | None) -> bool:
    """Tell whether a page of ``origin`` may connect, None standing for a client without one."""
    if not allowed_origins or origin is None:
        return True
    exact, below = _rules(allowed_origins)
    origin = _canonical(origin)
    if origin in exact:
        return True
    scheme, _, host = origin.partition("://")
    return any(
        scheme == wanted and len(host) > len(suffix) and host.endswith(suffix)
        for wanted, suffix in below
    )


@lru_cache(maxsize=256)
def _rules(allowed_origins: tuple[str, ...]) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """Return the exact origins, and scheme and suffix of the others."""
    origins = [_canonical(origin) for origin in allowed_origins]
    exact = frozenset(origin for origin in origins if "://*." not in origin)
    parts = (origin.split("://*", 1) for origin in origins if origin not in exact)
    return exact, tuple((scheme, suffix) for scheme, suffix in parts)


def _canonical(origin: str) -> str:
    origin = origin.lower()
    scheme, separator, host = origin.partition("://")
    return scheme + separator + host.removesuffix(_OWN_PORTS.get(scheme, "\n"))
