"""Whether a server knows who is where: what it says of its channels, and what it delivers.

Asked once nothing changes any more. A channel that it still calls occupied though nobody is on
it is a leak, and a subscriber that it forgot hears nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from typing import Any, Final

import orjson

from callboard_bench.api import get, post
from callboard_bench.clients.refusals import refusal
from callboard_bench.clock import monotonic_ns
from callboard_bench.keepalive import KeepAlive
from callboard_bench.stamps import EVENT, stamped_data
from callboard_bench.targets.target import Target
from callboard_bench.websocket import Unexpected

#: Channels of one trigger, by the protocol.
_CHANNELS_AT_ONCE: Final = 100
_MESSAGE_BYTES: Final = 220
#: An unsubscription has no answer, so it may take a moment to show.
_SETTLE_SECONDS: Final = 5.0
_ASK_AGAIN_SECONDS: Final = 0.1


async def wrongly_occupied(
    target: Target, prefixes: Sequence[str], occupied: Set[str]
) -> list[str]:
    """Return what the server's list of occupied channels has wrong, in words.

    Args:
        prefixes: of the names that this run has used, and nobody else.
        occupied: the channels that somebody is on.

    Raises:
        OSError, Unexpected: the server did not answer.
    """
    connection = await KeepAlive.to(target.api)
    try:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLE_SECONDS
        while True:
            listed = await _listed(connection, target, prefixes)
            if listed == occupied or loop.time() > deadline:
                break
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
    finally:
        connection.close()
    found = (
        (listed - occupied, "that nobody is on it calls occupied"),
        (occupied - listed, "with subscribers it does not list"),
    )
    return [
        f"{len(names):,} channels {words}, such as {min(names)!r}"
        for names, words in found
        if names
    ]


async def publish_to(target: Target, channels: Sequence[str], count: int) -> None:
    """Publish so many numbered messages on each of these channels.

    Raises:
        OSError: the server closed the connection, or nobody listens.
        Unexpected: it did not take one.
    """
    connection = await KeepAlive.to(target.api)
    where = target.api.host, target.api.port
    try:
        for number in range(count):
            data = stamped_data(number, monotonic_ns(), "", _MESSAGE_BYTES)
            for start in range(0, len(channels), _CHANNELS_AT_ONCE):
                some = channels[start : start + _CHANNELS_AT_ONCE]
                body = orjson.dumps({"name": EVENT, "channels": some, "data": data})
                status, said = await connection.request(post(target.app, *where, "events", body))
                if status != 200:
                    raise refusal(status, said)
    finally:
        connection.close()


async def _listed(connection: KeepAlive, target: Target, prefixes: Sequence[str]) -> Set[str]:
    listed: set[str] = set()
    where = target.api.host, target.api.port
    for prefix in prefixes:
        request = get(target.app, *where, "channels", {"filter_by_prefix": prefix})
        status, said = await connection.request(request)
        channels = _channels(said) if status == 200 else None
        if channels is None:
            raise Unexpected(f"GET /channels was answered with {status} {said[:200]!r}")
        listed.update(name for name in channels if name.startswith(prefix))
    return listed


def _channels(said: bytes) -> Set[str] | None:
    """Return the names in an answer; some servers give an empty list for no channels."""
    try:
        channels: Any = orjson.loads(said)["channels"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    return set(channels)
