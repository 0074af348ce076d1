"""The fixture's calls from a page: one of the app's own server may make them, no website's may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from browser.chromium import WEBSITE
from browser.page_server import PageServer
from callboard.fixture import FixtureServer
from callboard.fixture.pages import Pages, about
from callboard.fixture.pages.waits import Waits

pytestmark = pytest.mark.asyncio(loop_scope="session")

_CALL = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.status, answer.type === "opaque" ? null : await answer.json()];
  } catch (error) {
    return [0, String(error)];
  }
}"""


class Caller:
    """A page that makes calls."""

    def __init__(self, page: Page, fixture: str) -> None:
        self._page = page
        self._fixture = fixture

    async def call(self, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status, 0 if the page may not know it, and what it was answered."""
        status, said = await self._page.evaluate(_CALL, [self._fixture + path, options])
        return status, said


#: Opens a page that calls the fixture by its own URL, or by another.
OpenPage = Callable[..., Awaitable[Caller]]


@pytest.fixture
def server() -> Iterator[FixtureServer]:
    pages = Pages()
    with FixtureServer(extensions=[pages]) as server:
        pages.open(server)
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, server: FixtureServer) -> AsyncIterator[OpenPage]:
    context = await browser.new_context()

    async def open_page(url: str, fixture: str = about(server)["fixture"]) -> Caller:
        page = await context.new_page()
        await page.goto(url)
        return Caller(page, fixture)

    yield open_page
    await context.close()


async def test_a_page_of_the_apps_own_server_makes_all_calls(
    open_page: OpenPage, pages: PageServer, server: FixtureServer
) -> None:
    page = await open_page(pages.url())
    body = '{"fault":"drop","channel":"orders"}'
    headers = {"Content-Type": "application/json"}
    status, said = await page.call("/faults", method="POST", headers=headers, body=body)
    assert (status, said["fault"]["active"]) == (200, True)
    status, said = await page.call(f"/faults/{said['fault']['id']}", method="DELETE")
    assert (status, said["fault"]["active"]) == (200, False)
    server.trigger("orders", "created", "data")
    status, said = await page.call("/wait?channel=orders")
    assert (status, said["event"]["data"]) == (200, "data")
    assert (await page.call("/reset", method="POST"))[0] == 200
    assert server.events() == []


async def test_a_wait_in_vain_is_read_and_not_repeated_by_the_browser(
    open_page: OpenPage, pages: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    attend = Waits.attend

    def counted(waits: Waits, awaited: Any, headers: tuple[str, ...]) -> Any:
        made.append(awaited)
        return attend(waits, awaited, headers)

    monkeypatch.setattr(Waits, "attend", counted)
    page = await open_page(pages.url())
    for count in (1, 2):
        # It repeats what is answered by 408 on a connection that it has kept.
        status, said = await page.call("/wait?channel=orders&timeout=0.01")
        assert (status, len(made)) == (408, count)
        assert "no event on 'orders' within 0.01 s" in said["error"]


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
async def test_a_websites_page_changes_and_reads_nothing(
    open_page: OpenPage, pages: PageServer, server: FixtureServer, mode: str
) -> None:
    server.trigger("orders", "created", "data")
    page = await open_page(pages.url().replace("127.0.0.1", WEBSITE))
    for path, method in (("/reset", "POST"), ("/events", "GET")):
        status, said = await page.call(path, method=method, mode=mode)
        assert status == 0
        assert "data" not in str(said)
    assert len(server.events()) == 1


async def test_a_website_whose_name_is_made_to_lead_here_does_no_better(
    open_page: OpenPage, server: FixtureServer
) -> None:
    server.trigger("orders", "created", "data")
    fixture = about(server)["fixture"].replace("127.0.0.1", WEBSITE)
    page = await open_page(fixture, fixture)
    for path, method in (("/reset", "POST"), ("/events", "GET")):
        status, said = await page.call(path, method=method)
        assert (status, list(said)) == (421, ["error"])
    assert len(server.events()) == 1
