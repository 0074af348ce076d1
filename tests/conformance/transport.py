"""What every transport of the scheduler promises (``callboard_scheduler.transports``).

Each check is a coroutine function that takes a factory: an asynchronous context manager of a
:class:`World`, which is a running service and a transport on it that is not started.
:data:`SUITE` has them all::

    @pytest.mark.parametrize("check", transport.SUITE, ids=lambda check: check.__name__)
    async def test_my_transport(check):
        await check(make_my_world)

Workers and watchers are ordinary clients of the service. What a transport hears it may hear late,
so silence is shown by a fence: what a worker says afterwards must be the next thing heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from callboard_client import Channel, Client, SecretAuthorizer
from callboard_protocol.reserved import worker_key
from callboard_scheduler.names import UP_EVENT, task_channel, worker_channel
from callboard_scheduler.transports import Cause, Sent, Transport

PATIENCE_SECONDS: Final = 10.0
NAMESPACE: Final = "default"
FEED: Final = task_channel(NAMESPACE, "t1")


class Listener:
    """A scheduler that notes what it hears, one tuple each."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    def received(self, channel: str, socket_id: str, data: str) -> None:
        self._heard.put_nowait(("received", channel, data))

    def joined(self, channel: str, socket_id: str) -> None:
        self._heard.put_nowait(("joined", channel))

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        self._heard.put_nowait(("left", channel, cause))

    def watching(self, channel: str) -> None:
        self._heard.put_nowait(("watching", channel))

    def deaf(self) -> None:
        self._heard.put_nowait(("deaf",))

    def hearing(self) -> None:
        self._heard.put_nowait(("hearing",))

    async def next(self) -> tuple[object, ...]:
        return await asyncio.wait_for(self._heard.get(), PATIENCE_SECONDS)

    async def hears(self, *expected: object) -> None:
        """What it hears next is this."""
        assert await self.next() == expected


class Peer:
    """A client of the service on one channel."""

    def __init__(self, client: Client, channel: Channel) -> None:
        self._client = client
        self._channel = channel
        self.name = channel.name

    @property
    def socket_id(self) -> str:
        assert self._client.socket_id is not None
        return self._client.socket_id

    async def say(self, data: str) -> None:
        await self._channel.trigger(UP_EVENT, data)

    async def hears(self, event: str, data: str) -> None:
        """What it hears next is this."""
        heard = await self._channel.get(PATIENCE_SECONDS)
        assert (heard.event, heard.data) == (event, data)

    async def unsubscribe(self) -> None:
        await self._client.unsubscribe(self.name)

    async def disconnect(self) -> None:
        await self._client.close()


@dataclass
class World:
    """A service with one app, and a transport on it."""

    transport: Transport
    port: int
    key: str
    secret: str
    #: Whether the service tells of a subscription how it ended, and can end it.
    exact: bool
    #: Whether workers' channels are opened by the worker key.
    own: bool
    listener: Listener = field(default_factory=Listener)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> World:
        await self.transport.start(self.listener)
        return self

    async def worker(self, worker_id: str = "w1", namespace: str = NAMESPACE) -> Peer:
        secret = worker_key(self.secret) if self.own else self.secret
        return await self._subscribe(worker_channel(namespace, worker_id), secret)

    async def watcher(self, channel: str = FEED) -> Peer:
        return await self._subscribe(channel, self.secret)

    async def seen_worker(self, worker_id: str = "w1") -> Peer:
        """Connect a worker and wait until the transport has told of it."""
        worker = await self.worker(worker_id)
        await self.listener.hears("joined", worker.name)
        return worker

    async def quiet(self, worker: Peer) -> None:
        """Check that the transport has told of nothing else up to now."""
        await worker.say("fence")
        await self.listener.hears("received", worker.name, "fence")

    async def _subscribe(self, channel: str, secret: str) -> Peer:
        client = Client(
            self.key, "127.0.0.1", self.port, authorizer=SecretAuthorizer(self.key, secret)
        )
        await self.stack.enter_async_context(client)
        return Peer(client, await client.subscribe(channel))


MakeWorld = Callable[[], AbstractAsyncContextManager[World]]
Check = Callable[[MakeWorld], Awaitable[None]]


class Suite(list[Check]):
    """The checks, in the order in which they are written."""

    def check(self, function: Check) -> Check:
        self.append(function)
        return function


SUITE: Final = Suite()


@asynccontextmanager
async def started(make: MakeWorld) -> AsyncIterator[World]:
    async with make() as world, world.stack:
        yield await world.start()
        await world.transport.stop()


# What workers say


