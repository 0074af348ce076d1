"""A broker's own life, the apps it keeps apart, and how it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from callboard_protocol.messages import Member
from callboard_protocol.rest import ChannelCounts
from callboard_server.brokers import Message, Subscription
from callboard_server.stepping import step
from conformance.node import APP, PATIENCE_SECONDS, PRESENCE, MakeBroker, Suite, started

SUITE = Suite()

Call = Callable[[], Coroutine[Any, Any, object]]

# Apps and their connections


@SUITE.check
async def apps_share_nothing(make: MakeBroker) -> None:
    async with started(make) as node:
        await node.join("1.1", PRESENCE, "ann")
        joined = await node.join("1.1", PRESENCE, "bob", app="other", limit=1)
        assert (joined.first, dict(joined.members or {})) == (True, {"bob": None})
        assert [(await node.listener.hear())[0].app_id for _ in range(2)] == [APP, "other"]
        assert list(await node.broker.users(APP, PRESENCE)) == ["ann"]
        assert list(await node.broker.users("other", PRESENCE)) == ["bob"]
        assert await node.leave("1.1", PRESENCE, app="other") == (True, 0)
        assert await node.broker.channels("other") == {}
        assert await node.counts(PRESENCE) == [ChannelCounts(1, 1)]


@SUITE.check
async def connections_are_counted_against_the_quota_of_their_app(make: MakeBroker) -> None:
    async with started(make) as node:
        connect = node.broker.connect
        assert [await connect(APP, 2) for _ in range(4)] == [True, True, False, False]
        assert await connect("other", 2)
        await node.broker.disconnect(APP)
        assert [await connect(APP, 2) for _ in range(2)] == [True, False]
        # Those without a quota count as well.
        assert await connect(APP, None)
        assert not await connect(APP, 3)
        assert await connect(APP, 4)


@SUITE.check
async def many_at_once_do_not_exceed_a_quota(make: MakeBroker) -> None:
    async with started(make) as node:
        granted = await asyncio.gather(*(node.broker.connect(APP, 7) for _ in range(20)))
        assert sum(granted) == 7


# The broker's own life


@SUITE.check
async def stopping_is_safe_twice_and_unstarted(make: MakeBroker) -> None:
    async with make() as broker:
        await broker.stop()
    async with started(make) as node:
        await node.join("1.1")
        await node.broker.stop()
        await node.broker.stop()


@SUITE.check
async def a_call_may_begin_outside_a_task(make: MakeBroker) -> None:
    """As the server makes them: stepped in a callback, a task only from the first suspension."""
    async with started(make) as node:
        subscription = Subscription(APP, PRESENCE, "1.1", Member("ann"))
        calls: list[Call] = [
            lambda: node.broker.connect(APP, None),
            lambda: node.broker.join(subscription),
            lambda: node.broker.publish([Message(APP, PRESENCE, b"e")]),
            lambda: node.broker.counts(APP, [PRESENCE]),
            lambda: node.broker.users(APP, PRESENCE),
            lambda: node.broker.channels(APP),
            lambda: node.broker.leave(subscription),
            lambda: node.broker.disconnect(APP),
        ]
        for call in calls:
            stepped = await asyncio.wait_for(_step_in_callback(call), PATIENCE_SECONDS)
            if isinstance(stepped, asyncio.Task):
                await asyncio.wait_for(stepped, PATIENCE_SECONDS)
        assert await node.counts(PRESENCE) == [ChannelCounts(0, 0)]


async def _step_in_callback(call: Call) -> object:
    """Step the call's coroutine where no task is running."""
    loop = asyncio.get_running_loop()
    stepped: asyncio.Future[object] = loop.create_future()

    def run() -> None:
        assert asyncio.current_task() is None
        try:
            stepped.set_result(step(call()))
        except Exception as error:
            stepped.set_exception(error)

    loop.call_soon(run)
    return await stepped
