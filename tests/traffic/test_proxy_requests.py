"""Requests between a client and a service: what passes is the same on both sides."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from traffic.conftest import Lines
from traffic.scripted_service import leave, recording, serving


async def asked(url: str, head: bytes, body: bytes = b"") -> tuple[bytes, bytes]:
    """Send a request, its body behind the first answer; return that one's head, and what follows.

    The server closes the connection, or there is a length.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    try:
        writer.write(head)
        first = await reader.readuntil(b"\r\n\r\n")
        if body:
            writer.write(body)
            return first, await reader.read()
        length = re.search(rb"Content-Length: (\d+)", first)
        assert length is not None
        return first, await reader.readexactly(int(length[1]))
    finally:
        writer.close()
        await writer.wait_closed()


class TestRequests:
    async def test_what_is_signed_goes_on_to_the_letter(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        seen: list[Any] = []

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            seen.append((request.method, request.raw_path, await request.read()))
            return web.json_response({"own": True}, status=202, headers={"X-Own": "1"})

        body = b'{"name": "e",  "channel":"a","data":"d"}'
        # As Go sends it: not escaped, and in an order of its own.
        query = "auth_signature=5ec&auth_key=k&info=a,b:c&x=%7e%2F&auth_timestamp=1"
        asked = f"/apps/1/channels/a%2db/users?{query}"
        async with serving(script) as service, recording(service, path) as url:
            headers = {"Authorization": "Bearer secret-token", "Cookie": "session=secret"}
            async with session.post(
                URL(url + asked, encoded=True), data=body, headers=headers
            ) as answer:
                assert (answer.status, answer.headers["X-Own"]) == (202, "1")
                assert await answer.json() == {"own": True}
        assert seen == [("POST", asked, body)]
        assert lines() == [
            {
                "what": "request",
                "request": 1,
                "method": "POST",
                "path": "/channels/a%2db/users",
                "app": "1",
                "key": "k",
                "parameters": {"info": "a,b:c", "x": "~/"},
                "body": json.loads(body),
            },
            {"what": "answer", "request": 1, "status": 202},
        ]
        assert "secret" not in path.read_text()
        assert "5ec" not in path.read_text()

    async def test_any_other_request_passes_and_is_not_recorded(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            response = web.Response(body=b"page", content_type="text/html")
            response.set_cookie("of", "one client")
            return response

        async with serving(script) as service, recording(service, path) as url:
            for _ in range(2):
                async with session.get(url + "/") as answer:
                    assert await answer.read() == b"page"
                    assert "of=" in answer.headers["Set-Cookie"]
                    assert "Server" in answer.headers
        assert lines() == []

    async def test_cookies_of_one_client_are_not_given_to_another(
        self, session: aiohttp.ClientSession, path: Path
    ) -> None:
        seen: list[str | None] = []

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            seen.append(request.headers.get("Cookie"))
            response = web.Response()
            response.set_cookie("of", "one", domain="localhost")
            return response

        async with serving(script) as service:
            service = service.replace("127.0.0.1", "localhost")
            async with recording(service, path) as url:
                for _ in range(2):
                    await (await session.get(url + "/")).read()
        assert seen == [None, None]

    async def test_a_large_body_passes_and_one_that_no_service_takes_does_not(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            digest = hashlib.sha256()
            async for piece in request.content.iter_any():
                digest.update(piece)
            return web.Response(text=digest.hexdigest())

        body = bytes(range(256)) * 16 * 1024
        async with serving(script) as service, recording(service, path) as url:
            async with session.post(url + "/apps/1/x", data=io.BytesIO(body)) as answer:
                assert await answer.text() == hashlib.sha256(body).hexdigest()
            async with session.post(url + "/apps/1/x", data=io.BytesIO(body * 5)) as answer:
                assert answer.status == 413
        assert lines()[0]["body_bytes"] == len(body)

    async def test_what_is_about_one_connection_stays_with_it(self, path: Path) -> None:
        seen: list[str] = []

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            seen.extend(name for name in request.headers if name.startswith("X-"))
            headers = [("Connection", "X-Own"), ("Connection", "X-Other")]
            own = [("X-Own", "1"), ("X-Other", "1"), ("X-Passed", "1")]
            return web.Response(headers=CIMultiDict([*headers, *own]))

        async with serving(script) as service, recording(service, path) as url:
            head, _ = await asked(
                url,
                b"GET / HTTP/1.1\r\nHost: x\r\nConnection: X-Own, close\r\n"
                b"Connection: X-Other\r\nX-Own: 1\r\nX-Other: 1\r\nX-Passed: 1\r\n\r\n",
            )
        assert seen == ["X-Passed"]
        assert b"X-Passed" in head
        assert b"X-O" not in head

    async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(
        self, path: Path, lines: Lines
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=await request.read())

        async with serving(script) as service, recording(service, path) as url:
            head, answered = await asked(
                url,
                b"POST /apps/1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                b"Connection: close\r\nExpect: 100-Continue\r\n\r\n",
                b"body",
            )
        assert head == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert answered.startswith(b"HTTP/1.1 200")
        assert answered.endswith(b"\r\n\r\nbody")
        assert lines()[0]["body_bytes"] == 4

    @pytest.mark.parametrize(
        "line", ["CONNECT .elsewhere.example:443", "OPTIONS *", "GET http://elsewhere.example/"]
    )
    async def test_what_is_asked_of_another_host_goes_nowhere(self, path: Path, line: str) -> None:
        async with recording("http://service.invalid", path) as url:
            head, body = await asked(url, f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert head.startswith(b"HTTP/1.1 400")
        assert b"expected a path" in body

    async def test_where_a_service_sends_a_client_is_the_clients_to_follow(
        self, session: aiohttp.ClientSession, path: Path
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": "http://elsewhere.invalid/"})

        async with (
            serving(script) as service,
            recording(service, path) as url,
            session.post(url + "/apps/1/x", allow_redirects=False) as answer,
        ):
            assert answer.status == 307
            assert answer.headers["Location"] == "http://elsewhere.invalid/"

    async def test_a_service_that_is_not_there_is_502(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines, unused_tcp_port: int
    ) -> None:
        service = f"http://127.0.0.1:{unused_tcp_port}"
        async with recording(service, path) as url:
            async with session.get(url + "/apps/1/channels?auth_key=k") as answer:
                assert answer.status == 502
                assert await answer.text() == f"Cannot reach {service}: Connection refused\n"
            with pytest.raises(aiohttp.WSServerHandshakeError, match="502"):
                await session.ws_connect(url + "/app/k")
        request, answered, refused = lines()
        assert (request["path"], answered) == ("/channels", {"what": "answer", "request": 1})
        assert refused == {"what": "refused", "key": "k"}

    async def test_an_answer_that_breaks_off_breaks_off(
        self, session: aiohttp.ClientSession, path: Path
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"half")
            leave(request)
            return response

        async with serving(script) as service, recording(service, path) as url:
            with pytest.raises(aiohttp.ClientError):
                await (await session.get(url + "/")).read()
