"""An HTTP API that verifies each signature and answers what the test says."""

from __future__ import annotations

from aiohttp import web

from callboard_protocol import rest_signature
from client.scripted import KEY, SECRET

#: The service's clock stands still here: the time of the documentation's example.
NOW = 1353088179.9


class FakeApi:
    """Keeps each request as received and answers what the test says."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.retry_after: str | None = None
        self.seen: list[tuple[str, str, str, bytes]] = []
        self.content_types: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((request.method, request.path, request.query_string, body))
        self.content_types.append(request.headers.get("Content-Type"))
        # The raw path and query: what a server verifies.
        assert request.raw_path == f"{request.rel_url.raw_path}?{request.rel_url.raw_query_string}"
        signed = rest_signature.SignedRequest(
            request.method,
            request.rel_url.raw_path.removeprefix("/proxy").encode(),
            request.rel_url.raw_query_string.encode(),
            body,
        )
        try:
            rest_signature.verify(signed, KEY, SECRET, NOW)
        except rest_signature.Unauthorized as error:
            return web.Response(status=401, text=f"{error}\n")
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        return web.Response(status=self.status, body=self.body, headers=headers)
