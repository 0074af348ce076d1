"""Real clients, a real server, a real receiver: what happens arrives, signed, once."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Any

import pusher
import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from callboard_server.background import BackgroundServer
from callboard_server.settings import (
    AppSettings,
    Settings,
    WebhookEventType,
    WebhookSettings,
    WebhookTargets,
)
from callboard_server.webhooks import Timing, Webhooks
from support.webhook_receiver import PATIENCE_SECONDS, WebhookReceiver, statuses

ID, KEY, SECRET = "1001", "shop-key", "shop-secret"
#: Short, so that what must be waited for is.
QUICK = Timing(settle=0.25, first_retry=0.02, longest_pause=0.05, batch_window=0.2)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard_server.server.Webhooks", partial(Webhooks, timing=QUICK))


@asynccontextmanager
async def serving(
    *webhooks: WebhookSettings, allow_private_targets: bool = False, **changes: Any
) -> AsyncIterator[BackgroundServer]:
    """A server whose start and end do not hold up the receiver, which has this loop."""
    app = AppSettings(
        **{"id": ID, "key": KEY, "secret": SECRET, "client_events": True, **changes},
        webhooks=webhooks,
    )
    targets = WebhookTargets(allow_private_targets=allow_private_targets)
    server = BackgroundServer(Settings(port=0, apps=(app,), webhooks=targets))
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


def api(server: BackgroundServer) -> pusher.Pusher:
    return pusher.Pusher(
        app_id=ID, key=KEY, secret=SECRET, host="127.0.0.1", port=server.port, ssl=False
    )


class Client:
    """A Pusher client, as little of one as it takes."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.socket_id = ""

    async def hear(self, event: str) -> Any:
        """Return the data of the next message, which must be ``event``."""
        message = json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE_SECONDS))
        assert message["event"] == event, message
        return json.loads(message["data"])

    async def say(self, event: str, data: Any, **fields: str) -> None:
        await self.connection.send(json.dumps({"event": event, "data": data, **fields}))

    async def subscribe(self, channel: str, user_id: str | None = None) -> None:
        data = {"channel": channel}
        signed = f"{self.socket_id}:{channel}"
        if user_id is not None:
            data["channel_data"] = json.dumps({"user_id": user_id})
            signed += f":{data['channel_data']}"
        if channel.startswith("p"):
            data["auth"] = (
                f"{KEY}:{hmac.new(SECRET.encode(), signed.encode(), 'sha256').hexdigest()}"
            )
        await self.say("pusher:subscribe", data)
        await self.hear("pusher_internal:subscription_succeeded")

    def cut(self) -> None:
        """Lose the connection, without a goodbye."""
        self.connection.transport.abort()


@asynccontextmanager
async def client(server: BackgroundServer) -> AsyncIterator[Client]:
    url = f"ws://127.0.0.1:{server.port}/app/{KEY}?protocol=7"
    async with connect(url, proxy=None) as connection:
        client = Client(connection)
        client.socket_id = (await client.hear("pusher:connection_established"))["socket_id"]
        yield client


@pytest.mark.documented("Webhooks", "All seven events arrive, signed as the official SDK checks it")
async def test_all_seven_events_arrive_signed_as_the_official_sdk_wants_them(
    receiver: WebhookReceiver,
) -> None:
    async with serving(WebhookSettings(url=receiver.url), subscription_count_events=True) as server:
        async with client(server) as one:
            await one.subscribe("presence-c", "7")
            await receiver.wait_for_events(2)
            await one.say("client-e", {"a": 1}, channel="presence-c")
            await receiver.wait_for_events(3)
            await one.subscribe("cache-c")
            await one.hear("pusher:cache_miss")
            await receiver.wait_for_events(6)
            await one.say("pusher:unsubscribe", {"channel": "presence-c"})
            events = await receiver.wait_for_events(8)

        by_name = {event["name"]: event for event in events}
        assert by_name == {
            "channel_occupied": {"name": "channel_occupied", "channel": "cache-c"},
            "member_added": {"name": "member_added", "channel": "presence-c", "user_id": "7"},
            "client_event": {
                "name": "client_event",
                "channel": "presence-c",
                "event": "client-e",
                "data": '{"a":1}',
                "socket_id": one.socket_id,
                "user_id": "7",
            },
            "cache_miss": {"name": "cache_miss", "channel": "cache-c"},
            "subscription_count": {
                "name": "subscription_count",
                "channel": "cache-c",
                "subscription_count": 1,
            },
            "member_removed": {"name": "member_removed", "channel": "presence-c", "user_id": "7"},
            "channel_vacated": {"name": "channel_vacated", "channel": "presence-c"},
        }
        sdk = api(server)
        for request in receiver.requests:
            assert len(request.events) == 1
            assert request.headers["content-type"] == "application/json"
            assert sdk.validate_webhook(
                request.headers["x-pusher-key"],
                request.headers["x-pusher-signature"],
                request.body.decode(),
            )


