"""The scheduler's only view of a Pusher service.

Two implementations: embedded in a server (handed over by whoever puts server and scheduler
together) and :mod:`remote`, over any Pusher-compatible service. One suite runs on both
(``tests/conformance/transport.py``). Rules:

1. Nothing is delivered for certain: what is sent may be lost, and :class:`Listener` calls may be
   late. Only order within one worker's channel is kept, in both directions.
2. Every call is made on the loop, and none waits.
3. A transport belongs to one app.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol

import msgspec

from callboard_protocol.reserved import WORKER_EVENT_BYTES, WORKER_EVENTS_PER_SECOND
from callboard_scheduler.wire import Limits


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a service bears and how soon it tells of a loss; sent to workers in ``welcome``."""

    hb_ms: int
    lease_ms: int
    grace_ms: int
    #: How long an assignment may stay unheard before it is sent again, and how often it is sent.
    accept_ms: int
    sends: int
    #: Shortest time between two progress reports of a task.
    progress_ms: int
    limits: Limits
    #: Arguments and results of more bytes go by reference.
    inline_bytes: int


#: The same host or network, our own server.
OWN = Profile(
    hb_ms=3_000,
    lease_ms=10_000,
    grace_ms=1_500,
    accept_ms=500,
    sends=3,
    progress_ms=50,
    limits=Limits(bytes=WORKER_EVENT_BYTES, rate=WORKER_EVENTS_PER_SECOND),
    inline_bytes=64 * 1024,
)

#: Any other self-hosted service: its documented defaults are taken for granted.
FOREIGN = Profile(
    hb_ms=10_000,
    lease_ms=30_000,
    grace_ms=3_000,
    accept_ms=2_000,
    sends=3,
    progress_ms=250,
    limits=Limits(bytes=9_500, rate=8),
    inline_bytes=6 * 1024,
)

#: Hosted Pusher, where each message is paid for.
HOSTED = Profile(
    hb_ms=30_000,
    lease_ms=90_000,
    grace_ms=5_000,
    accept_ms=5_000,
    sends=3,
    progress_ms=1_000,
    limits=Limits(bytes=9_500, rate=8),
    inline_bytes=6 * 1024,
)


class Sent(enum.Enum):
    """What became of an event that was handed over."""

    OK = "ok"
    #: Nobody is subscribed to that worker's channel.
    ABSENT = "absent"
    #: The service does not take it: too large, or a limit is reached.
    REFUSED = "refused"


class Cause(enum.Enum):
    """How a worker's subscription ended."""

    UNSUBSCRIBED = "unsubscribed"
    #: Its connection is gone, as when a process was killed.
    DISCONNECTED = "disconnected"


class Listener(Protocol):
    """The scheduler, as a transport sees it; called on the loop, must not block."""

    def received(self, channel: str, socket_id: str, data: str) -> None:
        """A worker sent a ``client-sched`` event on its channel."""

    def joined(self, channel: str, socket_id: str) -> None:
        """Somebody subscribed to a worker's channel."""

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        """A subscription to a worker's channel has ended."""

    def watching(self, channel: str) -> None:
        """Somebody subscribed to a feed, and may have missed what was not published on it.

        Told only where :meth:`Transport.watched` knows an answer.
        """

    def deaf(self) -> None:
        """From now on nothing is heard: leases stand still until :meth:`hearing`."""

    def hearing(self) -> None:
        """What happens is heard again."""


class Transport(Protocol):
    """One app of a Pusher service."""

    @property
    def profile(self) -> Profile:
        """What the service bears; does not change."""

    @property
    def hears_late(self) -> bool:
        """Whether a worker may have spoken before it is told as joined; does not change."""

    async def start(self, listener: Listener) -> None:
        """Connect and listen to the workers of a namespace; present ones are told as joined."""

    async def stop(self) -> None:
        """Stop listening; what was sent is still delivered. Safe to call twice or unstarted."""

    def send(self, channel: str, event: str, data: str) -> Sent:
        """Send an event to a worker's channel or a feed; never waits."""

    def publish(self, event: Mapping[str, object]) -> Sent:
        """Send an ordinary event as ``POST events`` would: a validated trigger body."""

    def watched(self, channel: str) -> bool | None:
        """Whether anyone is subscribed to a feed; None if that is not known."""

    def disconnect(self, channel: str) -> None:
        """Cut off whoever is subscribed to a worker's channel, if the service can do that."""
