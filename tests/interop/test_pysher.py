"""pysher, the Pusher client for Python: protocol 6, threads, callbacks with undecoded data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.apps import APP, APPS
from interop.conftest import server_sdk
from interop.inbox import eventually
from interop.pysher_client import MEMBER_ADDED, MEMBER_REMOVED, SUBSCRIBED, PysherClient, signing
from support.backend import Backend


@pytest.fixture(params=["secret", "auth_endpoint"])
def options(request: pytest.FixtureRequest, backend: Backend) -> Iterator[dict[str, Any]]:
    """pysher's options for alice, in both ways to authorise."""
    if request.param == "secret":
        yield signing(APP, "alice")
    else:
        yield {
            "auth_endpoint": backend.endpoint,
            "auth_endpoint_headers": {"Authorization": "Bearer alice"},
            "user_data": backend.member("alice"),
        }


def test_it_connects_and_learns_a_socket_id(server: BackgroundServer) -> None:
    with PysherClient(APP, server.port) as client:
        established = client.hear("pusher:connection_established")
        assert re.fullmatch(r"\d+\.\d+", established["socket_id"])
        assert established["activity_timeout"] == 120
        assert client.pusher.connection.state == "connected"


@pytest.mark.documented("SDKs", "Pysher hears events on every kind of channel")
def test_it_receives_on_every_kind_of_channel(
    options: dict[str, Any], server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    channels = [name, "private-" + name, "presence-" + name]
    with PysherClient(APP, server.port, channels, ["news"], **options) as client:
        for channel in channels:
            client.hear(SUBSCRIBED, channel)
        for n in range(20):
            api.trigger(channels, "news", {"n": n, "text": "žluťoučký 🐴"})
        for channel in channels:
            heard = [client.hear("news", channel) for _ in range(20)]
            assert heard == [{"n": n, "text": "žluťoučký 🐴"} for n in range(20)]


def test_members_of_a_presence_channel(
    options: dict[str, Any], server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    channel = "presence-" + name
    bob_joins = PysherClient(APP, server.port, [channel], **signing(APP, "bob"))
    with PysherClient(APP, server.port, [channel], **options) as alice:
        alone = {"count": 1, "ids": ["alice"], "hash": {"alice": {"name": "Alice"}}}
        assert alice.hear(SUBSCRIBED, channel) == {"presence": alone}
        with bob_joins as bob:
            presence = bob.hear(SUBSCRIBED, channel)["presence"]
            assert presence["count"] == 2
            assert sorted(presence["ids"]) == ["alice", "bob"]
            assert presence["hash"] == {"alice": {"name": "Alice"}, "bob": {"name": "Bob"}}
            assert alice.hear(MEMBER_ADDED, channel) == Backend.member("bob")
        assert alice.hear(MEMBER_REMOVED, channel) == {"user_id": "bob"}
    eventually(lambda: api.users_info(channel) == {"users": []})


def test_a_numeric_user_id_becomes_a_string(
    server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    """As the documentation's own example signs it: ``"user_id": 10``."""
    channel = "presence-" + name
    options: dict[str, Any] = {"secret": APP.secret, "user_data": {"user_id": 10}}
    with PysherClient(APP, server.port, [channel], **options) as client:
        assert client.hear(SUBSCRIBED, channel)["presence"]["ids"] == ["10"]
        assert api.users_info(channel) == {"users": [{"id": "10"}]}


def test_client_events_go_to_the_others(server: BackgroundServer, name: str) -> None:
    channels = ["private-" + name, "presence-" + name]
    events = ["client-greeting", "client-answer"]
    with (
        PysherClient(APP, server.port, channels, events, **signing(APP, "alice")) as alice,
        PysherClient(APP, server.port, channels, events, **signing(APP, "bob")) as bob,
    ):
        for channel in channels:
            alice.hear(SUBSCRIBED, channel)
            bob.hear(SUBSCRIBED, channel)
            alice.trigger(channel, "client-greeting", {"text": "hello"})
            assert bob.hear("client-greeting", channel) == {"text": "hello"}
            bob.trigger(channel, "client-answer", {"text": "hello yourself"})
            assert alice.hear("client-answer", channel) == {"text": "hello yourself"}


def test_a_wrong_signature_is_explained(
    server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    channels = ["private-" + name, name]
    with PysherClient(APP, server.port, channels, ["news"], secret="guessed") as client:
        error = client.hear("pusher:error")
        assert error["code"] is None
        assert error["message"].startswith("Invalid signature: Expected HMAC SHA256 hex digest of")
        client.hear(SUBSCRIBED, name)
        api.trigger(name, "news", "still heard")
        assert client.hear("news", name) == "still heard"


def test_it_leaves_one_channel_and_keeps_the_other(
    server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    left, kept = name + "-left", name + "-kept"
    with PysherClient(APP, server.port, [left, kept], ["news"]) as client:
        client.hear(SUBSCRIBED, left)
        client.hear(SUBSCRIBED, kept)
        client.pusher.unsubscribe(left)
        eventually(lambda: api.channel_info(left) == {"occupied": False})
        api.trigger([left, kept], "news", 1)
        assert client.hear("news", kept) == 1


@pytest.mark.documented("SDKs", "Pysher stays by answering the server's pings")
def test_it_stays_by_answering_the_servers_pings(name: str) -> None:
    """pysher itself is silent for two minutes."""
    settings = Settings(port=0, apps=APPS, activity_timeout_seconds=1, pong_timeout_seconds=1)
    with (
        BackgroundServer(settings) as server,
        PysherClient(APP, server.port, [name], ["news"]) as client,
    ):
        client.hear(SUBSCRIBED, name)
        for _ in range(2):
            client.hear("pusher:ping")
        server_sdk(APP, server.port).trigger(name, "news", "still here")
        assert client.hear("news", name) == "still here"
        assert client.hear("pusher:connection_established")["activity_timeout"] == 1
        with pytest.raises(AssertionError, match=r"no .* within"):
            client.hear("pusher:connection_established", timeout=0)
