"""pusher (npm), the official server library for Node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP, DISABLED
from interop.conftest import StartScript
from interop.node_script import NodeScript
from interop.pysher_client import SUBSCRIBED, PysherClient, signing

FILE = "pusher-server.cjs"


@pytest.fixture
def start(node: StartScript, server: BackgroundServer) -> StartScript:
    """Start a scenario that has the app's credentials."""

    def start(scenario: str, **config: object) -> NodeScript:
        app = {"appId": APP.id, "key": APP.key, "secret": APP.secret}
        return node(FILE, scenario, port=server.port, **app | config)

    return start


@pytest.fixture
def room(server: BackgroundServer, name: str) -> Iterator[PysherClient]:
    """alice, on a public and on a presence channel."""
    channels = [name, "presence-" + name]
    alice = signing(APP, "alice")
    with PysherClient(APP, server.port, channels, ["news"], **alice) as client:
        for channel in channels:
            client.hear(SUBSCRIBED, channel)
        yield client


@pytest.mark.documented("SDKs", "The Node server library triggers, also batches")
def test_trigger_and_batch(start: StartScript, room: PysherClient, name: str) -> None:
    channels = [name, "presence-" + name]
    script = start("trigger", channels=channels)
    assert [script.hear(call) for call in ("one", "several", "batch")] == [{}, {}, {}]
    script.finish()
    assert [room.hear("news", channels[0])["n"] for _ in range(3)] == [1, 2, 3]
    assert [room.hear("news", channels[1])["n"] for _ in range(2)] == [2, 4]


def test_the_client_that_caused_an_event_is_left_out(
    start: StartScript, server: BackgroundServer, room: PysherClient, name: str
) -> None:
    with PysherClient(APP, server.port, [name], ["news"]) as other:
        other.hear(SUBSCRIBED, name)
        start("exclusion", channel=name, socketId=room.socket_id).finish()
        heard = [other.hear("news", name) for _ in range(3)]
        assert heard == ["for the others", "for the others too", "for all"]
        assert room.hear("news", name) == "for all"


def test_counts_come_with_a_trigger(start: StartScript, room: PysherClient, name: str) -> None:
    presence = "presence-" + name
    script = start("info", publicChannel=name, presenceChannel=presence)
    assert script.hear("trigger") == {
        "channels": {
            name: {"subscription_count": 1},
            presence: {"user_count": 1, "subscription_count": 1},
        }
    }
    assert script.hear("batch") == {
        "batch": [{"subscription_count": 1}, {}, {"user_count": 1, "subscription_count": 1}]
    }
    script.finish()


@pytest.mark.documented("SDKs", "The Node server library looks channels and users up")
def test_the_state_of_channels(start: StartScript, room: PysherClient, name: str) -> None:
    presence = "presence-" + name
    script = start("state", prefix=name, publicChannel=name, presenceChannel=presence)
    assert script.hear("channels") == {"channels": {name: {}}}
    assert script.hear("presence channels") == {"channels": {presence: {"user_count": 1}}}
    assert script.hear("public channel") == {"occupied": True, "subscription_count": 1}
    both = {"occupied": True, "user_count": 1, "subscription_count": 1}
    assert script.hear("presence channel") == both
    assert script.hear("empty channel") == {"occupied": False}
    assert script.hear("users") == {"users": [{"id": "alice"}]}
    script.finish()


def test_refusals_are_request_errors(start: StartScript) -> None:
    disabled = {"appId": DISABLED.id, "key": DISABLED.key, "secret": DISABLED.secret}
    script = start("errors", disabled=disabled)
    expected = {
        "wrong secret": (401, "Invalid signature: you should have sent HmacSHA256Hex("),
        "wrong key": (401, "Unknown auth_key"),
        "unknown app": (404, "Unknown app_id: '999'"),
        "disabled app": (403, "App is disabled"),
        "too large": (413, "The data content of this event exceeds the allowed maximum (10240"),
        "too large in a batch": (413, "The data content of this event exceeds"),
        "batch of 11": (400, "Batch too large (11 > 10)"),
        "users of a public channel": (400, "Users can only be retrieved for presence channels"),
        "unknown path": (404, "Not found"),
        "body beyond all bounds": (413, ""),
    }
    for call, (status, body) in expected.items():
        error, heard_status, heard_body = script.hear(call)
        assert (error, heard_status) == ("PusherRequestError", status), call
        assert heard_body.startswith(body), call
        assert APP.secret not in heard_body
    assert script.hear("afterwards") == 200
    script.finish()
