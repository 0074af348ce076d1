"""Watch one task from how it is now to its end: the feed's hints, and the record behind them.

A service that comes back may do so before its scheduler does, so only the first reading fails at
once; later ones are tried again for as long as waiters bear to be without a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from callboard_scheduler.client.errors import Unavailable, Unreachable
from callboard_scheduler.client.feeds import Feed, Feeds, Hint, Signal
from callboard_scheduler.client.updates import Following, Update

Read = Callable[[], Awaitable[Mapping[str, Any]]]

_READ_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long waiters bear what, in seconds."""

    #: Without a connection, or with one but without an answer.
    outage_seconds: float = 60.0
    #: Without a word about the task, until its record is read: a service may lose an event
    #: without losing the connection.
    silence_seconds: float = 60.0


async def watch(
    task_id: str, read: Read, feeds: Feeds, patience: Patience
) -> AsyncGenerator[Update, None]:
    """Iterate over what happens to a task; ``read`` asks for its record.

    Raises:
        TaskClientError: it cannot be watched any longer, or not at all.
    """
    following = Following()
    # A task that has ended needs no feed.
    for update in following.read(await read()):
        yield update
    if following.ended:
        return
    async with feeds.follow(task_id) as feed:
        while not following.ended:
            if not following.stale:
                for update in await _wait(feed, following, patience.silence_seconds):
                    yield update
            if following.stale:
                for hint in feed.rest():
                    for update in _told(following, hint):
                        yield update
                for update in following.read(await _read_patiently(read, patience)):
                    yield update


async def _wait(feed: Feed, following: Following, silence_seconds: float) -> list[Update]:
    try:
        return _told(following, await feed.get(silence_seconds))
    except TimeoutError:
        following.missed()
        return []


def _told(following: Following, hint: Hint) -> list[Update]:
    if isinstance(hint, Signal):
        following.missed()
        return []
    return following.heard(hint.event, hint.data)


async def _read_patiently(read: Read, patience: Patience) -> Mapping[str, Any]:
    now = asyncio.get_running_loop().time
    end = now() + patience.outage_seconds
    while True:
        try:
            return await read()
        except (Unreachable, Unavailable):
            if now() >= end:
                raise
        await asyncio.sleep(_READ_AGAIN_SECONDS)
