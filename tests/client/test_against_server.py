"""The client and Callboard's server, over loopback: each is the other's proof."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from callboard_client import (
    ApiClient,
    ApiError,
    Channel,
    Client,
    ConnectionFailed,
    Event,
    SecretAuthorizer,
    ServerError,
    SubscriptionError,
    Timings,
)
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings

KEY, SECRET, APP_ID = "key", "secret", "1"
WAIT_SECONDS = 10.0


class Service:
    """A server on a port that stays the same when it is started again."""

    def __init__(self) -> None:
        self._settings = Settings(
            apps=(AppSettings(id=APP_ID, key=KEY, secret=SECRET, client_events=True),)
        )
        self.port = 0
        self._server: Server | None = None

    async def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = Server(self._settings, [listener])
        await self._server.start()

    async def stop(self, drain_seconds: float | None = None) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(drain_seconds)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    await service.start()
    yield service
    await service.stop()


class Clients:
    """Makes clients of the service and closes them at the end of the test."""

    def __init__(self, service: Service, stack: AsyncExitStack) -> None:
        self._service = service
        self._stack = stack

    async def connect(self, user_id: str = "u", **options: Any) -> Client:
        options.setdefault("authorizer", SecretAuthorizer(KEY, SECRET, {"user_id": user_id}))
        timings = Timings(first_retry_seconds=0.02, max_retry_seconds=0.1)
        client = Client(KEY, "127.0.0.1", self._service.port, timings=timings, **options)
        await self._stack.enter_async_context(client)
        await client.connected(WAIT_SECONDS)
        return client


@pytest.fixture
async def clients(service: Service) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(service, stack)


@pytest.fixture
async def api(service: Service) -> AsyncIterator[ApiClient]:
    async with ApiClient(f"http://{KEY}:{SECRET}@127.0.0.1:{service.port}/apps/{APP_ID}") as api:
        yield api


async def _next(channel: Channel) -> Event:
    return await channel.get(timeout=WAIT_SECONDS)


async def test_what_is_triggered_is_received_in_order(clients: Clients, api: ApiClient) -> None:
    client = await clients.connect()
    channels = [await client.subscribe(name) for name in ("public", "private-a", "presence-a")]
    for number in range(10):
        await api.trigger([channel.name for channel in channels], "e", {"n": number})
    await api.trigger_batch(
        [{"channel": channel.name, "name": "last", "data": "text"} for channel in channels]
    )
    for channel in channels:
        for number in range(10):
            assert await _next(channel) == Event("e", channel.name, f'{{"n":{number}}}')
        assert await _next(channel) == Event("last", channel.name, "text")


async def test_the_one_who_asked_can_be_left_out(clients: Clients, api: ApiClient) -> None:
    one, two = await clients.connect(), await clients.connect()
    first, second = await one.subscribe("c"), await two.subscribe("c")
    await api.trigger("c", "not for one", {}, socket_id=one.socket_id)
    await api.trigger("c", "for both", {})
    assert (await _next(first)).event == "for both"
    assert (await _next(second)).event == "not for one"


async def test_members_come_and_go(clients: Clients, api: ApiClient) -> None:
    ada = await (await clients.connect("ada")).subscribe("presence-a")
    heard: asyncio.Queue[Event] = asyncio.Queue()
    for event in ("pusher:member_added", "pusher:member_removed"):
        ada.bind(event, heard.put_nowait)
    bob = await clients.connect("bob")
    theirs = await bob.subscribe("presence-a")
    assert theirs.members == {"ada": None, "bob": None}
    assert (await heard.get()).event == "pusher:member_added"
    assert ada.members == {"ada": None, "bob": None}
    assert await api.users("presence-a") == {"users": [{"id": "ada"}, {"id": "bob"}]}
    await bob.unsubscribe("presence-a")
    assert (await heard.get()).event == "pusher:member_removed"
    assert ada.members == {"ada": None}


async def test_client_events_reach_the_others_with_the_senders_id(clients: Clients) -> None:
    ada = await (await clients.connect("ada")).subscribe("presence-a")
    bob = await (await clients.connect("bob")).subscribe("presence-a")
    await bob.trigger("client-x", {"a": 1})
    await bob.trigger("client-y", "text")
    assert await _next(ada) == Event("client-x", "presence-a", '{"a":1}', "bob")
    assert await _next(ada) == Event("client-y", "presence-a", "text", "bob")
    await ada.trigger("client-z", {})
    # Its own never came: this is the first it hears.
    assert await _next(bob) == Event("client-z", "presence-a", "{}", "ada")


async def test_too_many_client_events_are_told_and_the_connection_stays(clients: Clients) -> None:
    told: asyncio.Queue[ServerError] = asyncio.Queue()
    client = await clients.connect(on_error=told.put_nowait)
    channel = await client.subscribe("private-a")
    socket_id = client.socket_id
    for _ in range(11):
        await channel.trigger("client-x", {})
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await told.get()).code == 4301
    assert client.socket_id == socket_id


@pytest.mark.parametrize(
    ("authorizer", "name", "reason"),
    [
        (SecretAuthorizer(KEY, "wrong"), "private-a", "Invalid signature: Expected HMAC SHA256"),
        (SecretAuthorizer("other", SECRET), "private-a", "Invalid key in subscription auth data"),
        (lambda *_: {"auth": ""}, "private-a", "Auth info required"),
        (lambda *_: {"auth": "nonsense"}, "private-a", "should be of format 'key:signature'"),
        (None, "not a name", "Invalid channel name 'not a name'"),
        (None, "#server-to-user-u", "sign in as that user first"),
    ],
)
async def test_a_refused_subscription_has_the_servers_text(
    clients: Clients, api: ApiClient, authorizer: Any, name: str, reason: str
) -> None:
    client = await clients.connect(authorizer=authorizer)
    good, refused = await asyncio.gather(
        client.subscribe("public"), client.subscribe(name), return_exceptions=True
    )
    assert isinstance(refused, SubscriptionError)
    assert reason in refused.message
    assert isinstance(good, Channel)
    await api.trigger("public", "e", "still here")
    assert (await _next(good)).data == "still here"


async def test_many_channels_are_asked_for_at_once(clients: Clients, api: ApiClient) -> None:
    client = await clients.connect()
    names = [f"private-{number}" for number in range(500)]
    await asyncio.gather(*map(client.subscribe, names))
    assert set((await api.channels("private-"))["channels"]) == set(names)
    for name in names[1:]:
        await client.unsubscribe(name)
    # The server takes a connection's messages in order, so this comes behind all of them.
    await client.subscribe("public")
    assert set((await api.channels())["channels"]) == {"private-0", "public"}


async def test_a_key_that_nobody_has_is_never_tried_again(service: Service) -> None:
    async with Client("unknown", "127.0.0.1", service.port) as client:
        with pytest.raises(ConnectionFailed, match="App key unknown not in this cluster") as caught:
            await client.connected(WAIT_SECONDS)
    assert caught.value.code == 4001


@pytest.mark.parametrize("drain_seconds", [0.0, 0.01], ids=["4100", "4200"])
async def test_a_restart_is_survived(
    service: Service, clients: Clients, api: ApiClient, drain_seconds: float
) -> None:
    client = await clients.connect()
    channel = await client.subscribe("private-a")
    back = asyncio.Event()
    channel.bind("pusher:subscription_succeeded", lambda _: back.set())
    before = client.socket_id
    await service.stop(drain_seconds)
    await service.start()
    async with asyncio.timeout(WAIT_SECONDS):
        await back.wait()
    assert client.socket_id != before
    await api.trigger("private-a", "e", "after")
    assert (await _next(channel)).data == "after"


async def test_the_api_answers_and_refuses(
    service: Service, clients: Clients, api: ApiClient
) -> None:
    client = await clients.connect()
    await client.subscribe("presence-a")
    assert await api.channel("presence-a", ["user_count", "subscription_count"]) == {
        "occupied": True,
        "user_count": 1,
        "subscription_count": 1,
    }
    assert await api.channel("presence-none") == {"occupied": False}
    answer = await api.trigger("presence-a", "e", {}, info=["user_count"])
    assert answer == {"channels": {"presence-a": {"user_count": 1}}}
    with pytest.raises(ApiError, match="Users can only be retrieved for presence channels"):
        await api.users("public")
    with pytest.raises(ApiError) as too_large:
        await api.trigger("public", "e", "x" * 10241)
    assert too_large.value.status == 413
    wrong = f"http://{KEY}:wrong@127.0.0.1:{service.port}/apps/{APP_ID}"
    async with ApiClient(wrong) as stranger:
        with pytest.raises(ApiError, match="Invalid signature") as refused:
            await stranger.channels("presence-", ["user_count"])
    assert refused.value.status == 401
