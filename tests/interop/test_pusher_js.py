"""pusher-js, the official client for browsers, in its build for Node."""

from __future__ import annotations

import base64
import re

import pusher
import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP
from interop.conftest import StartScript
from interop.inbox import eventually
from interop.node_script import NodeScript
from interop.pysher_client import SUBSCRIBED, PysherClient
from support.backend import Backend

FILE = "pusher-js.cjs"


@pytest.fixture
def start(node: StartScript, server: BackgroundServer, backend: Backend) -> StartScript:
    """Start a scenario whose clients know the server, the app's key and the app's backend."""

    def start(scenario: str, **config: object) -> NodeScript:
        settings = {"port": server.port, "key": APP.key, "endpoint": backend.endpoint}
        return node(FILE, scenario, **settings | config)

    return start


def test_it_connects_and_learns_a_socket_id(start: StartScript) -> None:
    script = start("connection")
    assert re.fullmatch(r"\d+\.\d+", script.hear("socket_id"))
    assert script.hear("states") == ["connecting", "connected", "disconnected"]
    script.finish()


@pytest.mark.documented("SDKs", "pusher-js hears events on public, private and presence channels")
@pytest.mark.parametrize("prefix", ["", "private-", "presence-"])
def test_it_receives_data_as_the_app_sent_it(
    prefix: str, start: StartScript, api: pusher.Pusher, name: str
) -> None:
    channel = prefix + name
    script = start("listen", channels=[channel], event="news")
    script.hear("subscribed")
    for data in ({"n": 1, "nested": {"a": [1, None, True]}}, [1, 2], "text", "žluťoučký 🐴", ""):
        assert api.trigger(channel, "news", data) == {}
        assert script.hear(channel) == data
    script.cue("end")


def test_one_trigger_reaches_several_channels(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    channels = [name + "-1", name + "-2", "private-" + name]
    script = start("listen", channels=channels, event="news")
    script.hear("subscribed")
    api.trigger(channels, "news", {"to": "all"})
    api.trigger_batch(
        [{"channel": channel, "name": "news", "data": {"to": channel}} for channel in channels]
    )
    for channel in channels:
        assert script.hear(channel) == {"to": "all"}
        assert script.hear(channel) == {"to": channel}


def test_events_arrive_in_the_order_they_were_sent(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    script = start("order", channel=name, count=200)
    script.hear("subscribed")
    for first in range(0, 200, 20):
        for n in range(first, first + 10):
            api.trigger(name, "count", {"n": n})
        api.trigger_batch(
            [
                {"channel": name, "name": "count", "data": {"n": n}}
                for n in range(first + 10, first + 20)
            ]
        )
    assert script.hear("numbers") == list(range(200))
    script.finish()


@pytest.mark.documented("SDKs", "pusher-js sees members come and go")
def test_a_presence_channel_has_users_not_connections(
    start: StartScript, api: pusher.Pusher, backend: Backend, name: str
) -> None:
    channel = "presence-" + name
    alice, bob = ({"name": "Alice"}, {"name": "Bob"})
    script = start("presence", channel=channel)

    me = {"id": "bob", "info": bob}
    assert script.hear("bob alone") == {"count": 1, "me": me, "everyone": {"bob": bob}}
    for _tab in range(2):
        assert script.hear("alice joins") == {
            "count": 2,
            "me": {"id": "alice", "info": alice},
            "everyone": {"alice": alice, "bob": bob},
        }
    assert script.hear("bob hears") == ["added", "alice", alice]

    script.cue("close a tab")
    subscriptions = ["user_count", "subscription_count"]
    left = {"occupied": True, "user_count": 2, "subscription_count": 2}
    eventually(lambda: api.channel_info(channel, subscriptions) == left)
    api.trigger(channel, "news", "alice is still here")
    assert script.hear("bob hears") == ["news", "alice is still here"]

    script.cue("close a tab")
    assert script.hear("bob hears") == ["removed", "alice", alice]
    script.cue("end")
    assert script.hear("bob at last") == {"count": 1, "me": me, "everyone": {"bob": bob}}
    script.finish()


@pytest.mark.documented("SDKs", "pusher-js sends and hears client events")
@pytest.mark.parametrize(
    ("prefix", "metadata"), [("private-", {}), ("presence-", {"user_id": "alice"})]
)
def test_client_events_go_to_the_others(
    prefix: str, metadata: dict[str, str], start: StartScript, name: str
) -> None:
    script = start("clientEvents", channel=prefix + name)
    for data in ({"text": "hello"}, "a string", ["a", "list"], {"text": "žluťoučký 🐴"}):
        assert script.hear("bob hears") == [data, metadata]
    assert script.hear("alice hears") == {"text": "hello yourself"}
    script.finish()
    assert "echo" not in script.transcript


def test_the_client_that_caused_an_event_can_be_left_out(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    cause, other = (start("listen", channels=[name], event="news") for _ in range(2))
    socket_id = cause.hear("subscribed")
    other.hear("subscribed")
    api.trigger(name, "news", "for the others", socket_id)
    api.trigger(name, "news", "for all")
    assert other.hear(name) == "for the others"
    assert other.hear(name) == cause.hear(name) == "for all"


def test_nothing_arrives_after_unsubscribing(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    left, kept = "private-" + name, name
    script = start("unsubscribe", left=left, kept=kept)
    script.hear("subscribed")
    api.trigger([left, kept], "news", 1)
    assert [script.hear("message"), script.hear("message")] == [[left, 1], [kept, 1]]

    script.cue("leave")
    eventually(lambda: api.channel_info(left) == {"occupied": False})
    api.trigger([left, kept], "news", 2)
    assert script.hear("message") == [kept, 2]

    script.cue("come back")
    script.hear("subscribed")
    api.trigger(left, "news", 3)
    assert script.hear("message") == [left, 3]
    assert script.hear("event") == 3


def test_pings_keep_a_silent_connection(start: StartScript) -> None:
    script = start("keepAlive")
    assert script.hear("same connection") is True
    script.finish()
    assert '["state"' not in script.transcript


def test_it_is_let_in_with_signatures_of_the_node_library(start: StartScript, name: str) -> None:
    script = start(
        "signedByNode",
        appId=APP.id,
        secret=APP.secret,
        privateChannel="private-" + name,
        presenceChannel="presence-" + name,
    )
    member = {"name": "Ålice"}
    assert script.hear("members") == {
        "count": 1,
        "me": {"id": "alice", "info": member},
        "everyone": {"alice": member},
    }
    script.finish()


@pytest.mark.documented("SDKs", "pusher-js decrypts what the server cannot read")
def test_it_reads_what_the_server_cannot(
    start: StartScript, server: BackgroundServer, name: str
) -> None:
    """An encrypted channel: the apps at both ends share a key, and the server relays bytes."""
    channel = "private-encrypted-" + name
    master_key = base64.b64encode(b"32 bytes that both apps know, ok").decode()
    app = {"appId": APP.id, "secret": APP.secret, "masterKey": master_key}
    script = start("encrypted", channel=channel, **app)
    with PysherClient(APP, server.port, [channel], ["news"], secret=APP.secret) as without_key:
        without_key.hear(SUBSCRIBED, channel)
        script.cue("trigger")
        assert script.hear("decrypted") == {"text": "between us"}
        assert set(without_key.hear("news", channel)) == {"nonce", "ciphertext"}
    script.finish()
