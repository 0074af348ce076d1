"""What every broker promises of signed-in users and of the last events of cache channels.

The contracts are those of ``callboard_server.brokers``. Each check is a coroutine function that
takes a factory: an asynchronous context manager of a broker that is not started and shares its
state with nobody. :data:`SUITE` has them all::

    @pytest.mark.parametrize("check", broker_users.SUITE, ids=lambda check: check.__name__)
    async def test_my_broker(check):
        await check(make_my_broker)

What is told may be told later than the call that caused it has returned, so nothing here looks
at it without waiting, and silence is shown by a fence: a user who signs in afterwards, and must
be the next one heard of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from callboard_protocol.messages import Member
from callboard_server.brokers import (
    Joined,
    Left,
    Message,
    Occurrence,
    Serial,
    SignedIn,
    Subscription,
    Transition,
)
from callboard_server.hub import State

PATIENCE_SECONDS: Final = 10.0
APP, CHANNEL, PRESENCE, CACHE = "app", "channel", "presence-channel", "cache-channel"
OCCUPIED, VACATED = Occurrence.CHANNEL_OCCUPIED, Occurrence.CHANNEL_VACATED
ADDED, REMOVED = Occurrence.MEMBER_ADDED, Occurrence.MEMBER_REMOVED

MakeState = Callable[[], AbstractAsyncContextManager[State]]
Check = Callable[[MakeState], Awaitable[None]]
Change = tuple[str, str, bool]


class Suite(list[Check]):
    """The checks of one module, in the order in which they are written."""

    def check(self, function: Check) -> Check:
        self.append(function)
        return function


SUITE = Suite()


class Listener:
    """A process that notes what it is told of users, and ignores events."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[tuple[Change, Serial]] = asyncio.Queue()
        self.terminated: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.expelled: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def receive(self, message: Message, serial: Serial) -> None:
        pass

    def user_changed(self, app_id: str, user_id: str, online: bool, serial: Serial) -> None:
        self.changes.put_nowait(((app_id, user_id, online), serial))

    def terminate(self, app_id: str, user_id: str) -> None:
        self.terminated.put_nowait((app_id, user_id))

    def expel(self, app_id: str, channel: str) -> None:
        self.expelled.put_nowait((app_id, channel))


class Stand:
    """A started broker and its listener."""

    def __init__(self, broker: State) -> None:
        self.broker = broker
        self.listener = Listener()

    # Users

    async def sign_in(
        self, socket_id: str, user_id: str, *watchlist: str, app: str = APP
    ) -> SignedIn:
        return await self.broker.sign_in(app, socket_id, user_id, watchlist)

    async def sign_out(self, socket_id: str, user_id: str, *, app: str = APP) -> None:
        await self.broker.sign_out(app, socket_id, user_id)

    async def told(self) -> tuple[Change, Serial]:
        return await asyncio.wait_for(self.listener.changes.get(), PATIENCE_SECONDS)

    async def quiet(self) -> None:
        """Check that nothing else was told of users up to now."""
        await self.sign_in("0.0", "fence")
        assert (await self.told())[0] == (APP, "fence", True)
        await self.sign_out("0.0", "fence")
        assert (await self.told())[0] == (APP, "fence", False)

    # Subscriptions

    async def join(
        self, socket_id: str, channel: str = CHANNEL, user: str | None = None, *, app: str = APP
    ) -> Joined:
        member = None if user is None else Member(user)
        return await self.broker.join(Subscription(app, channel, socket_id, member))

    async def leave(
        self, socket_id: str, channel: str = CHANNEL, *, cut: bool = False, app: str = APP
    ) -> Left:
        """Leave; ``cut`` for one who was cut off and may be back."""
        return await self.broker.leave(Subscription(app, channel, socket_id), provisional=cut)

    # Last events

    async def keep(self, payload: bytes, channel: str = CACHE, *, app: str = APP) -> None:
        await self.broker.publish([Message(app, channel, payload, cached=True)])

    async def kept(self, channel: str = CACHE, *, app: str = APP) -> bytes | None:
        cached = await self.broker.cached(app, channel)
        return cached.payload if cached else None


@asynccontextmanager
async def started(make: MakeState) -> AsyncIterator[Stand]:
    async with make() as broker:
        stand = Stand(broker)
        await broker.start(stand.listener)
        try:
            yield stand
        finally:
            await broker.stop()


def seen(transitions: Sequence[Transition]) -> list[tuple[Occurrence, str | None]]:
    return [(transition.occurrence, transition.user_id) for transition in transitions]


# Who is signed in


