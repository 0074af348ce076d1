"""A server under load, as a scenario sees it.

A scenario does not know who started the server. What it connects to was resolved once, before
the run: the address that was found to be loopback is the one that gets the load, and no window
counts a name's look-up.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

from callboard_bench.api import App


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: the name it goes by in requests, and the IP address behind it."""

    host: str
    port: int
    tls: bool = False
    #: Where connections go; empty where ``host`` is an IP address itself.
    ip: str = ""
    #: Whether the certificate has to be valid for ``host``.
    verified: bool = True

    @property
    def authority(self) -> str:
        """The value of a ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def endpoint(self) -> dict[str, Any]:
        """Return the keyword arguments of ``loop.create_connection`` for one connection."""
        where: dict[str, Any] = {"host": self.ip or self.host, "port": self.port}
        if self.tls:
            where |= {"ssl": _context(self.verified), "server_hostname": self.host}
        return where


@cache
def _context(verified: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Target:
    """A server that listens. Without ``pids`` nothing is known of what it costs."""

    name: str
    app: App
    api: Address
    websocket: Address
    #: Its processes on this machine, those that listen first.
    pids: tuple[int, ...] = ()
    #: What the table has to say of it, such as why there are no ``pids``.
    warning: str = ""
    #: Whether a round before this one has put load on the same processes.
    used: bool = False

    @property
    def websocket_path(self) -> str:
        """Where a WebSocket is opened, with the query that every client sends."""
        return f"/app/{self.app.key}?protocol=7&client=callboard-bench&version=1"


@dataclass(frozen=True, slots=True)
class Contender:
    """A name that takes part in a run: every round opens it, and has it as a target meanwhile."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[Target]]
    #: Raises BenchError when there cannot be a first round, which is asked before anybody's.
    check: Callable[[], Awaitable[None]] | None = None
