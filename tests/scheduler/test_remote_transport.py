"""The transport over a service elsewhere, held to the promises of every transport, and its own.

The service is a server of ours without a scheduler: to its clients it is any Pusher service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus

# Before the checks are imported, so that a failing one shows its values.
pytest.register_assert_rewrite("conformance.transport")

from callboard_client import Client, SecretAuthorizer  # noqa: E402
from callboard_scheduler.names import pool_channel, worker_channel  # noqa: E402
from callboard_scheduler.transports import FOREIGN, Cause, Sent, remote, sender  # noqa: E402
from callboard_scheduler.transports.remote import (  # noqa: E402
    RemoteTransport,
    TransportError,
    _is_refusal,
)
from callboard_scheduler.transports.sender import BATCH, Sender  # noqa: E402
from callboard_server import sockets  # noqa: E402
from callboard_server.server import Server  # noqa: E402
from callboard_server.settings import AppSettings, Settings  # noqa: E402
from conformance import transport as conformance  # noqa: E402
from conformance.transport import Listener, Peer, World  # noqa: E402
from support.recording_extension import RecordingExtension  # noqa: E402

APP = AppSettings(id="1", key="key", secret="secret", client_events=True)
POOL = pool_channel("default", "default")


class PooledPeer(Peer):
    """A worker that is in the pool, as those of foreign services are."""

    async def unsubscribe(self) -> None:
        await super().unsubscribe()
        await self._client.unsubscribe(POOL)


class RemoteWorld(World):
    async def worker(self, worker_id: str = "w1", namespace: str = "default") -> Peer:
        client = Client(
            self.key,
            "127.0.0.1",
            self.port,
            authorizer=SecretAuthorizer(self.key, self.secret, {"user_id": worker_id}),
        )
        await self.stack.enter_async_context(client)
        channel = await client.subscribe(worker_channel(namespace, worker_id))
        await client.subscribe(pool_channel(namespace, "default"))
        return PooledPeer(client, channel)


def url(port: int) -> str:
    return f"http://{APP.key}:{APP.secret}@127.0.0.1:{port}/apps/{APP.id}"


@asynccontextmanager
async def server(*extensions: RecordingExtension) -> AsyncIterator[int]:
    settings = Settings(port=0, apps=(APP,))
    running = Server(settings, sockets.bind(settings).plain, extensions=extensions)
    await running.start()
    try:
        yield running.addresses[0][1]
    finally:
        await running.stop(0.0)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with server() as port:
        transport = RemoteTransport(url(port))
        yield RemoteWorld(transport, port, APP.key, APP.secret, exact=False, own=False)
        await transport.stop()


@pytest.mark.parametrize("check", conformance.SUITE, ids=lambda check: check.__name__)
async def test_remote(check: conformance.Check) -> None:
    await check(world)


async def test_a_worker_that_is_in_no_pool_is_found_all_the_same() -> None:
    async with server() as port:
        transport, listener = RemoteTransport(url(port), look_seconds=0.02), Listener()
        await transport.start(listener)
        authorizer = SecretAuthorizer(APP.key, APP.secret)
        async with Client(APP.key, "127.0.0.1", port, authorizer=authorizer) as client:
            channel = await client.subscribe(worker_channel("default", "shy"))
            await listener.hears("joined", channel.name)
            await channel.trigger("client-sched", "hello")
            await listener.hears("received", channel.name, "hello")
        await transport.stop()


async def test_a_worker_that_leaves_the_pool_and_comes_back_at_once_is_heard_once() -> None:
    async with server() as port:
        transport, listener = RemoteTransport(url(port)), Listener()
        await transport.start(listener)
        authorizer = SecretAuthorizer(APP.key, APP.secret, {"user_id": "w1"})
        async with Client(APP.key, "127.0.0.1", port, authorizer=authorizer) as client:
            channel = await client.subscribe(worker_channel("default", "w1"))
            await client.subscribe(POOL)
            await listener.hears("joined", channel.name)
            # In one write, so that it is told in one turn of the loop.
            await client.unsubscribe(POOL)
            await client.subscribe(POOL)
            await listener.hears("left", channel.name, Cause.DISCONNECTED)
            await listener.hears("joined", channel.name)
            for said in ("one", "two"):
                await channel.trigger("client-sched", said)
                await listener.hears("received", channel.name, said)
        await transport.stop()


async def test_a_members_name_is_logged_on_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = asyncio.Queue[str]()

    def warning(text: str, *values: object) -> None:
        said.put_nowait(text % values)

    monkeypatch.setattr(remote.logger, "warning", warning)
    async with server() as port:
        transport = RemoteTransport(url(port))
        await transport.start(Listener())
        authorizer = SecretAuthorizer(APP.key, APP.secret, {"user_id": "w1\nforged"})
        async with Client(APP.key, "127.0.0.1", port, authorizer=authorizer) as client:
            await client.subscribe(POOL)
            line = await asyncio.wait_for(said.get(), 5.0)
        assert "w1\\nforged" in line and line.isprintable()
        await transport.stop()


async def test_what_is_small_in_bytes_is_sent_whatever_its_characters() -> None:
    async with server() as port:
        transport = RemoteTransport(url(port))
        await transport.start(Listener())
        async with Client(APP.key, "127.0.0.1", port) as client:
            news = await client.subscribe("news")
            text = "x" * 6_000 + "\N{SLIGHTLY SMILING FACE}"
            assert transport.publish({"name": "e", "channel": "news", "data": text}) is Sent.OK
            assert (await news.get(5.0)).data == text
        await transport.stop()


async def test_a_service_behind_a_path_is_refused_for_nothing_could_be_sent_there() -> None:
    transport = RemoteTransport("http://key:secret@127.0.0.1:1/pusher/apps/1")
    with pytest.raises(TransportError, match="no path before /apps, as /pusher is in http"):
        await transport.start(Listener())


async def test_a_service_with_a_scheduler_of_its_own_is_refused_with_what_to_do() -> None:
    async with server(RecordingExtension()) as port:
        with pytest.raises(TransportError, match=r"scheduler of its own.*--no-scheduler"):
            await RemoteTransport(url(port)).start(Listener())


async def test_a_service_that_is_not_there_is_named_without_the_secret() -> None:
    async with server() as port:
        pass
    transport = RemoteTransport(url(port), start_seconds=0.2)
    with pytest.raises(TransportError, match=f"127.0.0.1:{port}/apps/1 cannot be used") as caught:
        await transport.start(Listener())
    assert APP.secret not in str(caught.value)


class Restartable:
    """A service that comes back on its port."""

    def __init__(self) -> None:
        self.port = 0
        self._server: Server | None = None

    async def start(self) -> None:
        settings = Settings(port=self.port, apps=(APP,))
        self._server = Server(settings, sockets.bind(settings).plain)
        await self._server.start()
        self.port = self._server.addresses[0][1]

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0.0)


@asynccontextmanager
async def restartable() -> AsyncIterator[Restartable]:
    service = Restartable()
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def test_it_is_deaf_while_the_service_is_away_and_then_hears_again() -> None:
    async with restartable() as service:
        transport, listener = RemoteTransport(url(service.port)), Listener()
        await transport.start(listener)
        await service.stop()
        await listener.hears("deaf")
        await service.start()
        await listener.hears("hearing")
        await transport.stop()


async def test_an_event_that_is_due_while_the_service_is_away_is_published_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = asyncio.Event()

    def warning(text: str, *values: object) -> None:
        if text.startswith("the service did not take events"):
            failed.set()

    monkeypatch.setattr(sender.logger, "warning", warning)
    async with restartable() as service:
        transport, listener = RemoteTransport(url(service.port)), Listener()
        await transport.start(listener)
        await service.stop()
        await listener.hears("deaf")
        event = {"name": "e", "channel": "cache-news", "data": "due"}
        assert transport.publish(event) is Sent.OK
        await asyncio.wait_for(failed.wait(), 10.0)
        await service.start()
        async with Client(APP.key, "127.0.0.1", service.port) as client:
            # Whoever is too late is told the last event of it.
            news = await client.subscribe("cache-news")
            assert (await news.get(10.0)).data == "due"
        await transport.stop()


async def test_a_worker_that_does_not_come_back_with_the_service_is_gone_a_lease_later() -> None:
    profile = msgspec.structs.replace(FOREIGN, lease_ms=50)
    async with restartable() as service:
        transport, listener = RemoteTransport(url(service.port), profile=profile), Listener()
        await transport.start(listener)
        authorizer = SecretAuthorizer(APP.key, APP.secret, {"user_id": "w1"})
        async with Client(APP.key, "127.0.0.1", service.port, authorizer=authorizer) as client:
            channel = await client.subscribe(worker_channel("default", "w1"))
            await client.subscribe(POOL)
            await listener.hears("joined", channel.name)
            await service.stop()
            await listener.hears("deaf")
        await service.start()
        await listener.hears("hearing")
        await listener.hears("left", channel.name, Cause.DISCONNECTED)
        await transport.stop()


async def test_events_of_one_turn_go_ten_to_a_call_and_in_order() -> None:
    calls: list[Sequence[Mapping[str, Any]]] = []
    sending = Sender(calls.append)
    for number in range(25):
        assert sending.send({"channel": "c", "name": "e", "data": str(number)})
    await sending.stop()
    assert [len(call) for call in calls] == [BATCH, BATCH, 5]
    assert [event["data"] for call in calls for event in call] == [str(n) for n in range(25)]


async def test_what_the_service_does_not_take_is_lost_and_the_next_is_sent() -> None:
    taken: list[str] = []

    def trigger(batch: Sequence[Mapping[str, Any]]) -> None:
        if batch[0]["data"] == "bad":
            raise OSError("no route")
        taken.extend(event["data"] for event in batch)

    sending = Sender(trigger)
    sending.send({"data": "bad"})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sending.send({"data": "good"})
    await sending.stop()
    assert taken == ["good"]


async def test_what_nobody_repeats_is_kept_in_its_place_until_the_service_takes_it() -> None:
    taken, failing = asyncio.Queue[str](), [OSError("no route"), OSError("no route")]
    loop = asyncio.get_running_loop()

    def trigger(batch: Sequence[Mapping[str, Any]]) -> None:
        if failing:
            raise failing.pop()
        for event in batch:
            loop.call_soon_threadsafe(taken.put_nowait, event["data"])

    sending = Sender(trigger)
    for data, keep in (("first", True), ("lost", False), ("second", True)):
        assert sending.send({"data": data}, keep=keep)
    assert [await asyncio.wait_for(taken.get(), 5) for _ in range(2)] == ["first", "second"]
    await sending.stop()
    assert taken.empty()


async def test_an_event_that_is_refused_takes_no_other_with_it() -> None:
    taken: list[str] = []

    def trigger(batch: Sequence[Mapping[str, Any]]) -> None:
        if any(event["data"] == "bad" for event in batch):
            raise ValueError("bad")
        taken.extend(event["data"] for event in batch)

    sending = Sender(trigger, lambda error: isinstance(error, ValueError))
    for data in ("one", "bad", "two"):
        sending.send({"data": data}, keep=True)
    await sending.stop()
    assert taken == ["one", "two"]


async def test_events_that_are_kept_to_no_purpose_are_counted_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def trigger(batch: Sequence[Mapping[str, Any]]) -> None:
        raise OSError("no route")

    sending = Sender(trigger)
    for _ in range(3):
        sending.send({"data": "kept"}, keep=True)
    await sending.stop(0.05)
    assert "events are lost, for the service did not take them n=3" in caplog.text


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (PusherBadRequest("Invalid channel"), True),
        (PusherBadStatus("413: too large"), True),
        (PusherBadStatus("503: later"), False),
        (PusherBadAuth("the clock is wrong"), False),
        (OSError("no route"), False),
    ],
)
def test_only_what_is_wrong_with_an_event_itself_is_a_refusal(
    error: Exception, refused: bool
) -> None:
    assert _is_refusal(error) is refused


def test_what_is_too_large_for_any_service_is_refused() -> None:
    transport = RemoteTransport(url(1))
    limit = FOREIGN.limits.bytes
    assert transport.send("private-cache-sched.default.t.x", "state", "a" * (limit + 1)) is (
        Sent.REFUSED
    )
