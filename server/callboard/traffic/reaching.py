"""Whether a service is there, and why it is not, in words for people."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import aiohttp

CONNECT_SECONDS: Final = 10.0
_PORTS: Final = {"http": 80, "https": 443}


def reason(error: Exception) -> str:
    """Return why nobody was reached, without what a library says around it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        if isinstance(error, socket.gaierror):
            return error.strerror or "unknown host"
        if error.errno is not None:
            return os.strerror(error.errno)
    return str(error) or f"no answer within {CONNECT_SECONDS:g} s"


async def why_absent(base: str) -> str | None:
    """Return why nobody takes a connection at a service's URL, None if somebody does."""
    parts = urlsplit(base)
    try:
        port = parts.port or _PORTS[parts.scheme]
        async with asyncio.timeout(CONNECT_SECONDS):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
            return await _first(list(dict.fromkeys(str(entry[4][0]) for entry in found)), port)
    except (OSError, ValueError) as error:
        return reason(error)


async def _first(addresses: list[str], port: int) -> str | None:
    """Connect to one after the other until one takes it; return what was wrong with the last."""
    why = None
    for address in addresses:
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError as error:
            why = reason(error)
        else:
            writer.close()
            return None
    return why
