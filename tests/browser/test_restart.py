"""Tabs stay while the server goes, by its own will or not, and comes back on the same port.

pusher-js tries again a second later. If the server is not back by then, the next try comes 15 s
after that, and the test takes as long.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.conftest import OpenTab
from browser.tab import Client
from browser.transports import TRANSPORTS, only
from interop.apps import APP
from interop.conftest import server_sdk
from interop.server_process import ServerProcess
from interop.test_restart import SECOND_TRY_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANNELS = ["desk", "private-desk", "presence-desk"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """``callboard serve``, running."""
    process = ServerProcess(tmp_path, APP)
    try:
        process.start()
        yield process
    finally:
        process.close()


@pytest.mark.documented("SDKs", "pusher-js comes back after a restart with all its channels")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_tabs_come_back_with_all_their_channels(
    number: signal.Signals, process: ServerProcess, open_tab: OpenTab
) -> None:
    """A tab for each transport, with a user of the same name."""
    clients: list[Client] = []
    for transport in TRANSPORTS:
        tab = await open_tab()
        client = await tab.connect(transport, APP.key, **only(transport, process.port))
        for channel in CHANNELS:
            await client.subscribe(channel, "news")
        clients.append(client)
    before = {client.socket_id for client in clients}

    process.end(number)
    process.start()
    for client in clients:
        assert await client.connected(SECOND_TRY_SECONDS) not in before
        for channel in CHANNELS:
            await client.subscribed(channel)
    api = server_sdk(APP, process.port)
    api.trigger(CHANNELS, "news", "after")
    for client in clients:
        for channel in CHANNELS:
            assert await client.hear(channel, "news") == "after"
    users = api.users_info("presence-desk")["users"]
    assert sorted(user["id"] for user in users) == sorted(TRANSPORTS)