@SUITE.check
async def a_worker_is_heard_in_order_from_when_it_has_joined(make: MakeWorld) -> None:
    async with started(make) as world:
        worker = await world.seen_worker()
        said = [f'{{"n":{number},"text":"ä \\" 漢"}}' for number in range(30)]
        for data in said[:5]:
            await worker.say(data)
            await world.listener.hears("received", worker.name, data)
        # Within the rate of any service.
        await worker.say(said[5])
        await worker.say(said[6])
        for data in said[5:7]:
            await world.listener.hears("received", worker.name, data)


@SUITE.check
async def several_workers_are_told_apart(make: MakeWorld) -> None:
    async with started(make) as world:
        one, two = await world.seen_worker("w.1"), await world.seen_worker("w.2")
        await two.say("2")
        await world.listener.hears("received", two.name, "2")
        await one.say("1")
        await world.listener.hears("received", one.name, "1")


@SUITE.check
async def who_is_there_already_is_told_when_it_starts(make: MakeWorld) -> None:
    async with make() as world, world.stack:
        worker = await world.worker()
        await world.start()
        await world.listener.hears("joined", worker.name)
        await world.quiet(worker)
        await world.transport.stop()


@SUITE.check
async def workers_of_another_namespace_are_not_its_own(make: MakeWorld) -> None:
    async with started(make) as world:
        await world.worker("w1", "other")
        worker = await world.seen_worker()
        await world.quiet(worker)


@SUITE.check
async def a_worker_that_unsubscribes_has_left(make: MakeWorld) -> None:
    async with started(make) as world:
        worker = await world.seen_worker()
        await worker.unsubscribe()
        kind, channel, cause = await world.listener.next()
        assert (kind, channel) == ("left", worker.name)
        assert cause is Cause.UNSUBSCRIBED or not world.exact


@SUITE.check
async def a_worker_that_is_gone_has_left_and_may_come_back(make: MakeWorld) -> None:
    async with started(make) as world:
        worker = await world.seen_worker()
        await worker.disconnect()
        await world.listener.hears("left", worker.name, Cause.DISCONNECTED)
        again = await world.seen_worker()
        await world.quiet(again)


# What workers hear


@SUITE.check
async def a_worker_hears_what_it_is_sent_in_order(make: MakeWorld) -> None:
    async with started(make) as world:
        worker, other = await world.seen_worker(), await world.seen_worker("w2")
        sent = [f'{{"n":{number},"text":"ä \\" 漢"}}' for number in range(30)]
        for data in sent:
            assert world.transport.send(worker.name, "sched", data) is Sent.OK
        assert world.transport.send(other.name, "sched", "yours") is Sent.OK
        for data in sent:
            await worker.hears("sched", data)
        await other.hears("sched", "yours")
        # What it is sent is not heard as if it had said it.
        await world.quiet(worker)


@SUITE.check
async def a_worker_may_be_answered_at_once(make: MakeWorld) -> None:
    """From within the call that tells of it, as the scheduler does."""
    async with make() as world, world.stack:
        greeted = asyncio.Event()

        class Greeter(Listener):
            def joined(self, channel: str, socket_id: str) -> None:
                assert world.transport.send(channel, "sched", "hello") is Sent.OK
                greeted.set()

            def received(self, channel: str, socket_id: str, data: str) -> None:
                assert world.transport.send(channel, "sched", data) is Sent.OK

        world.listener = Greeter()
        await world.start()
        worker = await world.worker()
        await asyncio.wait_for(greeted.wait(), PATIENCE_SECONDS)
        if world.exact:
            await worker.hears("sched", "hello")
        await worker.say("echo")
        if not world.exact:
            heard = await worker._channel.get(PATIENCE_SECONDS)
            assert heard.data in ("hello", "echo")
        else:
            await worker.hears("sched", "echo")
        await world.transport.stop()


@SUITE.check
async def nobody_is_sent_what_is_for_a_worker_that_is_not_there(make: MakeWorld) -> None:
    async with started(make) as world:
        name = worker_channel(NAMESPACE, "w1")
        assert world.transport.send(name, "sched", "d") in (Sent.ABSENT, Sent.OK)
        worker = await world.seen_worker()
        assert world.transport.send(worker.name, "sched", "here") is Sent.OK
        await worker.hears("sched", "here")
        await worker.disconnect()
        while (await world.listener.next())[0] != "left":
            pass
        expected = (Sent.ABSENT,) if world.exact else (Sent.ABSENT, Sent.OK)
        assert world.transport.send(name, "sched", "gone") in expected


