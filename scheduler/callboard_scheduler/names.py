"""The names of the scheduler's channels: ``{kind}-sched.{namespace}.{room}.{whose}``.

Dots separate, so a namespace has none; a worker's and a task's id may have any character that a
channel's name may have. The reserved patterns are in :mod:`callboard_protocol.reserved`.
"""

from __future__ import annotations

from typing import Final

from callboard_protocol.reserved import WORKER_EVENT

#: What the scheduler says to a worker, and what a worker says.
DOWN_EVENT: Final = "sched"
UP_EVENT: Final = WORKER_EVENT

#: The name and the queue of tasks that publish an ordinary event; the scheduler runs them itself.
PUBLISH: Final = "callboard.publish"
PUBLISH_QUEUE: Final = "callboard.events"


def worker_prefix(namespace: str) -> str:
    """Return what every worker's channel of the namespace begins with."""
    return f"private-sched.{namespace}.w."


def worker_channel(namespace: str, worker_id: str) -> str:
    """Return the channel that one worker and the scheduler talk on."""
    return worker_prefix(namespace) + worker_id


def pool_channel(namespace: str, pool: str) -> str:
    """Return the presence channel of a pool of workers."""
    return f"presence-sched.{namespace}.pool.{pool}"


def feed_prefix(namespace: str) -> str:
    """Return what every feed of the namespace begins with."""
    return f"private-cache-sched.{namespace}."


def task_channel(namespace: str, task_id: str) -> str:
    """Return the feed of one task."""
    return f"private-cache-sched.{namespace}.t.{task_id}"


def queue_channel(namespace: str, queue: str) -> str:
    """Return the feed of one queue's numbers."""
    return f"private-cache-sched.{namespace}.q.{queue}"


def fleet_channel(namespace: str) -> str:
    """Return the feed of the fleet: workers and their slots."""
    return f"private-cache-sched.{namespace}.fleet"
