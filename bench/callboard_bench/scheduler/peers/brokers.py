"""What the queue of a peer is kept in, for one round, and what that promises.

Three classes of durability, by what an acknowledged task survives:

=========  =====================  ===========================  ==================================
class      the end of             Redis                        PostgreSQL
=========  =====================  ===========================  ==================================
``power``  the power              AOF, ``appendfsync always``  ``synchronous_commit=on``
``crash``  a process              AOF, ``everysec``            ``synchronous_commit=off``
``none``   no more than a worker  no AOF                       the same, and ``fsync=off``
=========  =====================  ===========================  ==================================

Ours is of the first class: SQLite with ``synchronous=FULL``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callboard_bench.scheduler.peers.postgresql_server import postgresql_server
from callboard_bench.scheduler.peers.programs.program import POSTGRESQL, REDIS
from callboard_bench.scheduler.peers.redis_server import redis_server

POWER: Final = "power"
CRASH: Final = "crash"
NONE: Final = "none"

#: What an acknowledged task may have to survive.
DURABILITIES: Final = (POWER, CRASH, NONE)

_REDIS: Final = {
    POWER: ("appendonly yes", "appendfsync always"),
    CRASH: ("appendonly yes", "appendfsync everysec"),
    NONE: ("appendonly no",),
}
_POSTGRESQL: Final = {
    POWER: ("synchronous_commit=on",),
    CRASH: ("synchronous_commit=off",),
    NONE: ("synchronous_commit=off", "fsync=off"),
}
_SETTINGS: Final = {REDIS: _REDIS, POSTGRESQL: _POSTGRESQL}


@dataclass(frozen=True, slots=True)
class Broker:
    """A Redis or PostgreSQL that runs."""

    pid: int
    url: str


@asynccontextmanager
async def broker(kind: str, durability: str, directory: Path) -> AsyncIterator[Broker]:
    """Start one, empty, and end it.

    Args:
        directory: for its log and, where it may be there, for its data.

    Raises:
        ServerFailed: it is not installed, or does not start.
    """
    settings = _SETTINGS[kind][durability]
    server = redis_server if kind == REDIS else postgresql_server
    async with server(directory, settings) as (pid, url):
        yield Broker(pid, url)


def described(kind: str, durability: str) -> str:
    """Return what keeps the tasks, for the report: ``Redis, appendfsync always``."""
    return f"{kind} with {', '.join(_SETTINGS[kind][durability])}"