@SUITE.check
async def a_user_comes_with_its_first_connection_and_goes_with_its_last(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.sign_in("1.1", "ann")
        assert (await stand.told())[0] == (APP, "ann", True)
        await stand.sign_in("1.2", "ann")
        await stand.sign_out("1.1", "ann")
        await stand.quiet()
        await stand.sign_out("1.2", "ann")
        assert (await stand.told())[0] == (APP, "ann", False)
        await stand.sign_in("1.1", "ann")
        assert (await stand.told())[0] == (APP, "ann", True)


@SUITE.check
async def signing_in_answers_who_is_online(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.sign_in("1.1", "ann")
        await stand.sign_in("1.2", "bob")
        await stand.sign_out("1.2", "bob")
        answer = await stand.sign_in("1.3", "eve", "ann", "bob", "cat", "eve")
        assert answer.online == {"ann", "eve"}, "itself included"
        assert (await stand.sign_in("1.4", "dan")).online == frozenset()


@SUITE.check
async def the_answer_is_a_snapshot_and_later_changes_have_higher_serials(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.sign_in("1.1", "bob")
        answer = await stand.sign_in("1.2", "ann", "bob")
        await stand.sign_out("1.1", "bob")
        await stand.sign_in("1.1", "bob")
        serials = [(await stand.told())[1] for _ in range(4)]
        assert serials == sorted(set(serials))
        assert {serial.epoch for serial in serials} == {answer.serial.epoch}
        assert serials[1].n <= answer.serial.n < serials[2].n


@SUITE.check
async def signing_out_twice_or_without_signing_in_is_nothing(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.sign_out("1.1", "ann")
        await stand.sign_in("1.1", "ann")
        await stand.told()
        await stand.sign_out("1.2", "ann")
        await stand.quiet()
        for _ in range(2):
            await stand.sign_out("1.1", "ann")
        assert (await stand.told())[0] == (APP, "ann", False)
        await stand.quiet()


@SUITE.check
async def a_connection_that_signs_in_twice_signs_out_once(make: MakeState) -> None:
    async with started(make) as stand:
        for _ in range(2):
            await stand.sign_in("1.1", "ann")
        assert (await stand.told())[0] == (APP, "ann", True)
        await stand.sign_out("1.1", "ann")
        assert (await stand.told())[0] == (APP, "ann", False)


@SUITE.check
async def many_at_once_come_and_go_once(make: MakeState) -> None:
    async with started(make) as stand:
        sockets = [f"1.{number}" for number in range(20)]
        await asyncio.gather(*(stand.sign_in(socket, "ann") for socket in sockets))
        assert (await stand.told())[0] == (APP, "ann", True)
        await stand.quiet()
        await asyncio.gather(*(stand.sign_out(socket, "ann") for socket in sockets))
        assert (await stand.told())[0] == (APP, "ann", False)
        await stand.quiet()


@SUITE.check
async def the_users_of_apps_are_not_the_same(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.sign_in("1.1", "ann")
        answer = await stand.sign_in("1.1", "ann", "bob", "ann", app="other")
        assert answer.online == {"ann"}
        await stand.sign_out("1.1", "ann", app="other")
        changes = [(await stand.told())[0] for _ in range(3)]
        assert changes == [(APP, "ann", True), ("other", "ann", True), ("other", "ann", False)]
        assert (await stand.sign_in("1.2", "bob", "ann")).online == {"ann"}


@SUITE.check
async def terminating_reaches_the_listener_and_signs_nobody_out(make: MakeState) -> None:
    """Ending a connection is the process's own, and that is what signs out."""
    async with started(make) as stand:
        await stand.sign_in("1.1", "ann")
        await stand.told()
        await stand.broker.terminate(APP, "ann")
        told = await asyncio.wait_for(stand.listener.terminated.get(), PATIENCE_SECONDS)
        assert told == (APP, "ann")
        await stand.quiet()
        assert stand.listener.terminated.empty()


# Last events


@SUITE.check
async def the_last_event_is_what_a_newcomer_finds(make: MakeState) -> None:
    async with started(make) as stand:
        assert (await stand.join("1.1", CACHE)).cached is None
        assert await stand.kept() is None
        await stand.keep(b"old")
        await stand.keep(b"new")
        assert (await stand.join("1.2", CACHE)).cached == b"new"
        assert await stand.kept() == b"new"


@SUITE.check
async def only_what_is_to_be_kept_is_kept(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.keep(b"kept")
        await stand.broker.publish([Message(APP, CACHE, b"passing")])
        assert await stand.kept() == b"kept"
        assert await stand.kept("cache-other") is None
        assert await stand.kept(app="other") is None
        assert (await stand.join("1.1", CACHE, app="other")).cached is None


@SUITE.check
async def the_last_of_one_call_is_kept_whomever_it_left_out(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.join("1.1", CACHE)
        await stand.broker.publish(
            [
                Message(APP, CACHE, b"first", cached=True),
                Message(APP, CACHE, b"second", excluded="1.1", cached=True),
            ]
        )
        assert await stand.kept() == b"second"


@SUITE.check
async def the_last_event_stays_when_everybody_has_left(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.join("1.1", CACHE)
        await stand.keep(b"kept")
        await stand.leave("1.1", CACHE)
        assert (await stand.join("1.1", CACHE)).cached == b"kept"


@SUITE.check
async def it_is_kept_for_half_an_hour(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.keep(b"kept")
        cached = await stand.broker.cached(APP, CACHE)
        assert cached is not None
        assert 1790 <= cached.ttl_seconds <= 1800
