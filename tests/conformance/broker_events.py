"""Events and subscriptions: their order, and who is first and last."""

from __future__ import annotations

import asyncio

from callboard_server.brokers import Message
from conformance.node import APP, CHANNEL, MakeBroker, Suite, started

SUITE = Suite()

# Events


@SUITE.check
async def an_event_arrives_as_it_was_published_with_the_serial_that_was_answered(
    make: MakeBroker,
) -> None:
    async with started(make) as node:
        await node.join("1.1")
        payload = '{"event":"e","channel":"channel","data":"ä 漢 \\u0000"}'.encode()
        message = Message(APP, CHANNEL, payload, excluded="1.1")
        serials = await node.broker.publish([message])
        assert await node.listener.hear() == (message, serials[0])
        await node.quiet()


@SUITE.check
async def events_arrive_in_the_order_of_their_serials(make: MakeBroker) -> None:
    async with started(make) as node:
        for channel in ("a", "b"):
            await node.join("1.1", channel)
        sent = [Message(APP, "ab"[number % 2], str(number).encode()) for number in range(30)]
        serials = list(await node.broker.publish(sent[:10]))
        for message in sent[10:20]:
            serials += await node.broker.publish([message])
        serials += await node.broker.publish(sent[20:])
        heard = [await node.listener.hear() for _ in sent]
        assert heard == list(zip(sent, serials, strict=True))
        assert len({serial.epoch for serial in serials}) == 1
        numbers = [serial.n for serial in serials]
        assert numbers == sorted(set(numbers))


@SUITE.check
async def an_event_without_subscribers_gets_its_serial_too(make: MakeBroker) -> None:
    async with started(make) as node:
        first = await node.publish(b"1", "nobody")
        second = await node.publish(b"2", "nobody")
        assert first.epoch == second.epoch
        assert first.n < second.n
        assert list(await node.broker.publish([])) == []


@SUITE.check
async def concurrent_publishers_agree_with_the_listener_on_the_order(make: MakeBroker) -> None:
    async with started(make) as node:
        await node.join("1.1")
        payloads = [str(number).encode() for number in range(20)]
        serials = await asyncio.gather(*(node.publish(payload) for payload in payloads))
        by_serial = sorted(zip(serials, payloads, strict=True))
        assert [await node.payload() for _ in payloads] == [payload for _, payload in by_serial]


# Joining and leaving


@SUITE.check
async def only_the_first_to_come_is_first_and_only_the_last_to_go_is_last(
    make: MakeBroker,
) -> None:
    async with started(make) as node:
        for _ in range(2):
            joined = [await node.join(f"1.{number}") for number in range(3)]
            assert [(j.first, j.subscription_count) for j in joined] == [
                (True, 1),
                (False, 2),
                (False, 3),
            ]
            assert [j.members for j in joined] == [None, None, None]
            left = [await node.leave(f"1.{number}") for number in range(3)]
            assert left == [(False, 2), (False, 1), (True, 0)]
        await node.quiet()


@SUITE.check
async def of_many_at_once_one_is_first_and_one_is_last(make: MakeBroker) -> None:
    async with started(make) as node:
        sockets = [f"1.{number}" for number in range(20)]
        joined = await asyncio.gather(*(node.join(socket) for socket in sockets))
        assert sum(j.first for j in joined) == 1
        assert sorted(j.subscription_count for j in joined) == list(range(1, 21))
        left = await asyncio.gather(*(node.leave(socket) for socket in sockets))
        assert sum(last for last, _ in left) == 1
        assert sorted(count for _, count in left) == list(range(20))


@SUITE.check
async def a_join_knows_its_place_among_the_events(make: MakeBroker) -> None:
    async with started(make) as node:
        await node.join("1.1")
        before = [await node.publish(b"before") for _ in range(3)]
        joined = await node.join("1.2")
        after = [await node.publish(b"after") for _ in range(3)]
        assert {joined.serial.epoch} == {serial.epoch for serial in before + after}
        assert max(before).n <= joined.serial.n < min(after).n


@SUITE.check
async def leaving_what_one_is_not_in_has_no_effect(make: MakeBroker) -> None:
    async with started(make) as node:
        assert await node.leave("1.1") == (False, 0)
        await node.join("1.1")
        await node.join("1.2")
        assert await node.leave("1.3") == (False, 2)
        assert await node.leave("1.1") == (False, 1)
        assert await node.leave("1.1") == (False, 1)
        assert await node.leave("1.2") == (True, 0)
        assert await node.leave("1.2") == (False, 0)
        await node.quiet()
