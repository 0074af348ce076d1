"""What pusher-js, pysher and their users learn when the server refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings
from interop.apps import APP, CROWDED, DISABLED, SMALL, WITHOUT_CLIENT_EVENTS
from interop.conftest import StartScript, server_sdk
from interop.pysher_client import SUBSCRIBED, PysherClient, signing
from support.backend import Backend

FILE = "refusals.cjs"


@pytest.fixture(scope="module")
def forger() -> Iterator[Backend]:
    """A backend that does not know the app's secret."""
    with Backend(server_sdk(APP, port=1, secret="guessed")) as forger:
        yield forger


def client(server: BackgroundServer, app: AppSettings, backend: Backend) -> dict[str, Any]:
    return {"port": server.port, "key": app.key, "endpoint": backend.endpoint}


def test_mistakes_are_answered_and_leave_the_connection_up(
    node: StartScript, server: BackgroundServer, backend: Backend, api: pusher.Pusher, name: str
) -> None:
    channels = {"publicChannel": name, "privateChannel": "private-" + name}
    script = node(FILE, "mistakes", **client(server, APP, backend), **channels)
    said = {
        "channel name": "Invalid channel name 'no spaces, please'.*",
        "client event on a public channel": "Client event rejected - only supported on private.*",
        "client event of a stranger": "Cannot broadcast client event .*not subscribed.*",
        "client event too large": r"The data content of this event exceeds .* \(10240 bytes\)",
        "double subscription": f"Existing subscription to channel {name}",
        "unsubscribed already": f"No current subscription to channel {name}-x, or .*",
        "unknown event": "Unsupported event received on socket: .*'pusher:dance'.*",
    }
    for mistake, message in said.items():
        error = script.hear(mistake)
        assert error["code"] is None, mistake
        assert re.fullmatch(message, error["message"]), error
    assert script.hear("unharmed") is True
    api.trigger(name, "news", "still heard")
    assert script.hear("news") == "still heard"


@pytest.mark.parametrize("prefix", ["private-", "presence-"])
def test_a_wrong_signature_is_explained(
    prefix: str, node: StartScript, server: BackgroundServer, forger: Backend, name: str
) -> None:
    script = node(
        FILE,
        "subscription",
        **client(server, APP, forger),
        channel=prefix + name,
        publicChannel=name,
    )
    error = script.hear("error")
    assert error["type"] == "PusherError"
    assert error["data"]["code"] is None
    expected = rf"Invalid signature: Expected HMAC SHA256 hex digest of \d+\.\d+:{prefix}{name}.*"
    assert re.fullmatch(expected, error["data"]["message"])
    assert APP.secret not in str(error)
    assert script.hear("subscribed") is False
    assert script.hear("state") == "connected"
    script.finish()


def test_a_signature_for_another_app_is_explained(
    node: StartScript, server: BackgroundServer, backend: Backend, name: str
) -> None:
    other = client(server, WITHOUT_CLIENT_EVENTS, backend)
    script = node(FILE, "subscription", **other, channel="private-" + name, publicChannel=name)
    message = script.hear("error")["data"]["message"]
    assert message == f"Invalid key in subscription auth data: '{APP.key}'"
    script.finish()


def test_a_presence_channel_needs_a_member(
    node: StartScript, server: BackgroundServer, backend: Backend, name: str
) -> None:
    config = client(server, APP, backend) | {"appId": APP.id, "secret": APP.secret}
    script = node(FILE, "withoutMember", **config, channel="presence-" + name)
    error = script.hear("error")
    assert error["code"] is None
    assert "channel_data is required" in error["message"]
    script.finish()


def test_a_full_presence_channel_is_explained(
    node: StartScript, server: BackgroundServer, name: str
) -> None:
    channel = "presence-" + name
    with (
        PysherClient(CROWDED, server.port, [channel], **signing(CROWDED, "first")) as first,
        Backend(server_sdk(CROWDED, server.port)) as backend,
    ):
        first.hear(SUBSCRIBED, channel)
        config = client(server, CROWDED, backend)
        script = node(FILE, "subscription", **config, channel=channel, publicChannel=name)
        assert "limit of 1 members" in script.hear("error")["data"]["message"]
        script.finish()


def test_client_events_must_be_switched_on(server: BackgroundServer, name: str) -> None:
    app, channel = WITHOUT_CLIENT_EVENTS, "private-" + name
    with PysherClient(app, server.port, [channel], secret=app.secret) as client:
        client.hear(SUBSCRIBED, channel)
        client.trigger(channel, "client-greeting", {"text": "hello"})
        error = client.hear("pusher:error")
    assert error["code"] is None
    assert error["message"].startswith("To send client events, you must enable this feature")


def test_too_many_client_events_are_dropped(
    node: StartScript, server: BackgroundServer, backend: Backend, api: pusher.Pusher, name: str
) -> None:
    channel = "private-" + name
    config = client(server, APP, backend)
    script = node(FILE, "tooManyClientEvents", **config, channel=channel)
    assert script.hear("error")["data"]["code"] == 4301
    script.hear("ready")
    api.trigger(channel, "news", {})
    assert script.hear("delivered") == 10
    assert script.hear("state") == "connected"
    script.finish()


@pytest.mark.documented("SDKs", "pusher-js does not come back after a refusal")
def test_refused_connections_are_not_tried_again(
    node: StartScript, server: BackgroundServer, backend: Backend
) -> None:
    with PysherClient(SMALL, server.port) as only:
        only.hear("pusher:connection_established")
        script = node(
            FILE,
            "connections",
            port=server.port,
            endpoint=backend.endpoint,
            attempts=[
                ["unknown key", "no-such-key", {}],
                ["disabled app", DISABLED.key, {}],
                ["over quota", SMALL.key, {}],
                ["unknown path", APP.key, {"wsPath": "/nowhere"}],
            ],
        )
        reports = script.hear("reports")
    codes = {"unknown key": 4001, "disabled app": 4003, "over quota": 4004, "unknown path": 4005}
    for attempt, code in codes.items():
        report = reports[attempt]
        assert [error["code"] for error in report["codes"]] == [code], attempt
        assert report["states"] == ["connecting", "disconnected"], attempt
    assert "no-such-key" in reports["unknown key"]["codes"][0]["message"]
    script.finish()


def test_pysher_ends_after_a_refused_connection(server: BackgroundServer) -> None:
    unknown = AppSettings(id="0", key="no-such-key", secret="unused")
    with PysherClient(unknown, server.port, reconnect_interval=0.1) as client:
        assert client.hear("pusher:error")["code"] == 4001
        client.pusher.connection.join(timeout=5)
        assert not client.pusher.connection.is_alive()