@pytest.mark.documented("Webhooks", "Batched, what happens together is one request")
async def test_a_batch_is_one_signed_request(receiver: WebhookReceiver) -> None:
    async with serving(WebhookSettings(url=receiver.url, batch=True)) as server:
        async with client(server) as one:
            await one.subscribe("presence-c", "7")
            (request,) = await receiver.wait_for_requests(1)

        assert [event["name"] for event in request.events] == ["channel_occupied", "member_added"]
        headers = request.headers
        assert api(server).validate_webhook(
            headers["x-pusher-key"], headers["x-pusher-signature"], request.body.decode()
        )


class TestAClientThatIsCutOff:
    PRESENCE = (
        WebhookEventType.MEMBER_ADDED,
        WebhookEventType.MEMBER_REMOVED,
        WebhookEventType.CHANNEL_OCCUPIED,
        WebhookEventType.CHANNEL_VACATED,
    )

    @pytest.mark.documented(
        "Webhooks", "`channel_vacated` and `member_removed` wait 3 seconds after a disconnect"
    )
    async def test_and_stays_away_is_told_of(self, receiver: WebhookReceiver) -> None:
        webhook = WebhookSettings(url=receiver.url, events=self.PRESENCE)
        async with serving(webhook) as server, client(server) as one:
            await one.subscribe("presence-c", "7")
            await receiver.wait_for_events(2)
            one.cut()
            events = await receiver.wait_for_events(4)

        assert [event["name"] for event in events] == [
            "channel_occupied",
            "member_added",
            "member_removed",
            "channel_vacated",
        ]

    @pytest.mark.documented("Webhooks", "One who comes back in that time is not told of")
    async def test_and_comes_back_in_time_is_not(
        self, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Long enough that the client is back in time, however slow the machine.
        timing = Timing(settle=3600)
        monkeypatch.setattr("callboard_server.server.Webhooks", partial(Webhooks, timing=timing))
        async with serving(WebhookSettings(url=receiver.url, events=self.PRESENCE)) as server:
            async with client(server) as one:
                await one.subscribe("presence-c", "7")
                await receiver.wait_for_events(2)
                one.cut()
            await gone(server)
            async with client(server) as again:
                await again.subscribe("presence-c", "7")
                # It leaves on purpose, which is told at once: nothing came before.
                await again.say("pusher:unsubscribe", {"channel": "presence-c"})
                events = await receiver.wait_for_events(4)

        assert [event["name"] for event in events] == [
            "channel_occupied",
            "member_added",
            "member_removed",
            "channel_vacated",
        ]

    async def test_is_told_of_when_the_server_ends(self, receiver: WebhookReceiver) -> None:
        webhook = WebhookSettings(url=receiver.url, events=self.PRESENCE)
        async with serving(webhook) as server, client(server) as one:
            await one.subscribe("presence-c", "7")
            await receiver.wait_for_events(2)
            await asyncio.to_thread(server.stop)

            names = [event["name"] for event in receiver.events]

        assert names[2:] == ["member_removed", "channel_vacated"]


@pytest.mark.parametrize("drain_seconds", [0, 0.1])
async def test_the_end_is_told_as_the_leaving_of_all(
    drain_seconds: float, receiver: WebhookReceiver
) -> None:
    webhook = WebhookSettings(url=receiver.url, events=TestAClientThatIsCutOff.PRESENCE)
    async with serving(webhook) as server, client(server) as one, client(server) as two:
        for each, user_id in ((one, "7"), (two, "8")):
            await each.subscribe("presence-c", user_id)
            await each.subscribe("c")
        began = await receiver.wait_for_events(4)
        await asyncio.to_thread(server.stop, drain_seconds)

        told = receiver.events[len(began) :]

    assert [event["user_id"] for event in told if event["name"] == "member_removed"] == ["7", "8"]
    vacated = [event["channel"] for event in told if event["name"] == "channel_vacated"]
    assert sorted(vacated) == ["c", "presence-c"]
    assert len(told) == 4


async def test_the_end_is_not_counted_down(receiver: WebhookReceiver) -> None:
    """Clients are sent away one by one, and none of them is left to be one of fewer."""
    webhook = WebhookSettings(url=receiver.url)
    async with (
        serving(webhook, subscription_count_events=True) as server,
        client(server) as one,
        client(server) as two,
        client(server) as three,
    ):
        for each in (one, two, three):
            await each.subscribe("c")
        began = await receiver.wait_for_events(4)
        await asyncio.to_thread(server.stop, 0)

        told = receiver.events[len(began) :]

    assert [event["name"] for event in told] == ["channel_vacated"]


async def gone(server: BackgroundServer) -> None:
    """Return once the server has no client."""
    sdk = api(server)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await asyncio.to_thread(sdk.channels_info))["channels"]:
            await asyncio.sleep(0.01)


