"""The worker in a page (examples/worker.html), with pusher-js from npm in place of the CDN's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from browser.tab import WAIT_SECONDS
from callboard.scheduling import Scheduling
from callboard_scheduler import AsyncClient, TaskCancelled, TaskFailed
from callboard_scheduler.client.updates import Progress
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.transports import OWN
from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings, Settings
from interop.node_script import FOLDER
from support import node as nodejs

pytestmark = pytest.mark.asyncio(loop_scope="session")

APP = AppSettings(id="1", key="a.key", secret="secret")
PAGE = Path(__file__).parents[2] / "examples" / "worker.html"
PUSHER_JS = re.compile(r"https://js\.pusher\.com/.*")


class Scene(NamedTuple):
    """A server with a scheduler, its client, and what opens a worker's page."""

    client: AsyncClient
    port: int
    browser: Browser

    async def open(self, worker_id: str) -> Page:
        """Open the page as a worker, and return when it is ready."""
        token = self.client.token(worker=worker_id, queues=["web"])
        page = await self.browser.new_page()
        await page.route(PUSHER_JS, _from_npm)
        server = f"127.0.0.1:{self.port}"
        await page.goto(f"{PAGE.as_uri()}#token={token}&worker={worker_id}&server={server}")
        await expect(page.locator("#state")).to_have_text("ready", timeout=WAIT_SECONDS * 1000)
        return page


async def _from_npm(route: Route) -> None:
    await route.fulfill(path=FOLDER / "node_modules/pusher-js/dist/web/pusher.min.js")


@pytest_asyncio.fixture(loop_scope="session")
async def scene(browser: Browser) -> AsyncIterator[Scene]:
    nodejs.install(FOLDER)
    extension = Scheduling(MemoryStore)
    with BackgroundServer(Settings(port=0, apps=(APP,)), extensions=[extension]) as server:
        url = f"http://{APP.key}:{APP.secret}@127.0.0.1:{server.port}/apps/{APP.id}"
        async with AsyncClient(url) as client:
            yield Scene(client, server.port, browser)


async def test_a_page_runs_tasks_shows_progress_and_can_be_stopped(scene: Scene) -> None:
    page = await scene.open("page-1")
    client = scene.client

    task = await client.submit("add", {"a": 1, "b": 2}, queue="web")
    assert await task.result(WAIT_SECONDS) == 3

    large = {"a": 1, "b": 2, "c": "c" * OWN.inline_bytes}
    task = await client.submit("add", large, queue="web")
    assert await task.result(WAIT_SECONDS) == 3

    task = await client.submit("steps", {"count": 3}, queue="web")
    async with asyncio.timeout(WAIT_SECONDS):
        seen = [each async for each in task.updates() if isinstance(each, Progress)]
    assert await task.result(WAIT_SECONDS) == 3
    assert seen[-1].message == "step 3"

    task = await client.submit("steps", {"count": 1_000}, queue="web")
    async with asyncio.timeout(WAIT_SECONDS):
        async for update in task.updates():
            if isinstance(update, Progress):
                break
    await task.cancel()
    with pytest.raises(TaskCancelled):
        await task.result(WAIT_SECONDS)

    task = await client.submit("add", queue="web", retry={"max_attempts": 1})
    with pytest.raises(TaskFailed, match="add takes two numbers"):
        await task.result(WAIT_SECONDS)
    await page.close()


async def test_a_task_of_a_page_that_is_closed_goes_on_in_another(scene: Scene) -> None:
    pages = {name: await scene.open(name) for name in ("page-1", "page-2")}
    task = await scene.client.submit("steps", {"count": 5}, queue="web")
    async with asyncio.timeout(WAIT_SECONDS):
        async for update in task.updates():
            if isinstance(update, Progress):
                break
    (attempt,) = (await task.refresh()).record["attempts"]
    await pages.pop(attempt["worker"]).close()
    assert await task.result(WAIT_SECONDS) == 5
    attempts = (await task.refresh()).record["attempts"]
    assert {attempt["worker"] for attempt in attempts} == {"page-1", "page-2"}
    for page in pages.values():
        await page.close()


async def test_a_page_with_a_token_that_is_for_somebody_else_says_so(scene: Scene) -> None:
    token = scene.client.token(worker="page-1", queues=["web"])
    page = await scene.browser.new_page()
    await page.route(PUSHER_JS, _from_npm)
    server = f"127.0.0.1:{scene.port}"
    await page.goto(f"{PAGE.as_uri()}#token={token}&worker=page-2&server={server}")
    state = page.locator("#state")
    await expect(state).to_contain_text("not allowed", timeout=WAIT_SECONDS * 1000)
    await page.close()
