"""Why a service is not there, as people are told."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from callboard.traffic.reaching import reason, why_absent


async def test_a_service_that_takes_connections_is_there() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            assert await why_absent(f"http://{host}:{port}") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nobody_listens(host: str, unused_tcp_port: int) -> None:
    assert await why_absent(f"http://{host}:{unused_tcp_port}/a/prefix") == "Connection refused"


async def test_a_port_that_is_none() -> None:
    assert "out of range" in (await why_absent("http://127.0.0.1:70000") or "")


def test_what_takes_too_long_has_no_text_of_its_own() -> None:
    assert reason(TimeoutError()) == "no answer within 10 s"


def test_what_tls_says_is_kept() -> None:
    assert reason(ssl.SSLError(1, "wrong version number")) == "wrong version number"
