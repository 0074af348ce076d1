"""Keeps a channel subscribed, and tells a refusal that may pass from one that will not.

The client asks again after each reconnect by itself. What it gives up is a channel that was
refused: by a service, or because the auth endpoint did not answer as it should.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from callboard_client.backoff import Backoff
from callboard_client.channel import Channel
from callboard_client.connection import Client
from callboard_client.errors import ClientClosed, ConnectionFailed, SubscriptionError
from callboard_client.events import Event
from callboard_client.timings import Timings
from callboard_protocol.refusals import RetryAdvice
from callboard_scheduler.worker.errors import WorkerRefused

logger = logging.getLogger("callboard_scheduler.worker")

#: Workers come back sooner than browsers, and ask sooner whether anyone is there.
TIMINGS: Final = Timings(
    activity_seconds=10.0,
    pong_seconds=5.0,
    unavailable_seconds=3.0,
    first_retry_seconds=0.25,
    max_retry_seconds=10.0,
    close_seconds=1.0,
)


async def keep_subscribed(
    client: Client,
    name: str,
    bind: Callable[[Channel], None],
    *,
    jitter: Callable[[], float],
    hint: str,
) -> None:
    """Subscribe, and once more whenever that is refused for a while; return when closed.

    ``bind`` is called with each new channel object before it is subscribed. ``hint`` says what to
    look at when it is refused for good.

    Raises:
        WorkerRefused: it is refused in a way that another attempt would not change.
    """
    pauses = Backoff(TIMINGS.first_retry_seconds, TIMINGS.max_retry_seconds, jitter)
    loop = asyncio.get_running_loop()
    while True:
        refused = asyncio.Event()
        channel = client.channel(name)
        bind(channel)
        _set_at(channel, "pusher:subscription_error", refused)
        began_at = loop.time()
        try:
            await client.subscribe(name)
            # After a reconnect it may be refused behind our back.
            await refused.wait()
        except ConnectionFailed as error:
            raise WorkerRefused(str(error)) from error
        except ClientClosed:
            return
        except SubscriptionError as error:
            if not _may_pass(error):
                # What the service says is for whoever signs by hand.
                raise WorkerRefused(f"{hint} ({error})") from error
            logger.warning("%s; trying on", error)
        await asyncio.sleep(pauses.delay(RetryAdvice.BACK_OFF, loop.time() - began_at))


def _set_at(channel: Channel, name: str, happened: asyncio.Event) -> None:
    def heard(event: Event) -> None:
        happened.set()

    channel.bind(name, heard)


def _may_pass(refusal: SubscriptionError) -> bool:
    """Whether another attempt might succeed: the endpoint failed, or was not reached."""
    status = refusal.status or 0
    return refusal.__cause__ is not None or status == 429 or 500 <= status < 600
