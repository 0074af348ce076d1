"""A tab in which nothing happens stays connected by HTTP; tests/interop shows it of a WebSocket."""

from __future__ import annotations

import pusher
import pytest

from browser.conftest import OpenTab
from browser.transports import only, receives
from callboard_server.background import BackgroundServer
from interop.apps import APP

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("transport", ["xhr_streaming", "xhr_polling"])
async def test_pings_keep_a_silent_connection(
    transport: str, open_tab: OpenTab, server: BackgroundServer, api: pusher.Pusher, name: str
) -> None:
    """Without an answer there is no second ping, but a new connection."""
    tab = await open_tab()
    impatient = {"activityTimeout": 200, "pongTimeout": 3000}
    alice = await tab.connect("alice", APP.key, **only(transport, server.port), **impatient)
    await alice.subscribe(name, "news")
    # A stream's client answers each of the server's heartbeats, and so asks twice for a ping.
    for _ in range(6):
        await tab.asks("/xhr_send")
    api.trigger(name, "news", "still here")
    assert await alice.hear(name, "news") == "still here"
    assert len(set(receives(tab, transport, server.port))) == 1
