"""The browser: Debian's Chromium, found on the machine and driven by playwright.

Playwright's own browsers are not installed; nothing of it is needed but the wheel.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from support.node import missing

#: A name that is not this machine's, as the browser knows, but leads to it.
WEBSITE = "website.example"

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for, nothing leaves this machine: other names do not resolve.
    f"--host-resolver-rules=MAP {WEBSITE} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find() -> str:
    """Return the path of Chromium; skip the test where there is none, or fail it in CI."""
    path = shutil.which("chromium")
    if path is None:
        missing("chromium is not on the PATH: install it (Debian: apt install chromium)")
    return path


@asynccontextmanager
async def running() -> AsyncIterator[Browser]:
    """Run a browser with a profile of its own, which is removed with it."""
    path = find()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()
