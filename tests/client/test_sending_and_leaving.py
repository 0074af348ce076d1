"""Client events, and the end of a channel."""

from __future__ import annotations

import asyncio

import pytest

from callboard_client import (
    ChannelClosed,
    Event,
    NotConnected,
    Timings,
)
from client.fake_server import FakeServer
from client.scripted import (
    MakeClient,
    all_is_received,
    connect,
    join,
)


async def test_a_client_event_goes_as_pusher_js_sends_it(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "private-a")
    await channel.trigger("client-x", {"a": [1]})
    assert await peer.hear("client-x") == {
        "event": "client-x",
        "channel": "private-a",
        "data": {"a": [1]},
    }
    await channel.trigger("client-y", "text")
    assert (await peer.hear("client-y"))["data"] == "text"


@pytest.mark.parametrize(
    ("name", "event", "error", "reason"),
    [
        ("private-a", "x", ValueError, "must start with 'client-', got 'x'"),
        ("public", "client-x", ValueError, "public is public"),
    ],
)
async def test_what_no_service_would_take_is_refused_here(
    server: FakeServer,
    make_client: MakeClient,
    name: str,
    event: str,
    error: type[Exception],
    reason: str,
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, name)
    with pytest.raises(error, match=reason):
        await channel.trigger(event, {})


async def test_a_client_event_needs_a_subscription(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, _ = await connect(server, make_client)
    with pytest.raises(NotConnected, match="private-a is not subscribed at the moment"):
        await client.channel("private-a").trigger("client-x", {})


async def test_a_client_event_into_a_closing_connection_is_an_error(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "private-a")
    closing = asyncio.create_task(peer.close(4100))
    with pytest.raises(NotConnected):
        while True:
            await channel.trigger("client-x", {})
            await asyncio.sleep(0)
    await closing
    assert str(ChannelClosed("private-a")) == "channel private-a is no longer subscribed"


async def test_a_peer_that_reads_nothing_is_cut_and_holds_up_no_sender(
    server: FakeServer, make_client: MakeClient
) -> None:
    timings = Timings(activity_seconds=0.05, pong_seconds=0.05)
    client, peer = await connect(server, make_client, timings=timings)
    channel = await join(client, peer, "private-a")
    # More than both kernels' buffers hold, to a peer that has stopped reading.
    data = "x" * 500_000
    senders = [asyncio.create_task(channel.trigger("client-x", data)) for _ in range(60)]
    await (await server.accept()).establish("2.2")
    assert await client.connected() == "2.2"
    results = await asyncio.gather(*senders, return_exceptions=True)
    # Handed to the connection that was cut, or not even that.
    assert all(result is None or isinstance(result, NotConnected) for result in results)


async def test_unsubscribing_ends_reading_behind_what_is_unread(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "private-a")
    await peer.send("e", "1", "private-a")
    await all_is_received(peer)
    await client.unsubscribe("private-a")
    await client.unsubscribe("private-a")
    assert (await peer.hear("pusher:unsubscribe"))["data"] == {"channel": "private-a"}
    assert [event.data async for event in channel] == ["1"]
    with pytest.raises(ChannelClosed):
        await channel.get()
    with pytest.raises(ChannelClosed):
        await channel.trigger("client-x", {})
    assert not channel.subscribed
    # What was on its way is for nobody.
    await peer.send("e", "2", "private-a")
    await all_is_received(peer)
    again = await join(client, peer, "private-a")
    assert again is not channel
    await peer.send("e", "3", "private-a")
    assert (await again.get(10)).data == "3"


async def test_closing_the_client_ends_reading(server: FakeServer, make_client: MakeClient) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "c")

    async def read() -> list[Event]:
        return [event async for event in channel]

    reading = asyncio.create_task(read())
    await client.close()
    assert await reading == []
