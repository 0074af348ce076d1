"""A browser for all tests; a server, an app and its backend for those of a module.

All asynchronous tests and fixtures here run on the loop of the session, because the browser
belongs to one. What they do without awaiting holds up this loop only: the server under test has
a thread or a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pusher
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from browser import chromium
from browser.page_server import PageServer
from browser.tab import Tab
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.apps import APP, APPS, MASTER_KEY
from interop.conftest import server_sdk
from interop.node_script import FOLDER
from support import node as nodejs
from support.backend import Backend

#: Opens a tab with a build of pusher-js: ``await open_tab("pusher-with-encryption")``.
OpenTab = Callable[..., Awaitable[Tab]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium.running() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pages() -> AsyncIterator[PageServer]:
    """The app's own web server, with pusher-js as the interop tests install it."""
    nodejs.install(FOLDER)
    dist = FOLDER / "node_modules" / "pusher-js" / "dist" / "web"
    # The backend only signs, so no server needs to run.
    sdk = server_sdk(APP, port=1, encryption_master_key_base64=MASTER_KEY)
    with Backend(sdk) as backend:
        async with PageServer(dist, backend) as pages:
            yield pages


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    # Tests trigger as fast as they can, and must not find a busy browser too slow for that.
    settings = Settings(port=0, apps=APPS, max_outbox_bytes=16 * 1024 * 1024)
    with BackgroundServer(settings) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: BackgroundServer) -> pusher.Pusher:
    """The Python library for ``APP``."""
    return server_sdk(APP, server.port, encryption_master_key_base64=MASTER_KEY)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for this test's channels, so that tests can share a server."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser, pages: PageServer) -> AsyncIterator[OpenTab]:
    """Open tabs of one fresh profile; they are closed at the end, and shown if the test failed."""
    context = await browser.new_context()
    tabs: list[Tab] = []

    async def open_tab(build: str = "pusher") -> Tab:
        tab = Tab(await context.new_page())
        tabs.append(tab)
        await tab.open(pages.url(build))
        return tab

    yield open_tab
    await context.close()
    for tab in tabs:
        print(f"--- a tab\n{tab.transcript}")
