"""Channels over a connection: asked for, confirmed, refused, given up."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from callboard_client import (
    Channel,
    Event,
    SecretAuthorizer,
    ServerError,
    SubscriptionError,
)
from callboard_protocol import refusals, signatures
from client.fake_server import FakeServer
from client.scripted import (
    KEY,
    SECRET,
    MakeClient,
    all_is_received,
    connect,
    join,
)


async def test_a_public_channel_is_asked_for_without_a_signature(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client, authorizer=None)
    subscribing = asyncio.create_task(client.subscribe("news"))
    assert await peer.hear_subscribe("news") == {"auth": "", "channel": "news"}
    assert not subscribing.done()
    await peer.succeed("news")
    channel = await subscribing
    assert channel.name == "news"
    assert repr(channel) == "<Channel news>"
    assert repr(client.channel("other")) == "<Channel other, not subscribed>"
    assert channel.subscribed


async def test_a_private_channel_is_signed_for(server: FakeServer, make_client: MakeClient) -> None:
    client, peer = await connect(server, make_client)
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    assert await peer.hear_subscribe("private-a") == {
        "auth": signatures.auth(KEY, SECRET, "1.1:private-a"),
        "channel": "private-a",
    }
    await peer.succeed("private-a")
    assert (await subscribing).subscribed


async def test_a_presence_channel_knows_its_members(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    subscribing = asyncio.create_task(client.subscribe("presence-a"))
    asked = await peer.hear_subscribe("presence-a")
    assert orjson.loads(asked["channel_data"]) == {"user_id": "u1", "user_info": {"name": "Ada"}}
    string = f"1.1:presence-a:{asked['channel_data']}"
    assert asked["auth"] == signatures.auth(KEY, SECRET, string)

    presence = {"ids": ["u1"], "hash": {"u1": {"name": "Ada"}}, "count": 1}
    await peer.succeed("presence-a", {"presence": presence})
    channel = await subscribing
    heard: list[Event] = []
    channel.bind(None, heard.append)
    assert channel.members == {"u1": {"name": "Ada"}}

    member = {"user_id": "u2", "user_info": None}
    await peer.send("pusher_internal:member_added", member, "presence-a")
    await peer.send("pusher_internal:member_removed", {"user_id": "u1"}, "presence-a")
    await peer.send("published", "1", "presence-a")
    # What is read is what was published; callbacks hear of members too.
    assert (await channel.get(timeout=10)).event == "published"
    assert channel.members == {"u2": None}
    assert [event.event for event in heard] == [
        "pusher:member_added",
        "pusher:member_removed",
        "published",
    ]

    peer.cut()
    await server.accept()
    assert channel.members == {}


async def test_a_wrong_signature_raises_the_services_text_and_leaves_the_rest_alone(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client, authorizer=SecretAuthorizer(KEY, "wrong"))
    good = await join(client, peer, "public")
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    key, _, given = (await peer.hear_subscribe("private-a"))["auth"].partition(":")
    string = signatures.channel_string("1.1", "private-a")
    assert key == KEY
    assert not signatures.matches(SECRET, string, given)
    text = refusals.wrong_signature(string, given)
    await peer.error(text)
    with pytest.raises(SubscriptionError) as caught:
        await subscribing
    assert caught.value.channel == "private-a"
    assert caught.value.message == text
    assert caught.value.status is None

    await peer.send("e", "still here", "public")
    assert (await good.get(timeout=10)).data == "still here"
    # It can be tried again.
    assert (await join(client, peer, "private-a")).subscribed


async def test_of_many_subscriptions_the_refused_ones_fail(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    names = [f"private-{number}" for number in range(20)]
    subscribing = asyncio.gather(*map(client.subscribe, names), return_exceptions=True)
    # All are sent before any is answered.
    for name in names:
        await peer.hear_subscribe(name)
    for name in reversed(names[1:]):
        if int(name.partition("-")[2]) % 2:
            await peer.error(refusals.auth_required(name))
        else:
            await peer.succeed(name)
    # No name in the text: only one is left whose it can be.
    await peer.error(refusals.unknown_auth_key("other"))
    results = await subscribing
    failed = [name for name, got in zip(names, results, strict=True) if isinstance(got, Exception)]
    assert failed == ["private-0", *names[1::2]]
    assert all(isinstance(got, Channel | SubscriptionError) for got in results)


@pytest.mark.parametrize(
    "event", ["pusher:subscription_error", "pusher_internal:subscription_error"]
)
async def test_a_refusal_that_names_the_channel_in_the_frame_is_understood(
    server: FakeServer, make_client: MakeClient, event: str
) -> None:
    client, peer = await connect(server, make_client)
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    await peer.hear_subscribe("private-a")
    data = {"type": "AuthError", "error": "The connection is unauthorized.", "status": 401}
    await peer.send(event, data, "private-a")
    with pytest.raises(SubscriptionError, match="The connection is unauthorized") as caught:
        await subscribing
    assert caught.value.status == 401


async def test_a_refusal_of_what_is_subscribed_changes_nothing(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "private-a")
    await peer.send("pusher:subscription_error", {"error": "again?"}, "private-a")
    await peer.send("e", "1", "private-a")
    assert (await channel.get(10)).data == "1"
    assert channel.subscribed


async def test_an_error_about_something_else_does_not_fail_a_subscription(
    server: FakeServer, make_client: MakeClient
) -> None:
    errors: list[ServerError] = []
    client, peer = await connect(server, make_client, on_error=errors.append)
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    await peer.hear_subscribe("private-a")
    await peer.error(refusals.client_events_off())
    await peer.succeed("private-a")
    await subscribing
    assert [error.message for error in errors] == [refusals.client_events_off()]


async def test_a_failed_resubscription_reaches_readers_and_callbacks(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    channel = await join(client, peer, "private-a")
    heard: list[Event] = []
    channel.bind("pusher:subscription_error", heard.append)
    await peer.send("e", "unread", "private-a")
    await all_is_received(peer)
    peer.cut()
    peer = await server.accept()
    await peer.establish("2.2")
    await peer.hear_subscribe("private-a")
    await peer.error(refusals.auth_required("private-a"))
    assert (await anext(channel)).data == "unread"
    with pytest.raises(SubscriptionError, match="Auth info required"):
        await anext(channel)
    with pytest.raises(SubscriptionError, match="Auth info required"):
        await channel.trigger("client-x", {})
    (event,) = heard
    assert orjson.loads(event.data) == {
        "type": "AuthError",
        "error": refusals.auth_required("private-a"),
    }


async def test_two_who_want_one_channel_share_it(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    first = asyncio.create_task(client.subscribe("c"))
    second = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    # One of them gives up; the other still wants it.
    first.cancel()
    await peer.succeed("c")
    channel = await second
    assert await client.subscribe("c") is channel
    assert client.channel("c") is channel
    await all_is_received(peer)


async def test_a_subscription_given_up_under_way_is_unsubscribed_when_it_succeeds(
    server: FakeServer, make_client: MakeClient
) -> None:
    client, peer = await connect(server, make_client)
    subscribing = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    subscribing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await subscribing
    await peer.succeed("c")
    assert (await peer.hear("pusher:unsubscribe"))["data"] == {"channel": "c"}
    assert (await join(client, peer, "c")).subscribed


async def test_a_channel_wanted_before_the_connection_stands_is_asked_for_then(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    subscribing = asyncio.create_task(client.subscribe("c"))
    peer = await server.accept()
    await peer.establish()
    await peer.hear_subscribe("c")
    await peer.succeed("c")
    assert (await subscribing).subscribed