async def test_an_event_is_posted_until_the_receiver_takes_it(receiver: WebhookReceiver) -> None:
    receiver.answer = statuses(500, 302, 404)

    async with serving(WebhookSettings(url=receiver.url)) as server, client(server) as one:
        await one.subscribe("c")
        requests = await receiver.wait_for_requests(4)

    assert len({(request.body, request.headers["x-pusher-signature"]) for request in requests}) == 1
    assert {request.path for request in requests} == {"/hook"}


async def test_a_receiver_that_was_down_is_told_when_it_is_back(receiver: WebhookReceiver) -> None:
    async with serving(WebhookSettings(url=receiver.url)) as server, client(server) as one:
        await one.subscribe("a")
        await receiver.wait_for_events(1)
        await receiver.stop()
        await one.subscribe("b")
        await one.subscribe("c")
        await gone_wrong(server)
        await receiver.start()
        events = await receiver.wait_for_events(3)

    assert [event["channel"] for event in events] == ["a", "b", "c"]


async def gone_wrong(server: BackgroundServer) -> None:
    """Return once a delivery has failed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(
            deliveries._failures for deliveries in server.server.webhooks._deliveries.values()
        ):
            await asyncio.sleep(0.01)


async def test_a_receiver_that_never_answers_delays_no_publish(receiver: WebhookReceiver) -> None:
    forever = asyncio.Event()

    async def never(request: web.BaseRequest) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    receiver.answer = never
    webhook = WebhookSettings(url=receiver.url)
    async with serving(webhook) as server, client(server) as one, client(server) as two:
        await one.subscribe("private-c")
        await two.subscribe("private-c")
        await receiver.wait_for_requests(1)
        began = perf_counter()
        for n in range(5):
            await one.say("client-e", n, channel="private-c")
            assert await two.hear("client-e") == n
        assert perf_counter() - began < 2
        await asyncio.to_thread(api(server).trigger, "private-c", "e", "data")
        assert len(receiver.requests) == 1
        forever.set()
        await receiver.wait_for_events(6)


async def test_a_target_on_the_inside_is_refused_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhook = WebhookSettings(url="http://169.254.169.254/latest?token=s3cret")
    async with serving(webhook) as server, client(server) as one:
        for n in range(5):
            await one.subscribe(f"c-{n}")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.server.webhooks.counts.dropped < 5:
                await asyncio.sleep(0.01)

    lines = [record.getMessage() for record in caplog.records if "webhook" in record.name]
    assert lines[0] == (
        "webhook events lost app=1001 webhook=0 target=http://169.254.169.254 refused: "
        "169.254.169.254 is a link-local address; set allow_private_targets in [webhooks] to "
        "allow it count=1"
    )
    assert not any("refused" in line or "s3cret" in line for line in lines[1:])


@pytest.mark.parametrize(("private", "told"), [(False, 0), (True, 1)])
async def test_loopback_is_refused_where_other_machines_reach_the_server(
    private: bool, told: int, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the socket were bound to an address of the network.
    monkeypatch.setattr("callboard_server.listeners.is_loopback", lambda listener: False)
    webhook = WebhookSettings(url=receiver.url)
    async with serving(webhook, allow_private_targets=private) as server, client(server) as one:
        await one.subscribe("c")
        counts = server.server.webhooks.counts
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not counts.delivered + counts.dropped:
                await asyncio.sleep(0.01)
        assert len(receiver.requests) == told
