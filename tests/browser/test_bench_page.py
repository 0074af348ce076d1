"""The bench's HTML report in a browser without a network: it opens, shows figures, and fits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from bench.report_documents import document
from callboard_bench.report.page import page

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "</script><script>window.broken = true</script><img src=x onerror='window.broken = true'>"
DOCUMENT = document(("floor", f"soketi{HOSTILE}"), faults=[HOSTILE])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page([DOCUMENT]), encoding="utf-8")
    return path


class Sheet:
    """The report in a tab, with what the browser said and asked for meanwhile."""

    def __init__(self, tab: Page) -> None:
        self.tab = tab
        self.said: list[str] = []
        self.asked: list[str] = []
        tab.on("console", lambda message: self.said.append(message.text))
        tab.on("pageerror", lambda error: self.said.append(str(error)))
        tab.on("request", lambda request: self.asked.append(request.url))

    async def value(self, expression: str) -> Any:
        return await self.tab.evaluate(expression)

    async def readout(self) -> list[str]:
        """The lines of what is shown beside the pointer."""
        return (await self.tab.locator(".readout").inner_text()).splitlines()


@pytest_asyncio.fixture(loop_scope="session")
async def sheet(browser: Browser, report: Path) -> AsyncIterator[Sheet]:
    context = await browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    sheet = Sheet(await context.new_page())
    await sheet.tab.goto(report.as_uri())
    yield sheet
    await context.close()


async def test_it_opens_offline_and_asks_for_nothing(sheet: Sheet, report: Path) -> None:
    assert sheet.asked == [report.as_uri()]
    assert sheet.said == []
    assert await sheet.tab.locator("h2", has_text="fanout").count() == 1


async def test_a_name_that_is_a_script_is_only_a_name(sheet: Sheet) -> None:
    assert await sheet.value("window.broken === undefined")
    assert await sheet.tab.locator("img").count() == 0
    text = await sheet.tab.locator("main").inner_text()
    assert HOSTILE in text


async def test_the_pointer_is_told_the_figures_of_the_document(sheet: Sheet) -> None:
    plot = sheet.tab.locator(".plot").first
    await plot.hover(position={"x": 0, "y": 50})
    lowest = DOCUMENT["rounds"]["floor"][1]["curves"]["latency"]["points"][0][1]
    head, floor, other = await sheet.readout()
    assert head == "lowest"
    assert floor == f"floor: {lowest:g} µs"
    assert other.startswith("soketi</script>")
    await sheet.tab.mouse.move(0, 0)
    assert await sheet.tab.locator(".readout").count() == 0


async def test_keys_go_from_point_to_point(sheet: Sheet) -> None:
    await sheet.tab.locator(".small .plot").first.focus()
    heads = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        await sheet.tab.keyboard.press(key)
        heads.append((await sheet.readout())[0])
    assert heads == ["0 to 0.5 s", "0.5 to 1 s", "0 to 0.5 s"]


async def test_one_round_can_be_looked_at_alone(sheet: Sheet) -> None:
    lines = sheet.tab.locator(".timelines .plot").first.locator("path")
    assert await lines.count() == 2 * 3
    await sheet.tab.get_by_role("radio", name="2").check()
    shown = [
        await line.get_attribute("data-round")
        for line in await lines.all()
        if await line.evaluate("line => getComputedStyle(line).display !== 'none'")
    ]
    assert shown == ["2", "2"]
    await sheet.tab.get_by_role("radio", name="all").check()
    assert await lines.locator("visible=true").count() == 2 * 3


async def test_the_documents_can_be_saved(sheet: Sheet) -> None:
    async with sheet.tab.expect_download() as waiting:
        await sheet.tab.get_by_text("Download as JSON").click()
    saved = await waiting.value
    assert saved.suggested_filename == "callboard-bench.json"
    assert orjson.loads((await saved.path()).read_bytes()) == orjson.loads(orjson.dumps([DOCUMENT]))


@pytest.mark.parametrize("width", [360, 768, 1600])
async def test_it_fits_any_screen(sheet: Sheet, width: int) -> None:
    await sheet.tab.set_viewport_size({"width": width, "height": 800})
    assert await sheet.value("document.documentElement.scrollWidth") <= width


async def test_it_is_dark_where_that_is_wanted_and_light_on_paper(sheet: Sheet) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    await sheet.tab.emulate_media(color_scheme="light")
    light = await sheet.value(paper)
    await sheet.tab.emulate_media(color_scheme="dark")
    assert await sheet.value(paper) != light
    await sheet.tab.emulate_media(color_scheme="dark", media="print")
    assert await sheet.value(paper) == light


async def test_without_scripts_it_is_whole(browser: Browser, report: Path) -> None:
    context = await browser.new_context(offline=True, java_script_enabled=False)
    tab = await context.new_page()
    await tab.goto(report.as_uri())
    assert await tab.locator("path").count() > 0
    assert await tab.locator("fieldset").locator("visible=true").count() == 0
    await tab.get_by_text("These figures as a table").click()
    assert await tab.get_by_role("row", name="99.9 %").first.is_visible()
    await context.close()
