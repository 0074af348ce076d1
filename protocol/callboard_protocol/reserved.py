"""The channels that belong to a task scheduler on the same service (``sched/1``).

A worker's channel is its identity: whoever subscribes to it is that worker. So on a server with a
scheduler the ordinary signature of a private channel, which an application's auth endpoint may
give to anyone who is logged in, does not open it; :func:`worker_key` signs for it instead.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from callboard_protocol.signatures import sign

#: The one client event that workers send.
WORKER_EVENT: Final = "client-sched"
#: Bytes of its data in UTF-8, and events a second for one connection, on a server of ours.
WORKER_EVENT_BYTES: Final = 100_000
WORKER_EVENTS_PER_SECOND: Final = 1_000

_RESERVED: Final = ("private-sched.", "private-cache-sched.", "presence-sched.")
_WORKER = re.compile(r"private-sched\.([^.]+)\.w\.(.+)")


def is_reserved(channel: str) -> bool:
    """Whether the channel is one of the scheduler's."""
    return channel.startswith(_RESERVED)


def worker_of(channel: str) -> tuple[str, str] | None:
    """Return namespace and worker id of a worker's channel, None for any other channel."""
    match = _WORKER.fullmatch(channel)
    return (match[1], match[2]) if match else None


@lru_cache(maxsize=64)
def worker_key(secret: str) -> str:
    """Return the secret that subscriptions to workers' channels are signed with."""
    return sign(secret, "sched/1 worker channel")