@SUITE.check
async def what_is_too_large_is_refused_and_what_just_fits_arrives(make: MakeWorld) -> None:
    async with started(make) as world:
        worker = await world.seen_worker()
        limit = world.transport.profile.limits.bytes
        for fits in ("a" * limit, "ä" * (limit // 2)):
            assert world.transport.send(worker.name, "sched", fits) is Sent.OK
            await worker.hears("sched", fits)
        for large in ("a" * (limit + 1), "ä" * (limit // 2) + "aa"):
            assert world.transport.send(worker.name, "sched", large) is Sent.REFUSED


@SUITE.check
async def a_worker_may_say_as_much_as_the_profile_says(make: MakeWorld) -> None:
    async with started(make) as world:
        worker = await world.seen_worker()
        data = "a" * world.transport.profile.limits.bytes
        await worker.say(data)
        await world.listener.hears("received", worker.name, data)


@SUITE.check
async def a_worker_can_be_cut_off_where_the_service_can(make: MakeWorld) -> None:
    async with started(make) as world:
        worker, other = await world.seen_worker(), await world.seen_worker("w2")
        world.transport.disconnect(worker.name)
        if world.exact:
            await world.listener.hears("left", worker.name, Cause.DISCONNECTED)
            # Before it comes back by itself.
            await worker.disconnect()
        await other.say("still here")
        heard = await world.listener.next()
        while heard[0] in ("joined", "left") and heard[1] == worker.name:
            heard = await world.listener.next()
        assert heard == ("received", other.name, "still here")


# Feeds


@SUITE.check
async def a_watcher_hears_a_feed_in_order_and_a_late_one_its_last_event(make: MakeWorld) -> None:
    async with started(make) as world:
        early = await world.watcher()
        for number in range(5):
            assert world.transport.send(FEED, "progress", str(number)) is Sent.OK
        for number in range(5):
            await early.hears("progress", str(number))
        late = await world.watcher()
        await late.hears("progress", "4")
        assert world.transport.send(FEED, "result", "done") is Sent.OK
        for watcher in (early, late):
            await watcher.hears("result", "done")


@SUITE.check
async def whether_anyone_watches_is_known_or_said_not_to_be(make: MakeWorld) -> None:
    async with started(make) as world:
        known = world.transport.watched(FEED) is not None
        assert world.transport.watched(FEED) in (False, None)
        watchers = [await world.watcher() for _ in range(2)]
        for _ in watchers if known else ():
            await world.listener.hears("watching", FEED)
        for watcher in watchers:
            assert world.transport.watched(FEED) is (True if known else None)
            await watcher.disconnect()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # Nobody is told of a watcher's end.
            while world.transport.watched(FEED):
                await asyncio.sleep(0)


@SUITE.check
async def a_watcher_is_no_worker(make: MakeWorld) -> None:
    async with started(make) as world:
        watcher = await world.watcher()
        worker = await world.worker()
        heard = await world.listener.next()
        if heard == ("watching", FEED):
            heard = await world.listener.next()
        assert heard == ("joined", worker.name)
        await watcher.unsubscribe()
        await world.quiet(worker)


# Ordinary events


@SUITE.check
async def an_ordinary_event_is_published_as_a_trigger_would_be(make: MakeWorld) -> None:
    async with started(make) as world:
        one, two = await world.watcher("a"), await world.watcher("b")
        excluded = await world.watcher("a")
        event = {"name": "e", "channels": ["a", "b"], "data": '{"x":"ä"}'}
        assert world.transport.publish({**event, "socket_id": excluded.socket_id}) is Sent.OK
        assert world.transport.publish({"name": "f", "channel": "a", "data": "d"}) is Sent.OK
        await one.hears("e", event["data"])  # type: ignore[arg-type]
        await two.hears("e", event["data"])  # type: ignore[arg-type]
        for peer in (one, excluded):
            await peer.hears("f", "d")


# Its life


@SUITE.check
async def after_the_stop_nothing_is_heard_and_what_was_sent_arrives(make: MakeWorld) -> None:
    async with started(make) as world:
        worker = await world.seen_worker()
        for number in range(5):
            assert world.transport.send(worker.name, "sched", str(number)) is Sent.OK
        await world.transport.stop()
        for number in range(5):
            await worker.hears("sched", str(number))
        await worker.say("unheard")
        await world.worker("w2")
        world.listener = Listener()
        await world.start()
        joined = {await world.listener.next() for _ in range(2)}
        assert joined == {
            ("joined", worker.name),
            ("joined", worker_channel(NAMESPACE, "w2")),
        }
        await world.quiet(worker)


@SUITE.check
async def stopping_is_safe_twice_and_unstarted(make: MakeWorld) -> None:
    async with make() as world, world.stack:
        await world.transport.stop()
        await world.start()
        await world.transport.stop()
        await world.transport.stop()
