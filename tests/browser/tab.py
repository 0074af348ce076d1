"""A browser tab with stock pusher-js in it: driven by a test, and heard report by report.

The page runs ``stage.js``. It keeps what its clients hear until the test takes it, so nothing is
missed between two steps of a test. :attr:`Tab.requested` is the browser's log of the addresses
that the page asked for, WebSockets included, whether or not they answered.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.async_api import Page, Request

#: Longest wait for anything; on loopback it is milliseconds.
WAIT_SECONDS = 10.0

SUCCEEDED = "pusher:subscription_succeeded"


class Heard(NamedTuple):
    """An event as pusher-js hands it to an app."""

    data: Any
    metadata: dict[str, Any]


class Tab:
    """A page of the app, open in the browser."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._console: list[str] = []
        #: The addresses asked for, in order.
        self.requested: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("websocket", lambda websocket: self.requested.append(websocket.url))
        page.on("console", lambda message: self._console.append(message.text))
        page.on("pageerror", lambda error: self._console.append(str(error)))

    @property
    def transcript(self) -> str:
        """What the page asked for, and what was written to its console."""
        return "\n".join([*self.requested, *self._console])

    def asked_server(self, port: int) -> list[str]:
        """Return what was asked of the server at ``port``, as paths without a query."""
        urls = [urlsplit(url) for url in self.requested]
        return [url.path for url in urls if url.port == port]

    async def asks(self, ending: str) -> None:
        """Wait for the next request whose path has this ending."""

        def meant(request: Request) -> bool:
            return urlsplit(request.url).path.endswith(ending)

        await self._page.wait_for_event("request", meant, timeout=WAIT_SECONDS * 1000)

    async def open(self, url: str) -> None:
        """Load a page of the app."""
        await self._page.goto(url)

    async def hold_time(self) -> None:
        """Let the page's timers wait from now on for :meth:`pass_time`."""
        await self._page.clock.install()

    async def pass_time(self, seconds: float) -> None:
        """Let the page's timers believe that time has passed, and run each when it is due."""
        await self._page.clock.run_for(round(seconds * 1000))

    async def close(self) -> None:
        """Close the tab, as its user may at any moment."""
        await self._page.close()

    async def call(self, function: str, *arguments: Any, timeout: float = WAIT_SECONDS) -> Any:
        """Call a function of ``stage.js`` and wait for what it returns."""
        async with asyncio.timeout(timeout):
            return await self._page.evaluate(f"(given) => {function}(...given)", list(arguments))

    async def hear(self, name: str, count: int = 1, timeout: float = WAIT_SECONDS) -> list[Any]:
        """Take the next ``count`` reports under ``name``.

        Raises:
            AssertionError: they did not come in time; says what came instead.
        """
        try:
            heard: list[Any] = await self.call("hear", name, count, timeout=timeout)
        except TimeoutError:
            untaken = await self.call("untaken")
            raise AssertionError(
                f"no {count} of {name!r} within {timeout} s, but {untaken}\n{self.transcript}"
            ) from None
        return heard

    async def start(self, user: str, key: str, **options: Any) -> Client:
        """Let pusher-js begin to connect, with these options."""
        await self.call("connect", user, key, options)
        return Client(self, user)

    async def connect(self, user: str, key: str, **options: Any) -> Client:
        """Start a client and wait until it is connected."""
        client = await self.start(user, key, **options)
        await client.connected()
        return client


class Client:
    """One instance of pusher-js, named after the user that the backend knows it as."""

    def __init__(self, tab: Tab, user: str) -> None:
        self._tab = tab
        self._user = user
        #: The socket id of the latest connection.
        self.socket_id = ""

    async def connected(self, timeout: float = WAIT_SECONDS) -> str:
        """Wait until it is connected, anew if it was before; return its socket id."""
        self.socket_id = await self.entered("connected", timeout)
        return self.socket_id

    async def entered(self, state: str, timeout: float = WAIT_SECONDS) -> Any:
        """Wait until the connection enters a state; return the socket id it has then."""
        (socket_id,) = await self._tab.hear(f"{self._user}: {state}", timeout=timeout)
        return socket_id

    async def refused(self) -> dict[str, Any]:
        """Wait for an error that the server ends the connection with; return its data."""
        (data,) = await self._tab.hear(f"{self._user}: error")
        assert isinstance(data, dict), data
        return data

    async def subscribe(self, channel: str, *events: str) -> None:
        """Subscribe, wait until the server has confirmed it, and listen to ``events``."""
        await self._tab.call("subscribe", self._user, channel, [SUCCEEDED, *events])
        await self.subscribed(channel)

    async def subscribed(self, channel: str, timeout: float = WAIT_SECONDS) -> None:
        """Wait for a confirmation, anew if there was one before."""
        await self._tab.hear(f"{self._user}: {SUCCEEDED} on {channel}", timeout=timeout)

    async def hear(self, channel: str, event: str) -> Any:
        """Return the data of the next such event."""
        return (await self.hear_all(channel, event, 1))[0].data

    async def hear_all(self, channel: str, event: str, count: int) -> list[Heard]:
        """Return the next ``count`` such events, in the order they came."""
        name = f"{self._user}: {event} on {channel}"
        reports = await self._tab.hear(name, count)
        return [Heard(*(*report, None, {})[:2]) for report in reports]

    async def trigger(self, channel: str, event: str, data: Any) -> None:
        """Send a client event."""
        assert await self._tab.call("trigger", self._user, channel, event, data)

    async def members(self, channel: str) -> dict[str, Any]:
        """Return who is on a presence channel, and who this client is there."""
        seen: dict[str, Any] = await self._tab.call("members", self._user, channel)
        return seen

    async def disconnect(self) -> None:
        """Say goodbye, or what the transport has for it."""
        await self._tab.call("disconnect", self._user)
