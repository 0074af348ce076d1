"""What is read from a channel and what callbacks hear."""

from __future__ import annotations

import asyncio

import pytest

from callboard_client import (
    Event,
    EventsLost,
)
from client.fake_server import FakeServer
from client.scripted import (
    MakeClient,
    all_is_received,
    connect,
    join,
)


async def test_events_come_in_order_and_as_they_were_sent(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    one, two = await join(client, peer, "one"), await join(client, peer, "presence-two")
    for number in range(100):
        await peer.send("e", str(number), "one" if number % 2 else "presence-two")
    await peer.send_raw(
        {"event": "client-x", "channel": "presence-two", "data": '{"a": 1}', "user_id": "u2"}
    )
    assert [(await one.get(10)).data for _ in range(50)] == [str(n) for n in range(1, 100, 2)]
    assert [(await two.get(10)).data for _ in range(50)] == [str(n) for n in range(0, 100, 2)]
    assert await two.get(10) == Event("client-x", "presence-two", '{"a": 1}', "u2")


async def test_the_first_event_behind_the_success_is_not_missed(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    heard: list[str] = []
    client.channel("cache-a").bind(None, lambda event: heard.append(event.event))
    subscribing = asyncio.create_task(client.subscribe("cache-a"))
    await peer.hear_subscribe("cache-a")
    await peer.succeed("cache-a")
    await peer.send("last", "cached", "cache-a")
    channel = await subscribing
    assert (await channel.get(10)).data == "cached"
    assert heard == ["pusher:subscription_succeeded", "last"]


async def test_waiting_for_an_event_can_time_out(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "c")
    with pytest.raises(TimeoutError):
        await channel.get(timeout=0.01)
    await peer.send("e", "1", "c")
    assert (await channel.get(timeout=10)).data == "1"


async def test_a_slow_reader_hears_what_it_lost_and_slows_nobody(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client, max_queued_events=10)
    slow, other = await join(client, peer, "slow"), await join(client, peer, "other")
    for number in range(1000):
        await peer.send("e", str(number), "slow")
    await peer.send("e", "behind all", "other")
    assert (await other.get(10)).data == "behind all"
    with pytest.raises(EventsLost, match="dropped its 990 oldest") as caught:
        await slow.get(10)
    assert caught.value.count == 990
    assert [(await slow.get(10)).data for _ in range(10)] == [str(n) for n in range(990, 1000)]


async def test_a_channel_for_callbacks_alone_keeps_nothing(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    heard: list[str] = []
    client.channel("c", max_queued_events=0).bind("e", lambda event: heard.append(event.data))
    channel = await join(client, peer, "c")
    for number in range(3):
        await peer.send("e", str(number), "c")
        await peer.send("other", str(number), "c")
    await all_is_received(peer)
    assert heard == ["0", "1", "2"]
    with pytest.raises(TimeoutError):
        await channel.get(timeout=0.01)


async def test_callbacks_can_be_undone_and_cannot_harm(
    server: FakeServer, make_client: MakeClient
) -> None:
    messages: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: messages.append(context["message"])
    )
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "c")
    heard: list[str] = []

    def once(event: Event) -> None:
        heard.append(event.data)
        unbind()
        unbind()
        raise RuntimeError("mine")

    unbind = channel.bind("e", once)
    channel.bind("e", lambda event: heard.append(f"second {event.data}"))
    await peer.send("e", "1", "c")
    await peer.send("e", "2", "c")
    assert (await channel.get(10)).data == "1"
    assert (await channel.get(10)).data == "2"
    assert heard == ["1", "second 1", "second 2"]
    assert messages == ["the callback for events of channel c raised"]


async def test_soketis_success_without_data_is_a_success(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    subscribing = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    await peer.send_raw({"event": "pusher_internal:subscription_succeeded", "channel": "c"})
    assert (await subscribing).subscribed
