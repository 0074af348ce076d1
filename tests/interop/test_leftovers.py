"""Clients that a test leaves behind, and the reset: real SDKs take it as the end."""

from __future__ import annotations

import pysher
import pytest

from interop.conftest import StartScript
from interop.inbox import WAIT_SECONDS
from pytest_callboard import PusherServer


@pytest.mark.parametrize("transport", ["ws", "xhr_streaming", "xhr_polling"])
def test_pusher_js_gives_up(node: StartScript, pusher_server: PusherServer, transport: str) -> None:
    options = {**pusher_server.pusher_js_options(), "enabledTransports": [transport]}
    script = node("leftover.cjs", "leftover", key=pusher_server.key, options=options)
    pusher_server.wait_for_subscription("news")
    (connection,) = pusher_server.connections()
    assert (connection.client, connection.transport) == ("js", transport)
    pusher_server.trigger("news", "news", "is heard")
    assert script.hear("news") == "is heard"
    pusher_server.reset()
    assert [script.hear("state") for _ in range(2)] == ["connected", "disconnected"]
    script.finish()
    assert pusher_server.connections() == []


def test_pysher_ends(pusher_server: PusherServer) -> None:
    client = pysher.Pusher(
        pusher_server.key, secure=False, custom_host=pusher_server.host, port=pusher_server.port
    )
    client.connect()
    pusher_server.wait_for_connections()
    pusher_server.reset()
    # Its thread, which would come back in ten seconds if it were to.
    client.connection.join(WAIT_SECONDS)
    assert not client.connection.is_alive()
    assert pusher_server.connections() == []
