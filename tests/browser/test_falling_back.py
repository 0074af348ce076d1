"""The strategy of stock pusher-js where WebSockets do not get through, and its trap."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pusher
import pytest
import pytest_asyncio

from browser.conftest import OpenTab
from browser.transports import address
from callboard_server.background import BackgroundServer
from interop.apps import APP
from support.refusing_proxy import RefusingProxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: pusher-js asks by HTTP 5 s after its WebSocket, without TLS.
FALLBACK_SECONDS = 15.0


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(server: BackgroundServer) -> AsyncIterator[RefusingProxy]:
    async with RefusingProxy(server.port) as proxy:
        yield proxy


@pytest.mark.documented("SDKs", "pusher-js falls back to HTTP where WebSockets do not get through")
async def test_behind_a_proxy_that_refuses_upgrades_it_connects_by_http(
    proxy: RefusingProxy, open_tab: OpenTab, api: pusher.Pusher
) -> None:
    """With the default options but for host and port, and without asking any other host."""
    tab = await open_tab()
    alice = await tab.start("alice", APP.key, **address(proxy.port))
    await alice.connected(FALLBACK_SECONDS)
    await alice.subscribe("private-behind-a-proxy", "news")
    api.trigger("private-behind-a-proxy", "news", "through it")
    assert await alice.hear("private-behind-a-proxy", "news") == "through it"

    assert set(proxy.refused) == {f"/app/{APP.key}"}
    asked = tab.asked_server(proxy.port)
    assert any(
        re.fullmatch(rf"/pusher/app/{APP.key}/\d+/\w+/xhr_streaming", path) for path in asked
    )
    assert {urlsplit(url).hostname for url in tab.requested} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("cluster", "host"), [("", "sockjs.pusher.com"), ("eu", "sockjs-eu.pusher.com")]
)
async def test_with_the_host_for_websockets_alone_it_asks_one_of_pushers(
    cluster: str, host: str, proxy: RefusingProxy, open_tab: OpenTab
) -> None:
    """``wsHost`` does not say where to fall back to: that is ``httpHost``."""
    tab = await open_tab()
    await tab.hold_time()
    options = {name: value for name, value in address(proxy.port).items() if "http" not in name}
    alice = await tab.start("alice", APP.key, cluster=cluster, **options)
    await tab.pass_time(FALLBACK_SECONDS)
    await alice.entered("unavailable")
    assert {urlsplit(url).hostname for url in tab.requested} == {"127.0.0.1", host}
