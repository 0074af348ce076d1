"""Subscriptions that have to be signed for, by whatever authorizer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard_client import (
    Authorization,
    ChannelClosed,
    SecretAuthorizer,
    SubscriptionError,
)
from client.fake_server import FakeServer
from client.scripted import (
    AUTHORIZER,
    KEY,
    SECRET,
    MakeClient,
    all_is_received,
    connect,
    join,
)


async def test_an_authorizer_may_be_a_coroutine(
    server: FakeServer, make_client: MakeClient
) -> None:
    async def authorize(socket_id: str, channel: str) -> Authorization:
        await asyncio.sleep(0)
        return {"auth": f"key:{socket_id}-{channel}", "channel_data": "{}"}

    client, peer = await connect(server, make_client, authorizer=authorize)
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    asked = await peer.hear_subscribe("private-a")
    assert asked["auth"] == "key:1.1-private-a"
    assert asked["channel_data"] == "{}"
    await peer.succeed("private-a")
    await subscribing


async def test_a_slow_authorizer_holds_up_neither_pings_nor_other_channels(
    server: FakeServer, make_client: MakeClient
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def authorize(socket_id: str, channel: str) -> Authorization:
        asked.set()
        await answer.wait()
        return {"auth": f"key:{socket_id}"}

    client, peer = await connect(server, make_client, authorizer=authorize)
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    await asked.wait()
    await all_is_received(peer)
    await join(client, peer, "public")
    # A signature for a connection that is gone is not sent on the next.
    peer.cut()
    peer = await server.accept()
    await peer.establish("2.2")
    await peer.hear_subscribe("public")
    answer.set()
    assert (await peer.hear_subscribe("private-a"))["auth"] == "key:2.2"
    await peer.succeed("private-a")
    await subscribing


async def test_two_who_want_one_channel_ask_for_one_signature(
    server: FakeServer, make_client: MakeClient
) -> None:
    asked: list[str] = []

    async def authorize(socket_id: str, channel: str) -> Authorization:
        asked.append(channel)
        await asyncio.sleep(0)
        return {"auth": f"key:{socket_id}"}

    client, peer = await connect(server, make_client, authorizer=authorize)
    subscribing = asyncio.gather(client.subscribe("private-a"), client.subscribe("private-a"))
    await peer.hear_subscribe("private-a")
    await peer.succeed("private-a")
    one, two = await subscribing
    assert one is two
    assert asked == ["private-a"]


async def test_what_is_given_up_while_it_is_signed_is_not_sent(
    server: FakeServer, make_client: MakeClient
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def authorize(socket_id: str, channel: str) -> Authorization:
        asked.set()
        await answer.wait()
        return {"auth": f"key:{socket_id}"}

    client, peer = await connect(server, make_client, authorizer=authorize)
    subscribing = asyncio.create_task(client.subscribe("private-a"))
    await asked.wait()
    await client.unsubscribe("private-a")
    with pytest.raises(ChannelClosed):
        await subscribing
    answer.set()
    # The next it hears is another channel.
    await join(client, peer, "public")


def _raises(socket_id: str, channel: str) -> Authorization:
    raise RuntimeError("no key here")


@pytest.mark.parametrize(
    ("authorizer", "name", "reason"),
    [
        (None, "private-a", r"pass Client\(authorizer"),
        (SecretAuthorizer(KEY, SECRET), "presence-a", "needs SecretAuthorizer"),
        (_raises, "private-a", "signing it raised RuntimeError: no key here"),
        (lambda *_: None, "private-a", "must return an object with auth, got null"),
        (lambda *_: {}, "private-a", "auth must be a string, got null"),
        (lambda *_: {"auth": "a", "channel_data": {}}, "private-a", "must be a JSON string"),
        (lambda *_: {"auth": "\ud800"}, "private-a", "signing it raised TypeError"),
        (None, "\ud800", "signing it raised TypeError"),
    ],
)
async def test_what_cannot_be_signed_fails_here(
    server: FakeServer, make_client: MakeClient, authorizer: Any, name: str, reason: str
) -> None:
    client, peer = await connect(server, make_client, authorizer=authorizer)
    with pytest.raises(SubscriptionError, match=reason):
        await client.subscribe(name)
    assert (await join(client, peer, "public")).subscribed


def test_a_secret_is_not_shown() -> None:
    assert SECRET not in repr(AUTHORIZER)


async def test_a_channel_needs_a_name(server: FakeServer, make_client: MakeClient) -> None:
    client, _ = await connect(server, make_client)
    with pytest.raises(ValueError, match="needs a name"):
        await client.subscribe("")
