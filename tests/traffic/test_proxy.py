"""WebSockets between a client and a service: what passes is the same on both sides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from callboard.traffic.errors import CannotRecord
from callboard.traffic.proxy import Proxy, bind
from traffic.conftest import Lines
from traffic.scripted_service import KEY_PATH, leave, recording, serving, websocket_service


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
