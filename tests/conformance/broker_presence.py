"""Presence: users instead of connections, and the answers about both."""

from __future__ import annotations

import asyncio

import pytest

from callboard_protocol import messages
from callboard_protocol.messages import Member
from callboard_protocol.rest import ChannelCounts
from callboard_server.brokers import Message, PresenceFull
from conformance.node import APP, CHANNEL, PRESENCE, MakeBroker, Suite, started

SUITE = Suite()

# Members


@SUITE.check
async def a_newcomer_gets_the_whole_roster_in_order_of_arrival(make: MakeBroker) -> None:
    async with started(make) as node:
        ann = await node.join("1.1", PRESENCE, "ann", b'{"name":"Ann"}')
        bob = await node.join("1.2", PRESENCE, "bob")
        assert list((ann.members or {}).items()) == [("ann", b'{"name":"Ann"}')]
        assert list((bob.members or {}).items()) == [("ann", b'{"name":"Ann"}'), ("bob", None)]
        assert (bob.first, bob.subscription_count) == (False, 2)


@SUITE.check
async def a_user_is_announced_once_with_the_connection_that_brought_it_left_out(
    make: MakeBroker,
) -> None:
    async with started(make) as node:
        await node.join("1.1", PRESENCE, "ann", b'{"name":"Ann"}')
        added = messages.member_added(PRESENCE, Member("ann", b'{"name":"Ann"}'))
        message, _ = await node.listener.hear()
        assert message == Message(APP, PRESENCE, added, excluded="1.1")
        second = await node.join("1.2", PRESENCE, "ann")
        assert second.subscription_count == 2
        await node.quiet()


@SUITE.check
async def a_user_is_gone_with_its_last_connection(make: MakeBroker) -> None:
    async with started(make) as node:
        for socket in ("1.1", "1.2"):
            await node.join(socket, PRESENCE, "ann")
        await node.join("1.3", PRESENCE, "bob")
        for _ in ("ann", "bob"):
            await node.listener.hear()
        assert await node.leave("1.1", PRESENCE) == (False, 2)
        await node.quiet()
        assert await node.leave("1.2", PRESENCE) == (False, 1)
        message, _ = await node.listener.hear()
        removed = messages.member_removed(PRESENCE, "ann")
        assert message == Message(APP, PRESENCE, removed, excluded="1.2")
        assert await node.leave("1.2", PRESENCE) == (False, 1)
        await node.quiet()


@SUITE.check
async def info_is_frozen_while_the_user_is_present(make: MakeBroker) -> None:
    async with started(make) as node:
        await node.join("1.1", PRESENCE, "ann", b"1")
        assert (await node.join("1.2", PRESENCE, "ann", b"2")).members == {"ann": b"1"}
        await node.leave("1.1", PRESENCE)
        assert (await node.join("1.3", PRESENCE, "bob")).members == {"ann": b"1", "bob": None}
        await node.leave("1.2", PRESENCE)
        assert (await node.join("1.4", PRESENCE, "ann", b"3")).members == {"bob": None, "ann": b"3"}


@SUITE.check
async def arrivals_and_departures_have_their_place_among_the_events(make: MakeBroker) -> None:
    async with started(make) as node:
        await node.join("1.1", PRESENCE, "ann")
        first = await node.publish(b"1", PRESENCE)
        bob = await node.join("1.2", PRESENCE, "bob")
        second = await node.publish(b"2", PRESENCE)
        await node.leave("1.2", PRESENCE)
        third = await node.publish(b"3", PRESENCE)
        heard = [await node.listener.hear() for _ in range(6)]
        events = [message.payload for message, _ in heard]
        assert events[1::2] == [b"1", b"2", b"3"]
        assert events[2] == messages.member_added(PRESENCE, Member("bob"))
        assert events[4] == messages.member_removed(PRESENCE, "bob")
        serials = [serial for _, serial in heard]
        assert serials[1::2] == [first, second, third]
        assert serials == sorted(serials)
        # Who is on the roster is not announced to the newcomer once more.
        assert serials[2].n <= bob.serial.n < second.n


