"""pusher (PyPI), the official server library for Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pusher
import pusher.aiohttp
import pusher.errors
import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP, DISABLED
from interop.conftest import server_sdk
from interop.pysher_client import SUBSCRIBED, PysherClient, signing


@pytest.fixture
def room(server: BackgroundServer, name: str) -> Iterator[PysherClient]:
    """alice, on a public and on a presence channel."""
    channels = [name, "presence-" + name]
    alice = signing(APP, "alice")
    with PysherClient(APP, server.port, channels, ["news"], **alice) as client:
        for channel in channels:
            client.hear(SUBSCRIBED, channel)
        yield client


@pytest.mark.documented("SDKs", "The Python server library triggers")
def test_trigger(room: PysherClient, api: pusher.Pusher, name: str) -> None:
    channels = [name, "presence-" + name]
    assert api.trigger(name, "news", {"text": "žluťoučký 🐴"}) == {}
    assert api.trigger(channels, "news", "for both") == {}
    assert room.hear("news", name) == {"text": "žluťoučký 🐴"}
    for channel in channels:
        assert room.hear("news", channel) == "for both"


@pytest.mark.documented("SDKs", "The Python server library triggers batches")
def test_trigger_batch(room: PysherClient, api: pusher.Pusher, name: str) -> None:
    batch = [
        {"channel": channel, "name": "news", "data": {"n": n}}
        for n in range(5)
        for channel in (name, "presence-" + name)
    ]
    assert api.trigger_batch(batch) == {}
    for channel in (name, "presence-" + name):
        assert [room.hear("news", channel)["n"] for _ in range(5)] == list(range(5))


def test_the_client_that_caused_an_event_is_left_out(
    room: PysherClient, server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    with PysherClient(APP, server.port, [name], ["news"]) as other:
        other.hear(SUBSCRIBED, name)
        api.trigger(name, "news", 1, socket_id=room.socket_id)
        api.trigger_batch(
            [
                {"channel": name, "name": "news", "data": 2, "socket_id": room.socket_id},
                {"channel": name, "name": "news", "data": 3},
            ]
        )
        assert [other.hear("news", name) for _ in range(3)] == [1, 2, 3]
        assert room.hear("news", name) == 3


@pytest.mark.documented("SDKs", "The Python server library looks channels and users up")
def test_the_state_of_channels(
    room: PysherClient, server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    presence = "presence-" + name
    both = ["user_count", "subscription_count"]
    with PysherClient(APP, server.port, [presence], **signing(APP, "alice")) as tab:
        tab.hear(SUBSCRIBED, presence)
        assert set(api.channels_info()["channels"]) == {name, presence}
        assert api.channels_info(name) == {"channels": {name: {}}}
        counted = {"channels": {presence: {"user_count": 1}}}
        assert api.channels_info("presence-", ["user_count"]) == counted
        assert api.channel_info(presence, both) == {
            "occupied": True,
            "user_count": 1,
            "subscription_count": 2,
        }
        assert api.channel_info(name, ["subscription_count"]) == {
            "occupied": True,
            "subscription_count": 1,
        }
        assert api.channel_info("empty") == {"occupied": False}
        assert api.users_info(presence) == {"users": [{"id": "alice"}]}


def test_an_app_may_be_given_as_a_url(
    room: PysherClient, server: BackgroundServer, name: str
) -> None:
    """The library leaves the port of the URL alone, so it is given beside it."""
    url = f"http://{APP.key}:{APP.secret}@127.0.0.1/apps/{APP.id}"
    assert pusher.Pusher.from_url(url, port=server.port).trigger(name, "news", 1) == {}
    assert room.hear("news", name) == 1


async def test_the_asynchronous_backend(
    room: PysherClient, server: BackgroundServer, name: str
) -> None:
    api = server_sdk(APP, server.port, backend=pusher.aiohttp.AsyncIOBackend)
    assert await api.trigger(name, "news", 1) == {}
    assert room.hear("news", name) == 1
    presence = "presence-" + name
    both = ["user_count", "subscription_count"]
    assert await api.channel_info(presence, both) == {
        "occupied": True,
        "user_count": 1,
        "subscription_count": 1,
    }


def test_a_refused_signature_is_bad_auth(server: BackgroundServer) -> None:
    guessed = server_sdk(APP, server.port, secret="guessed")
    with pytest.raises(pusher.errors.PusherBadAuth, match="Invalid signature") as refusal:
        guessed.trigger("news", "news", "x")
    assert "POST" in str(refusal.value) and f"/apps/{APP.id}/events" in str(refusal.value)
    assert APP.secret not in str(refusal.value)
    with pytest.raises(pusher.errors.PusherBadAuth, match="Invalid signature"):
        guessed.channels_info()


def test_another_apps_key_is_bad_auth(server: BackgroundServer) -> None:
    stranger = pusher.Pusher(
        app_id=APP.id,
        key=DISABLED.key,
        secret=DISABLED.secret,
        ssl=False,
        host="127.0.0.1",
        port=server.port,
    )
    with pytest.raises(pusher.errors.PusherBadAuth, match="Unknown auth_key"):
        stranger.trigger("news", "news", "x")


def test_a_disabled_app_is_forbidden(server: BackgroundServer) -> None:
    with pytest.raises(pusher.errors.PusherForbidden, match="App is disabled"):
        server_sdk(DISABLED, server.port).trigger("news", "news", "x")


@pytest.mark.parametrize(
    ("call", "arguments", "error", "reason"),
    [
        ("trigger", ("news", "news", "x" * 10241), "PusherBadStatus", "413: .*10240 bytes"),
        ("trigger", ("n" * 165, "news", "x"), "PusherBadRequest", "at most 164"),
        (
            "trigger_batch",
            ([{"channel": "news", "name": "news", "data": "x"}] * 11,),
            "PusherBadRequest",
            r"Batch too large \(11 > 10\)",
        ),
        ("users_info", ("news",), "PusherBadRequest", "only be retrieved for presence channels"),
        (
            "channel_info",
            ("news", ["user_count"]),
            "PusherBadRequest",
            "unless the channel is a presence channel",
        ),
        (
            "channels_info",
            (None, ["user_count"]),
            "PusherBadRequest",
            "user_count may only be requested for presence channels",
        ),
    ],
)
def test_a_bad_call_is_explained(
    call: str, arguments: tuple[Any, ...], error: str, reason: str, api: pusher.Pusher
) -> None:
    with pytest.raises(getattr(pusher.errors, error), match=reason):
        getattr(api, call)(*arguments)
