"""The recorder between a client and a service: what passes is the same on both sides.

The service here is a script, so that both ends of everything that passes can be seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict
from yarl import URL

from callboard.traffic.errors import CannotRecord
from callboard.traffic.fallback_sessions import FallbackSessions, fallback_request
from callboard.traffic.proxy import Proxy, bind
from callboard.traffic.recorder import Recorder

KEY_PATH = "/app/k?protocol=7&client=js&version=8.6.0&flash=false&ticket=secret-ticket"

Script = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Lines = Callable[[], list[dict[str, Any]]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Serve every request by a script; yields the service's URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def recording(service: str, path: Path, **options: Any) -> AsyncIterator[str]:
    """Stand before a service; yields the URL to go to in its place."""
    loop = asyncio.get_running_loop()
    with path.open("wb", buffering=0) as file:
        recorder = Recorder(file, time=loop.time, started_ms=0)
        try:
            async with Proxy(service, recorder, bind("127.0.0.1", 0), **options) as proxy:
                yield f"http://127.0.0.1:{proxy.address[1]}"
        finally:
            await recorder.close()


class Stalled:
    """A file that takes nothing until it is let."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        #: What happened, as the lines say.
        self.written: list[str] = []
        self._rest = b""

    def write(self, data: memoryview) -> int:
        self.goes_on.wait()
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        self.written += [json.loads(line).get("what", "") for line in lines]
        return len(data)

    @asynccontextmanager
    async def recording(self, service: str) -> AsyncIterator[str]:
        """Stand before a service; yields the URL to go to in its place."""
        recorder = Recorder(self, time=asyncio.get_running_loop().time, started_ms=0)
        try:
            async with Proxy(service, recorder, bind("127.0.0.1", 0)) as proxy:
                yield f"http://127.0.0.1:{proxy.address[1]}"
        finally:
            self.goes_on.set()
            await recorder.close()


@pytest.fixture
def stalled() -> Stalled:
    return Stalled()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traffic.jsonl"


@pytest.fixture
def lines(path: Path) -> Lines:
    """Read what has been recorded, without the times."""

    def read() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in path.read_text().splitlines()[1:]]
        for line in found:
            assert line.pop("ms") >= 0
        return found

    return read


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def websocket_service(request: web.BaseRequest, **options: Any) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(autoping=False, autoclose=False, **options)
    await websocket.prepare(request)
    return websocket


def leave(request: web.BaseRequest) -> None:
    """End a connection without a word."""
    assert request.transport is not None
    request.transport.abort()


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


