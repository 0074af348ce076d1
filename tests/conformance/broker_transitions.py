"""What every broker promises of firsts and lasts, and of those who may be back in a moment."""

from __future__ import annotations

from callboard_server.brokers import Transition
from conformance.broker_users import (
    ADDED,
    CHANNEL,
    OCCUPIED,
    PRESENCE,
    REMOVED,
    VACATED,
    MakeState,
    Suite,
    seen,
    started,
)

SUITE = Suite()


@SUITE.check
async def the_first_and_the_last_subscription_are_told(make: MakeState) -> None:
    async with started(make) as stand:
        assert seen((await stand.join("1.1")).transitions) == [(OCCUPIED, None)]
        assert seen((await stand.join("1.2")).transitions) == []
        assert seen((await stand.leave("1.1")).transitions) == []
        assert seen((await stand.leave("1.1")).transitions) == [], "it is not there"
        left = await stand.leave("1.2")
        assert seen(left.transitions) == [(VACATED, None)]
        assert not left.transitions[0].provisional
        assert seen((await stand.join("1.1")).transitions) == [(OCCUPIED, None)]


@SUITE.check
async def a_users_first_and_last_in_a_channel_are_told(make: MakeState) -> None:
    async with started(make) as stand:
        joined = await stand.join("1.1", PRESENCE, "ann")
        assert seen(joined.transitions) == [(OCCUPIED, None), (ADDED, "ann")]
        assert seen((await stand.join("1.2", PRESENCE, "ann")).transitions) == []
        assert seen((await stand.join("1.3", PRESENCE, "bob")).transitions) == [(ADDED, "bob")]
        assert seen((await stand.leave("1.1", PRESENCE)).transitions) == []
        assert seen((await stand.leave("1.2", PRESENCE)).transitions) == [(REMOVED, "ann")]
        left = await stand.leave("1.3", PRESENCE)
        assert seen(left.transitions) == [(REMOVED, "bob"), (VACATED, None)]


@SUITE.check
async def joining_twice_is_told_once(make: MakeState) -> None:
    async with started(make) as stand:
        assert len((await stand.join("1.1", PRESENCE, "ann")).transitions) == 2
        again = await stand.join("1.1", PRESENCE, "ann")
        assert (again.transitions, again.subscription_count) == ((), 1)


@SUITE.check
async def no_two_transitions_of_one_channel_have_one_number(make: MakeState) -> None:
    async with started(make) as stand:
        numbers: list[int] = []
        for _ in range(3):
            for cut in (False, True):
                joined = await stand.join("1.1")
                left = await stand.leave("1.1", cut=cut)
                numbers += [each.n for each in (*joined.transitions, *left.transitions)]
        # The return after a cut is none.
        assert len(numbers) == 10
        assert len(set(numbers)) == 10


# Those who were cut off


@SUITE.check
async def who_was_cut_off_has_left_provisionally_until_it_is_settled(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.join("1.1", PRESENCE, "ann")
        left = await stand.leave("1.1", PRESENCE, cut=True)
        assert seen(left.transitions) == [(REMOVED, "ann"), (VACATED, None)]
        for transition in left.transitions:
            assert transition.provisional
            assert await stand.broker.settle(transition)
            assert not await stand.broker.settle(transition), "settled already"
        joined = await stand.join("1.1", PRESENCE, "ann")
        assert seen(joined.transitions) == [(OCCUPIED, None), (ADDED, "ann")]


@SUITE.check
async def a_return_undoes_what_is_not_settled(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.join("1.1", PRESENCE, "ann")
        left = await stand.leave("1.1", PRESENCE, cut=True)
        # It comes back with a new socket.
        assert seen((await stand.join("1.2", PRESENCE, "ann")).transitions) == []
        for transition in left.transitions:
            assert not await stand.broker.settle(transition)
        later = await stand.leave("1.2", PRESENCE)
        assert seen(later.transitions) == [(REMOVED, "ann"), (VACATED, None)]


@SUITE.check
async def only_the_latest_of_several_cuts_can_be_settled(make: MakeState) -> None:
    async with started(make) as stand:
        cuts: list[Transition] = []
        for number in range(3):
            await stand.join(f"1.{number}")
            cuts += (await stand.leave(f"1.{number}", cut=True)).transitions
        assert [await stand.broker.settle(cut) for cut in cuts] == [False, False, True]


@SUITE.check
async def another_users_arrival_undoes_the_channels_end_and_not_the_users(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.join("1.1", PRESENCE, "ann")
        removed, vacated = (await stand.leave("1.1", PRESENCE, cut=True)).transitions
        assert seen((await stand.join("1.2", PRESENCE, "bob")).transitions) == [(ADDED, "bob")]
        assert await stand.broker.settle(removed)
        assert not await stand.broker.settle(vacated)


@SUITE.check
async def a_return_elsewhere_undoes_nothing(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.join("1.1")
        await stand.join("1.1", app="other")
        (here,) = (await stand.leave("1.1", cut=True)).transitions
        (other,) = (await stand.leave("1.1", cut=True, app="other")).transitions
        assert seen((await stand.join("1.1", CHANNEL + "-2")).transitions) == [(OCCUPIED, None)]
        assert await stand.broker.settle(here)
        assert seen((await stand.join("1.1", app="other")).transitions) == []
        assert not await stand.broker.settle(other)


@SUITE.check
async def one_of_two_connections_that_is_cut_off_ends_nothing(make: MakeState) -> None:
    async with started(make) as stand:
        for socket in ("1.1", "1.2"):
            await stand.join(socket, PRESENCE, "ann")
        assert (await stand.leave("1.1", PRESENCE, cut=True)).transitions == ()
        left = await stand.leave("1.2", PRESENCE)
        assert [transition.provisional for transition in left.transitions] == [False, False]
