"""The extensions of one server: asked one after the other, and kept from harming it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from callboard_server.extensions import Extension, Facilities, Page
from callboard_server.front.exchange import Attend
from callboard_server.front.request import ANY_ORIGIN, Request, Response, text
from callboard_server.settings import AppSettings

if TYPE_CHECKING:
    from callboard_server.api import Call

logger = logging.getLogger("callboard.server")

#: How long one extension may take to stop, in seconds.
STOP_SECONDS: Final = 5.0


class Extensions:
    """All of a server's extensions; the first that has an answer gives it."""

    def __init__(self, extensions: Sequence[Extension] = ()) -> None:
        self._extensions = tuple(extensions)
        self._pages = [page for extension in self._extensions for page in extension.pages]
        #: How the paths begin that are answered here.
        self.paths = tuple(page.path.encode() for page in self._pages)
        #: Those of them whose refusals any page may read, as it may the answers.
        self.open_paths = tuple(page.path.encode() for page in self._pages if page.open)
        #: Those whose refusals are nobody else's affair.
        self.own_paths = tuple(page.path.encode() for page in self._pages if not page.open)
        #: Those whose refusals are JSON.
        self.json_paths = tuple(page.path.encode() for page in self._pages if page.json_errors)

    # Life

    async def start(self, facilities: Facilities) -> None:
        """Start all; if one cannot, its reason is raised, and :meth:`stop` cleans up."""
        for extension in self._extensions:
            await extension.start(facilities)

    async def stop(self) -> None:
        """Stop all, the last first."""
        for extension in reversed(self._extensions):
            try:
                await asyncio.wait_for(extension.stop(), STOP_SECONDS)
            except TimeoutError:
                logger.error("extension %s did not stop within %g s", extension.name, STOP_SECONDS)
            except Exception:
                logger.exception("extension %s failed to stop", extension.name)

    def farewell(self) -> None:
        """Tell all that the server ends."""
        for extension in self._extensions:
            try:
                extension.farewell()
            except Exception:
                logger.exception("extension %s failed at the farewell", extension.name)

    async def reload(self, apps: Sequence[AppSettings]) -> None:
        """Tell all which apps there are."""
        for extension in self._extensions:
            try:
                await extension.reload(apps)
            except Exception:
                logger.exception("extension %s failed to take over the apps", extension.name)

    # Requests. What is raised here is the front's to log and answer.

    async def answer(self, call: Call) -> Response | None:
        """Answer an API call that the server does not know, None if nobody does."""
        for extension in self._extensions:
            answer = await extension.answer(call)
            if answer is not None:
                return answer
        return None

    def look(self, app: AppSettings, body: bytes) -> Coroutine[Any, Any, Response] | None:
        """Return what takes the trigger instead of its being published, if anybody does."""
        for extension in self._extensions:
            taken = extension.look(app, body)
            if taken is not None:
                return taken
        return None

    async def handle(self, request: Request) -> Response | Attend:
        """Answer a request whose path begins as one of :attr:`paths`."""
        page = self._page(request.target)
        if page is None:
            shown = request.target.partition(b"?")[0][:200].decode("latin-1")
            return text(404, f"Not found: {shown}", ANY_ORIGIN)
        if not page.open:
            return await page.answer(request)
        allowed = ", ".join((*page.methods, "OPTIONS"))
        if request.method == "OPTIONS":
            return _preflight(request, allowed)
        if request.method not in page.methods:
            return text(405, f"Method not allowed: use {allowed}", f"Allow: {allowed}", ANY_ORIGIN)
        if len(request.body) > page.max_body_bytes:
            limit = page.max_body_bytes
            return text(413, f"Request body too large: more than {limit} bytes", ANY_ORIGIN)
        response = await page.answer(request)
        if not isinstance(response, Response):
            return response
        headers = (*response.headers, ANY_ORIGIN)
        return Response(response.status, response.body, response.content_type, headers)

    def max_body_bytes(self, target: bytes) -> int:
        """Return how large a page's request may be, 0 for what is answered elsewhere."""
        page = self._page(target)
        return page.max_body_bytes if page is not None else 0

    def _page(self, target: bytes) -> Page | None:
        path = target.partition(b"?")[0].decode("latin-1")
        for page in self._pages:
            if path == page.path or (page.path.endswith("/") and path.startswith(page.path)):
                return page
        return None


def _preflight(request: Request, allowed: str) -> Response:
    """Let a page send what it asks to send: credentials are in a header, never in a cookie."""
    wanted = request.header(b"access-control-request-headers") or b"content-type"
    return Response(
        204,
        b"",
        headers=(
            ANY_ORIGIN,
            f"Access-Control-Allow-Methods: {allowed}",
            f"Access-Control-Allow-Headers: {wanted.decode('latin-1')}",
            # As long as any browser keeps it.
            "Access-Control-Max-Age: 86400",
        ),
    )
