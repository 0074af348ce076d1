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


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_tab_comes_back_with_all_its_channels(
    number: signal.Signals, transport: str, process: ServerProcess, open_tab: OpenTab
) -> None:
    tab = await open_tab()
    alice = await tab.connect("alice", APP.key, **only(transport, process.port))
    for channel in CHANNELS:
        await alice.subscribe(channel, "news", "client-greeting")
    before = alice.socket_id

    process.end(number)
    process.start()
    assert await alice.connected(SECOND_TRY_SECONDS) != before
    for channel in CHANNELS:
        await alice.subscribed(channel)
    api = server_sdk(APP, process.port)
    api.trigger(CHANNELS, "news", "after")
    for channel in CHANNELS:
        assert await alice.hear(channel, "news") == "after"
    assert api.users_info("presence-desk")["users"] == [{"id": "alice"}]