class TestWebSockets:
    async def test_messages_pings_and_closes_go_both_ways_as_they_are(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        heard: list[Any] = []

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            heard.append(request.raw_path)
            websocket = await websocket_service(request)
            await websocket.send_str('{"event":"hello"}')
            await websocket.ping(b"of the service")
            while len(heard) < 7:
                message = await websocket.receive()
                heard.append((message.type, message.data))
            heard.append(message.extra)
            await websocket.send_frame((4321).to_bytes(2, "big") + b"bye too", WSMsgType.CLOSE)
            return websocket

        async with (
            serving(script) as service,
            recording(service, path) as url,
            session.ws_connect(url + KEY_PATH, autoping=False, autoclose=False) as client,
        ):
            said = [await client.receive() for _ in range(2)]
            assert [(each.type, each.data) for each in said] == [
                (WSMsgType.TEXT, '{"event":"hello"}'),
                (WSMsgType.PING, b"of the service"),
            ]
            await client.pong(b"of the service")
            await client.ping(b"of the client")
            await client.send_str('{"event":"client-x","data":"žluťoučký 🐴"}')
            await client.send_bytes(b"\x00\x01")
            await client.send_str("junk")
            await client.send_frame((4000).to_bytes(2, "big") + b"bye", WSMsgType.CLOSE)
            goodbye = await client.receive()
            assert (goodbye.type, goodbye.data, goodbye.extra) == (
                WSMsgType.CLOSE,
                4321,
                "bye too",
            )
        assert heard == [
            KEY_PATH,
            (WSMsgType.PONG, b"of the service"),
            (WSMsgType.PING, b"of the client"),
            (WSMsgType.TEXT, '{"event":"client-x","data":"žluťoučký 🐴"}'),
            (WSMsgType.BINARY, b"\x00\x01"),
            (WSMsgType.TEXT, "junk"),
            (WSMsgType.CLOSE, 4000),
            "bye",
        ]
        parameters = {"protocol": "7", "client": "js", "version": "8.6.0", "flash": "false"}
        client_says = {"event": "client-x", "data": "žluťoučký 🐴"}
        one = {"connection": 1}
        assert lines() == [
            {
                "what": "connect",
                **one,
                "transport": "websocket",
                "key": "k",
                "parameters": parameters,
            },
            {"what": "server", **one, "frame": {"event": "hello"}},
            {"what": "client", **one, "frame": client_says},
            {"what": "client", **one, "unread_bytes": 2, "binary": True},
            {"what": "client", **one, "unread_bytes": 4},
            {"what": "disconnect", **one, "by": "client", "code": 4000, "reason": "bye"},
        ]

    @pytest.mark.parametrize("code", [None, 1000, 4200])
    async def test_a_service_closes_with_its_code_and_hears_the_answer(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines, code: int | None
    ) -> None:
        payload = b"" if code is None else code.to_bytes(2, "big")
        answers: asyncio.Queue[Any] = asyncio.Queue()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            websocket = await websocket_service(request)
            await websocket.send_frame(payload, WSMsgType.CLOSE)
            answer = await websocket.receive()
            answers.put_nowait((answer.type, answer.data))
            return websocket

        async with (
            serving(script) as service,
            recording(service, path) as url,
            session.ws_connect(url + "/app/k", autoclose=False) as client,
        ):
            goodbye = await client.receive()
            assert (goodbye.type, goodbye.data) == (WSMsgType.CLOSE, code or 0)
            await client.send_frame(payload, WSMsgType.CLOSE)
            assert await answers.get() == (WSMsgType.CLOSE, code or 0)
        assert lines()[-1] == {
            "what": "disconnect",
            "connection": 1,
            "by": "server",
            "code": code or 1005,
        }

    async def test_a_client_that_vanishes_is_gone_for_the_service_after_all_it_said(
        self, path: Path, lines: Lines
    ) -> None:
        heard: list[WSMsgType] = []
        gone = asyncio.Event()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            websocket = await websocket_service(request)
            await websocket.send_str('{"event":"hello"}')
            try:
                while not websocket.closed:
                    heard.append((await websocket.receive()).type)
            finally:
                # TestServer cancels a handler whose client is gone.
                gone.set()
            return websocket

        async with serving(script) as service, recording(service, path) as url:
            async with aiohttp.ClientSession() as own:
                client = await own.ws_connect(url + "/app/k")
                await client.receive()
                await client.send_str('{"event":"client-last"}')
            # The session has closed the socket below it, without a close frame.
            await client.close()
            await gone.wait()
        assert heard[0] is WSMsgType.TEXT
        assert WSMsgType.CLOSE not in heard
        assert [line["what"] for line in lines()] == ["connect", "server", "client", "disconnect"]
        assert (lines()[-1]["by"], lines()[-1]["code"]) == ("client", 1006)

    async def test_a_service_that_vanishes_is_gone_for_the_client(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            websocket = await websocket_service(request)
            await websocket.send_str('{"event":"last"}')
            leave(request)
            return websocket

        async with (
            serving(script) as service,
            recording(service, path) as url,
            session.ws_connect(url + "/app/k") as client,
        ):
            end = await client.receive()
            while end.type is WSMsgType.TEXT:
                end = await client.receive()
            assert end.type is not WSMsgType.CLOSE
            assert client.close_code != 1000
        assert (lines()[-1]["by"], lines()[-1]["code"]) == ("server", 1006)

    async def test_a_refusal_is_passed_on(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=404)

        async with serving(script) as service, recording(service, path) as url:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await session.ws_connect(url + "/app/k?protocol=7")
        assert refusal.value.status == 404
        assert lines() == [{"what": "refused", "key": "k", "status": 404}]

    async def test_headers_and_subprotocol_are_agreed_upon_with_the_service(
        self, session: aiohttp.ClientSession, path: Path
    ) -> None:
        seen: dict[str, str] = {}

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            seen.update(request.headers)
            return await websocket_service(request, protocols=("b",))

        headers = {"Origin": "https://shop.example", "Cookie": "a=b", "User-Agent": "mine"}
        async with (
            serving(script) as service,
            recording(service, path) as url,
            session.ws_connect(url + "/app/k", protocols=("a", "b"), headers=headers) as client,
        ):
            assert client.protocol == "b"
        assert {name: seen[name] for name in headers} == headers
        assert seen["Host"] == service.removeprefix("http://")
        assert "a=b" not in path.read_text()

    async def test_the_end_of_the_recorder_is_told_to_both_sides(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        codes: asyncio.Queue[Any] = asyncio.Queue()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            websocket = await websocket_service(request)
            await websocket.send_str('{"event":"hello"}')
            codes.put_nowait((await websocket.receive()).data)
            return websocket

        async with serving(script) as service:
            async with recording(service, path) as url:
                client = await session.ws_connect(url + "/app/k")
                await client.receive()
            assert (await client.receive()).data == 1001
            assert await codes.get() == 1001
        assert lines()[-1] == {
            "what": "disconnect",
            "connection": 1,
            "by": "recorder",
            "code": 1001,
        }


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
                assert f"Cannot reach {service}" in await answer.text()
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


class TestAStalledDisk:
    """What passes while the disk takes nothing is kept in memory, so it soon may not pass."""

    #: Sixteen are more than may wait.
    DATA = "d" * 512 * 1024

    async def test_websockets_wait_for_it(
        self, session: aiohttp.ClientSession, stalled: Stalled
    ) -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            websocket = await websocket_service(request)
            while (message := await websocket.receive()).type is WSMsgType.TEXT:
                heard.put_nowait(len(message.data))
            return websocket

        async with (
            serving(script) as service,
            stalled.recording(service) as url,
            session.ws_connect(url + KEY_PATH) as client,
        ):
            for _ in range(20):
                await client.send_json({"event": "client-x", "data": self.DATA})
            for _ in range(16):
                await heard.get()
            stalled.goes_on.set()
            for _ in range(4):
                await heard.get()
        assert "held" in stalled.written

    async def test_requests_wait_for_it(
        self, session: aiohttp.ClientSession, stalled: Stalled
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            await request.read()
            return web.Response()

        async with serving(script) as service, stalled.recording(service) as url:
            body = json.dumps({"data": self.DATA}).encode()
            for _ in range(16):
                await session.post(url + "/apps/1/events", data=body)
            last = asyncio.ensure_future(session.post(url + "/apps/1/events", data=body))
            stalled.goes_on.set()
            await last
        assert "held" in stalled.written


class TestFallback:
    STREAM = "/pusher/app/k/12/abc/xhr_streaming?protocol=7&client=js&t=1&n=1"
    SEND = "/pusher/app/k/12/abc/xhr_send?t=2&n=2"

    async def test_a_session_is_a_connection_with_the_frames_in_its_lines(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        goes_on = asyncio.Event()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            if "xhr_send" in request.path:
                goes_on.set()
                return web.Response(status=204)
            response = web.StreamResponse()
            await response.prepare(request)
            # A line may come in pieces, and two in one.
            for piece in (b"hhhh\no\na[", b'"{\\"event\\":\\"hello\\"}"', b"]\nh\n"):
                await response.write(piece)
            await goes_on.wait()
            await response.write(b'a["{\\"event\\":\\"e1\\"}","{\\"event\\":\\"e2\\"}"]\n')
            await response.write(b'c[4200,"come again"]\n')
            return response

        sent = json.dumps(
            ['{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"k:5ec"}}', "junk"]
        )
        async with (
            serving(script) as service,
            recording(service, path) as url,
            session.post(url + self.STREAM) as stream,
        ):
            start = b'hhhh\no\na["{\\"event\\":\\"hello\\"}"]\nh\n'
            assert await stream.content.readexactly(len(start)) == start
            async with session.post(url + self.SEND, data=sent) as answer:
                assert answer.status == 204
            assert (await stream.read()).endswith(b'c[4200,"come again"]\n')
        one = {"connection": 1}
        subscribe = {"channel": "private-a", "auth": "***"}
        assert lines() == [
            {
                "what": "connect",
                **one,
                "transport": "fallback",
                "key": "k",
                "parameters": {"protocol": "7", "client": "js"},
            },
            {"what": "server", **one, "frame": {"event": "hello"}},
            {"what": "client", **one, "frame": {"event": "pusher:subscribe", "data": subscribe}},
            {"what": "client", **one, "unread_bytes": 4},
            {"what": "server", **one, "frame": {"event": "e1"}},
            {"what": "server", **one, "frame": {"event": "e2"}},
            {"what": "disconnect", **one, "by": "server", "code": 4200, "reason": "come again"},
        ]

    async def test_a_session_goes_on_over_many_receives(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        receives = 0

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal receives
            receives += 1
            return web.Response(body=b'a["{\\"event\\":\\"e%d\\"}"]\n' % receives)

        async with serving(script) as service, recording(service, path) as url:
            for _ in range(3):
                async with session.post(url + self.STREAM.replace("xhr_streaming", "xhr")) as poll:
                    await poll.read()
        connect, *heard, end = lines()
        assert (connect["what"], connect["connection"]) == ("connect", 1)
        assert [line["frame"]["event"] for line in heard] == ["e1", "e2", "e3"]
        assert end == {"what": "disconnect", "connection": 1, "by": "recorder", "code": 1006}

    async def test_a_receive_that_another_one_replaces_ends_no_session(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        answers = [b'c[2010,"replaced"]\n', b'a["{\\"event\\":\\"e\\"}"]\n']

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=answers.pop(0))

        async with serving(script) as service, recording(service, path) as url:
            while answers:
                async with session.post(url + self.STREAM) as stream:
                    await stream.read()
        assert [line["what"] for line in lines()] == ["connect", "server", "disconnect"]
        assert lines()[-1]["by"] == "recorder"

    async def test_a_session_that_nobody_receives_of_is_over(self, path: Path) -> None:
        class Connection:
            def __init__(self) -> None:
                self.end = asyncio.get_running_loop().create_future()

            def ended(self, by: str, code: int, reason: str = "") -> None:
                self.end.set_result((by, code))

        class Connections:
            def __init__(self) -> None:
                self.made: list[Connection] = []

            def connect(self, *what: Any) -> Connection:
                self.made.append(Connection())
                return self.made[-1]

        connections = Connections()
        sessions = FallbackSessions(connections, timeout_seconds=0.0)  # type: ignore[arg-type]
        asked = fallback_request("POST", self.STREAM.partition("?")[0])
        assert asked is not None
        with sessions.receive(asked, ""), sessions.receive(asked, ""):
            pass
        assert await connections.made[0].end == ("client", 1006)
        # Who comes after that is another one.
        with sessions.receive(asked, ""):
            assert len(connections.made) == 2
        sessions.end()
        assert connections.made[1].end.result() == ("recorder", 1006)

    async def test_a_client_that_goes_away_ends_its_receive_at_the_service(
        self, session: aiohttp.ClientSession, path: Path
    ) -> None:
        gone = asyncio.Event()

        async def script(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"o\n")
            try:
                await asyncio.Event().wait()
            finally:
                # TestServer cancels a handler whose client is gone.
                gone.set()
            return response

        async with serving(script) as service, recording(service, path) as url:
            async with session.post(url + self.STREAM) as stream:
                await stream.content.readexactly(2)
                stream.close()
            await gone.wait()

    async def test_a_refused_receive_begins_nothing(
        self, session: aiohttp.ClientSession, path: Path, lines: Lines
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=404, text="Session ended")

        async with serving(script) as service, recording(service, path) as url:
            for asked in (self.STREAM, self.SEND):
                async with session.post(url + asked, data="[]") as answer:
                    assert (answer.status, await answer.text()) == (404, "Session ended")
        assert lines() == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("127.0.0.1:6001", "is no URL of a service"),
            ("ws://127.0.0.1:6001", "is no URL of a service"),
            ("http://k:5ec@127.0.0.1:6001/apps/1", "has a key in it"),
            ("http://127.0.0.1:6001/?x=1", "more than a host and a port"),
        ],
    )
    def test_a_url_that_is_no_service_is_refused_without_being_quoted(
        self, url: str, said: str
    ) -> None:
        with pytest.raises(CannotRecord, match=said) as refusal:
            Proxy(url, None, [])  # type: ignore[arg-type]
        assert "5ec" not in str(refusal.value)

    async def test_an_address_that_is_taken_is_refused(self, path: Path) -> None:
        async with recording("http://127.0.0.1:1", path) as url:
            port = int(url.rpartition(":")[2])
            with pytest.raises(
                CannotRecord, match=f"Cannot listen: 127.0.0.1 port {port} is in use: .*--listen"
            ):
                bind("127.0.0.1", port)
