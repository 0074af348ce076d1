"""What every broker promises of taps: who hears what, in which order, and whose fault is whose.

What a tap hears may come later than the call that caused it has returned, so silence is shown by
a fence: a client's event, which must be the next thing heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn

from callboard_server.brokers import Cause, ClientEvent, Message, Serial, Subscription
from callboard_server.stepping import step
from conformance.broker_users import (
    APP,
    CHANNEL,
    PATIENCE_SECONDS,
    MakeState,
    Stand,
    Suite,
    started,
)

SUITE = Suite()

TAPPED = "private-tapped.1"
UNSUBSCRIBED, DISCONNECTED = Cause.UNSUBSCRIBED, Cause.DISCONNECTED


class RecordingTap:
    """A tap that notes what it hears, one tuple each."""

    def __init__(self, app_id: str = APP, *prefixes: str) -> None:
        self.app_id = app_id
        self.prefixes = prefixes or ("private-tapped.",)
        self._heard: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    def heard(self, event: ClientEvent) -> None:
        self._heard.put_nowait(("heard", event))

    def joined(self, channel: str, socket_id: str) -> None:
        self._heard.put_nowait(("joined", channel, socket_id))

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        self._heard.put_nowait(("left", channel, socket_id, cause))

    async def hears(self, *expected: object) -> None:
        """What it hears next is this."""
        assert await asyncio.wait_for(self._heard.get(), PATIENCE_SECONDS) == expected

    async def quiet(self, stand: Stand) -> None:
        """Check that it has heard nothing else up to now."""
        fence = said("fence", channel=self.prefixes[0], app=self.app_id)
        await stand.broker.tell(fence)
        await self.hears("heard", fence)


class BrokenTap(RecordingTap):
    """A tap that notes what it hears, and then fails."""

    def heard(self, event: ClientEvent) -> NoReturn:
        super().heard(event)
        raise RuntimeError("on purpose")

    def joined(self, channel: str, socket_id: str) -> NoReturn:
        super().joined(channel, socket_id)
        raise RuntimeError("on purpose")

    def left(self, channel: str, socket_id: str, cause: Cause) -> NoReturn:
        super().left(channel, socket_id, cause)
        raise RuntimeError("on purpose")


def said(
    data: str, socket_id: str = "1.1", *, channel: str = TAPPED, app: str = APP
) -> ClientEvent:
    return ClientEvent(app, channel, socket_id, "client-e", data)


async def leave(stand: Stand, socket_id: str, cause: Cause, channel: str = TAPPED) -> None:
    await stand.broker.leave(Subscription(APP, channel, socket_id), cause=cause)


@SUITE.check
async def a_tap_hears_who_comes_what_it_says_and_how_it_goes(make: MakeState) -> None:
    async with started(make) as stand:
        tap = RecordingTap()
        await stand.broker.tap(tap)
        await stand.join("1.1", TAPPED)
        events = [said(str(number)) for number in range(20)]
        for event in events:
            await stand.broker.tell(event)
        await stand.join("1.2", TAPPED)
        await leave(stand, "1.1", DISCONNECTED)
        await leave(stand, "1.2", UNSUBSCRIBED)
        await tap.hears("joined", TAPPED, "1.1")
        for event in events:
            await tap.hears("heard", event)
        await tap.hears("joined", TAPPED, "1.2")
        await tap.hears("left", TAPPED, "1.1", DISCONNECTED)
        await tap.hears("left", TAPPED, "1.2", UNSUBSCRIBED)
        await tap.quiet(stand)


@SUITE.check
async def it_hears_of_the_channels_it_follows_alone(make: MakeState) -> None:
    async with started(make) as stand:
        tap = RecordingTap(APP, "private-tapped.", "private-cache-tapped.")
        await stand.broker.tap(tap)
        for channel, app in (
            (CHANNEL, APP),
            ("private-tapped", APP),
            ("presence-tapped.1", APP),
            (TAPPED, "other"),
        ):
            await stand.broker.join(Subscription(app, channel, "1.1"))
            await stand.broker.tell(said("d", channel=channel, app=app))
            await stand.broker.leave(Subscription(app, channel, "1.1"))
        await tap.quiet(stand)
        await stand.join("1.1", "private-cache-tapped.1")
        await tap.hears("joined", "private-cache-tapped.1", "1.1")


@SUITE.check
async def it_hears_of_a_subscription_once(make: MakeState) -> None:
    async with started(make) as stand:
        tap = RecordingTap()
        await stand.broker.tap(tap)
        await leave(stand, "1.1", DISCONNECTED)
        for _ in range(2):
            await stand.join("1.1", TAPPED)
        for _ in range(2):
            await leave(stand, "1.1", UNSUBSCRIBED)
        await tap.hears("joined", TAPPED, "1.1")
        await tap.hears("left", TAPPED, "1.1", UNSUBSCRIBED)
        await tap.quiet(stand)


@SUITE.check
async def who_is_there_already_is_told_first(make: MakeState) -> None:
    async with started(make) as stand:
        for socket_id, channel in (("1.1", TAPPED), ("1.2", TAPPED), ("1.3", CHANNEL)):
            await stand.join(socket_id, channel)
        tap = RecordingTap()
        await stand.broker.tap(tap)
        await leave(stand, "1.2", DISCONNECTED)
        await tap.hears("joined", TAPPED, "1.1")
        await tap.hears("joined", TAPPED, "1.2")
        await tap.hears("left", TAPPED, "1.2", DISCONNECTED)
        await tap.quiet(stand)


@SUITE.check
async def what_a_tap_hears_no_subscriber_hears(make: MakeState) -> None:
    async with started(make) as stand:
        await stand.broker.tap(RecordingTap())
        await stand.join("1.1", TAPPED)
        before = (await stand.broker.publish([Message(APP, TAPPED, b"e")]))[0]
        await stand.broker.tell(said("d", "1.2"))
        after = (await stand.broker.publish([Message(APP, TAPPED, b"e")]))[0]
        assert after.n == before.n + 1, "nothing was published between them"


@SUITE.check
async def a_newcomer_has_what_a_tap_publishes_when_it_hears_of_it(make: MakeState) -> None:
    """As the scheduler does: its first words come behind the newcomer's snapshot."""
    async with started(make) as stand:
        greetings: asyncio.Queue[Sequence[Serial]] = asyncio.Queue()

        class Greeter(RecordingTap):
            def joined(self, channel: str, socket_id: str) -> None:
                greeting = step(stand.broker.publish([Message(APP, channel, b"hello")]))
                if isinstance(greeting, asyncio.Task):
                    greeting.add_done_callback(lambda task: greetings.put_nowait(task.result()))
                else:
                    greetings.put_nowait(greeting)

        await stand.broker.tap(Greeter())
        joined = await stand.join("1.1", TAPPED)
        (serial,) = await asyncio.wait_for(greetings.get(), PATIENCE_SECONDS)
        assert joined.serial.n < serial.n