@SUITE.check
async def a_full_channel_joins_nobody(make: MakeBroker) -> None:
    async with started(make) as node:
        for number in range(2):
            await node.join(f"1.{number}", PRESENCE, f"u{number}", limit=2)
            await node.listener.hear()
        with pytest.raises(PresenceFull):
            await node.join("1.9", PRESENCE, "u9", limit=2)
        assert await node.counts(PRESENCE) == [ChannelCounts(2, 2)]
        assert list(await node.broker.users(APP, PRESENCE)) == ["u0", "u1"]
        assert await node.leave("1.9", PRESENCE) == (False, 2)
        await node.quiet()
        # A user who is there already takes no place, and one who leaves makes one.
        await node.join("1.3", PRESENCE, "u0", limit=2)
        await node.leave("1.1", PRESENCE)
        joined = await node.join("1.9", PRESENCE, "u9", limit=2)
        assert list(joined.members or ()) == ["u0", "u9"]


@SUITE.check
async def many_at_once_do_not_overfill_a_channel(make: MakeBroker) -> None:
    async with started(make) as node:
        joins = (node.join(f"1.{n}", PRESENCE, f"u{n}", limit=5) for n in range(20))
        outcomes = await asyncio.gather(*joins, return_exceptions=True)
        assert sum(isinstance(outcome, PresenceFull) for outcome in outcomes) == 15
        assert await node.counts(PRESENCE) == [ChannelCounts(5, 5)]


# Questions


@SUITE.check
async def counts_are_answered_in_the_order_asked(make: MakeBroker) -> None:
    async with started(make) as node:
        for socket, user in (("1.1", "ann"), ("1.2", "ann"), ("1.3", "bob")):
            await node.join(socket, PRESENCE, user)
            await node.join(socket)
        assert list(await node.counts("none", PRESENCE, CHANNEL, "presence-none", PRESENCE)) == [
            ChannelCounts(0, None),
            ChannelCounts(3, 2),
            ChannelCounts(3, None),
            ChannelCounts(0, 0),
            ChannelCounts(3, 2),
        ]
        assert list(await node.counts()) == []


@SUITE.check
async def channels_are_those_occupied_with_the_prefix(make: MakeBroker) -> None:
    async with started(make) as node:
        assert await node.broker.channels(APP) == {}
        for channel in ("room-1", "room-2", "a-room-"):
            await node.join("1.1", channel)
        await node.join("1.1", "presence-room-1", "ann")
        rooms = {"room-1": ChannelCounts(1, None), "room-2": ChannelCounts(1, None)}
        others = {"a-room-": ChannelCounts(1, None), "presence-room-1": ChannelCounts(1, 1)}
        assert await node.broker.channels(APP) == rooms | others
        assert await node.broker.channels(APP, "room-") == rooms
        assert await node.broker.channels(APP, "none") == {}
        await node.leave("1.1", "room-1")
        await node.leave("1.1", "presence-room-1")
        assert set(await node.broker.channels(APP)) == {"room-2", "a-room-"}


@SUITE.check
async def users_are_distinct_and_in_order_of_arrival(make: MakeBroker) -> None:
    async with started(make) as node:
        assert list(await node.broker.users(APP, PRESENCE)) == []
        for socket, user in (("1.1", "bob"), ("1.2", "ann"), ("1.3", "bob"), ("1.4", "eve")):
            await node.join(socket, PRESENCE, user)
        assert list(await node.broker.users(APP, PRESENCE)) == ["bob", "ann", "eve"]
        await node.leave("1.1", PRESENCE)
        assert list(await node.broker.users(APP, PRESENCE)) == ["bob", "ann", "eve"]
        await node.leave("1.3", PRESENCE)
        await node.join("1.5", PRESENCE, "bob")
        assert list(await node.broker.users(APP, PRESENCE)) == ["ann", "eve", "bob"]


@SUITE.check
async def an_answer_stays_as_it_was(make: MakeBroker) -> None:
    """Snapshots, and not views of what goes on changing."""
    async with started(make) as node:
        joined = await node.join("1.1", PRESENCE, "ann")
        channels = await node.broker.channels(APP)
        users = await node.broker.users(APP, PRESENCE)
        counts = await node.counts(PRESENCE)
        await node.join("1.2", PRESENCE, "bob")
        await node.leave("1.1", PRESENCE)
        assert joined.members == {"ann": None}
        assert channels == {PRESENCE: ChannelCounts(1, 1)}
        assert list(users) == ["ann"]
        assert list(counts) == [ChannelCounts(1, 1)]
