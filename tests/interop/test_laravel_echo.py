"""Laravel Echo over pusher-js, with both broadcasters that speak the Pusher protocol."""

from __future__ import annotations

import re

import pusher
import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP
from interop.conftest import StartScript
from interop.inbox import eventually
from interop.node_script import NodeScript
from support.backend import Backend

#: How Laravel names the event class App\Events\OrderShipped when it broadcasts.
ORDER_SHIPPED = "App\\Events\\OrderShipped"
NOTIFICATION = "Illuminate\\Notifications\\Events\\BroadcastNotificationCreated"


@pytest.fixture(params=["pusher", "reverb"])
def start(
    request: pytest.FixtureRequest, node: StartScript, server: BackgroundServer, backend: Backend
) -> StartScript:
    """Start a scenario with Echo set up for a broadcaster."""

    def start(scenario: str, **config: object) -> NodeScript:
        return node(
            "laravel-echo.mjs",
            scenario,
            broadcaster=request.param,
            port=server.port,
            key=APP.key,
            backend=backend.url,
            **config,
        )

    return start


@pytest.mark.documented("SDKs", "Laravel Echo listens on public and private channels")
def test_it_listens_on_public_and_private_channels(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    script = start("listening", name=name)
    socket_id, status = script.hear("ready")
    assert re.fullmatch(r"\d+\.\d+", socket_id)
    assert status == "connected"

    private = "private-" + name
    api.trigger([name, private], ORDER_SHIPPED, {"order": 1})
    api.trigger(private, "order.named", {"order": 2})
    api.trigger(private, NOTIFICATION, {"type": "invoice"})
    assert script.hear("public") == script.hear("private") == {"order": 1}
    assert script.hear("named") == {"order": 2}
    assert script.hear("notification") == {"type": "invoice"}

    # What Laravel's toOthers() does with the X-Socket-ID that Echo sent along.
    api.trigger(private, ORDER_SHIPPED, {"order": 3}, socket_id)
    api.trigger(private, ORDER_SHIPPED, {"order": 4})
    assert script.hear("private") == {"order": 4}

    script.cue("leave")
    script.hear("left")
    assert set(api.channels_info(name)["channels"]) == {name + "-last"}
    assert api.channel_info(private) == {"occupied": False}
    api.trigger(name + "-last", ORDER_SHIPPED, {"order": 5})
    assert script.hear("last") == {"order": 5}
    script.cue("end")
    script.finish()


@pytest.mark.documented("SDKs", "Laravel Echo whispers")
def test_whispers_reach_the_other(start: StartScript, name: str) -> None:
    script = start("whispers", name=name)
    assert script.hear("bob hears") == {"name": "Alice"}
    script.finish()


@pytest.mark.documented("SDKs", "Laravel Echo sees members come and go")
def test_members_come_and_go(start: StartScript, api: pusher.Pusher, name: str) -> None:
    script = start("presence", name=name)
    alice, bob = {"name": "Alice"}, {"name": "Bob"}
    assert script.hear("bob: here") == [bob]
    here = script.hear("alice: here")
    assert sorted(here, key=lambda user: user["name"]) == [alice, bob]
    assert script.hear("joining") == alice
    assert script.hear("whisper") == {"name": "Alice"}
    api.trigger("presence-" + name, "App\\Events\\NewMessage", {"text": "hello"})
    assert script.hear("message") == {"text": "hello"}
    script.cue("leave")
    assert script.hear("leaving") == alice
    eventually(lambda: api.users_info("presence-" + name) == {"users": [{"id": "bob"}]})
    script.cue("end")
    script.finish()