@SUITE.check
async def several_taps_do_not_take_from_one_another(make: MakeState) -> None:
    async with started(make) as stand:
        taps = [RecordingTap() for _ in range(2)]
        for tap in taps:
            await stand.broker.tap(tap)
        await stand.broker.tell(said("d"))
        for tap in taps:
            await tap.hears("heard", said("d"))
        await stand.broker.untap(taps[0])
        await stand.broker.untap(taps[0])
        await stand.broker.tell(said("e"))
        await taps[1].hears("heard", said("e"))
        await stand.broker.tap(taps[0])
        await taps[0].quiet(stand)


@SUITE.check
async def a_tap_that_fails_fails_alone(make: MakeState) -> None:
    """The fault is logged, and neither the client nor another tap notices."""
    logging.getLogger("callboard.server").setLevel(logging.CRITICAL)
    try:
        async with started(make) as stand:
            broken, tap = BrokenTap(), RecordingTap()
            for each in (broken, tap):
                await stand.broker.tap(each)
            assert (await stand.join("1.1", TAPPED)).first
            await stand.broker.tell(said("d"))
            assert (await stand.leave("1.1", TAPPED)).last
            for each in (broken, tap):
                await each.hears("joined", TAPPED, "1.1")
                await each.hears("heard", said("d"))
                await each.hears("left", TAPPED, "1.1", UNSUBSCRIBED)
    finally:
        logging.getLogger("callboard.server").setLevel(logging.NOTSET)


@SUITE.check
async def expelling_reaches_the_listener_and_removes_nobody(make: MakeState) -> None:
    """Ending a connection is the process's own, and that is what leaves."""
    async with started(make) as stand:
        tap = RecordingTap()
        await stand.broker.tap(tap)
        await stand.join("1.1", TAPPED)
        await stand.broker.expel(APP, TAPPED)
        told = await asyncio.wait_for(stand.listener.expelled.get(), PATIENCE_SECONDS)
        assert told == (APP, TAPPED)
        await tap.hears("joined", TAPPED, "1.1")
        await tap.quiet(stand)
