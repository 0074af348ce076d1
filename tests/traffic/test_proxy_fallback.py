"""Clients that come by HTTP: what passes is the same, and one session is one connection."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from callboard.traffic.fallback_sessions import FallbackSessions, fallback_request
from traffic.conftest import Lines
from traffic.scripted_service import recording, serving


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
