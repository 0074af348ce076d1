"""Who the client is behind proxies: only what trusted ones have written counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from callboard_server.background import BackgroundServer
from callboard_server.client_info import NOBODY, ClientInfo, TrustedProxies
from callboard_server.settings import AppSettings, Settings
from support.entrance import SHOP, Answer, Entrance, signed

SAFE = AppSettings(id="2", key="safe-key", secret="safe-secret", tls_only=True)

PROXY, PROXY_6, NETWORK = "10.0.0.1", "2001:db8::1", "192.168.0.0/16"
TRUSTED = (PROXY, PROXY_6, NETWORK, "unix")


class Peer:
    """A transport whose other end is at an address; at a Unix socket if it is empty."""

    def __init__(self, address: str, *, tls: bool = False) -> None:
        self._info = {
            "peername": (address, 1234) if address else "",
            "sslcontext": object() if tls else None,
        }

    def get_extra_info(self, name: str) -> Any:
        return self._info[name]


def client(
    peer: str,
    *headers: tuple[str, str],
    tls: bool = False,
    trusted: Sequence[str] = TRUSTED,
) -> tuple[str, bool]:
    """Return address and security of a client whose connection comes from ``peer``."""
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    transport = cast("asyncio.BaseTransport", Peer(peer, tls=tls))
    info = ClientInfo(transport, encoded, TrustedProxies(trusted))
    return info.address, info.secure


def x_for(value: str) -> tuple[str, str]:
    return "X-Forwarded-For", value


def x_proto(value: str) -> tuple[str, str]:
    return "X-Forwarded-Proto", value


def forwarded(value: str) -> tuple[str, str]:
    return "Forwarded", value


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::1", "::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("", "unix"),
    ],
)
@pytest.mark.parametrize("tls", [True, False])
def test_without_a_proxy_the_connection_tells(peer: str, address: str, tls: bool) -> None:
    assert client(peer, tls=tls) == (address, tls)


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.0.0.2", "::1", ""])
def test_what_anyone_else_writes_is_not_believed(peer: str) -> None:
    headers = [x_for("1.1.1.1"), x_proto("https"), forwarded("for=1.1.1.1;proto=https")]

    for header in headers:
        assert client(peer, header, trusted=[PROXY]) == client(peer)


@pytest.mark.parametrize("peer", [PROXY, "::ffff:10.0.0.1", PROXY_6, "192.168.7.7", ""])
def test_each_kind_of_trusted_proxy_is_believed(peer: str) -> None:
    assert client(peer, x_for("1.1.1.1"), x_proto("https")) == ("1.1.1.1", True)
    assert client(peer, forwarded("for=1.1.1.1;proto=https")) == ("1.1.1.1", True)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([x_for("1.1.1.1")], "1.1.1.1"),
        ([x_for("6.6.6.6, 1.1.1.1")], "1.1.1.1"),
        ([x_for("6.6.6.6"), x_for("1.1.1.1")], "1.1.1.1"),
        ([x_for("6.6.6.6, 1.1.1.1, 192.168.0.1")], "1.1.1.1"),
        ([x_for("6.6.6.6,1.1.1.1,192.168.0.1 , 192.168.0.2")], "1.1.1.1"),
        ([x_for("192.168.0.1, 192.168.0.2")], "192.168.0.1"),
        ([x_for("1.1.1.1, unix:")], "1.1.1.1"),
        ([x_for("1.1.1.1:5555")], "1.1.1.1"),
        ([x_for("2001:db8::9")], "2001:db8::9"),
        ([x_for("[2001:db8::9]:5555")], "2001:db8::9"),
        ([x_for("[2001:db8::9]")], "2001:db8::9"),
        ([x_for("::ffff:1.1.1.1")], "1.1.1.1"),
        ([x_for("6.6.6.6, unknown")], "unknown"),
        ([x_for("6.6.6.6, <script>")], "unknown"),
        ([x_for('"6.6.6.6, 1.1.1.1')], "1.1.1.1"),
        ([x_for("6.6.6.6, ,")], "6.6.6.6"),
        ([x_for("")], PROXY),
        ([x_for("1.1.1.1"), forwarded("for=6.6.6.6")], "1.1.1.1"),
        ([forwarded("for=6.6.6.6, for=1.1.1.1")], "1.1.1.1"),
        ([forwarded("for=6.6.6.6, for=1.1.1.1, for=192.168.0.1")], "1.1.1.1"),
        ([forwarded('For="[2001:db8::9]:5555"; proto=https; by=10.0.0.1')], "2001:db8::9"),
        ([forwarded('for="1.1.1.1:80"')], "1.1.1.1"),
        ([forwarded("for=6.6.6.6, for=_hidden")], "unknown"),
        ([forwarded("for=6.6.6.6, proto=https")], "unknown"),
        ([forwarded('for="6.6.6.6, for=1.1.1.1')], "1.1.1.1"),
        ([forwarded("x-for=6.6.6.6;for=1.1.1.1")], "1.1.1.1"),
    ],
)
def test_the_last_address_that_is_no_proxys_is_the_clients(
    headers: list[tuple[str, str]], address: str
) -> None:
    assert client(PROXY, *headers)[0] == address


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ([x_proto("https")], True),
        ([x_proto("HTTPS")], True),
        ([x_proto("http")], False),
        ([x_proto("wss")], False),
        ([x_for("1.1.1.1")], False),
        ([x_for("1.1.1.1"), x_proto("https")], True),
        # The client's own word comes first, the proxy's last.
        ([x_for("1.1.1.1"), x_proto("https, http")], False),
        ([x_for("6.6.6.6, 1.1.1.1"), x_proto("https, http")], False),
        # Two proxies: the outer one knows how the client came.
        ([x_for("1.1.1.1, 192.168.0.1"), x_proto("https, http")], True),
        ([x_for("1.1.1.1, 192.168.0.1"), x_proto("http, https")], False),
        ([x_for("1.1.1.1, 192.168.0.1"), x_proto("https")], True),
        ([forwarded("proto=https;for=1.1.1.1")], True),
        ([forwarded('proto="https";for=1.1.1.1')], True),
        ([forwarded("proto=https;for=6.6.6.6, for=1.1.1.1;proto=http")], False),
        ([forwarded("for=1.1.1.1;proto=https, for=192.168.0.1;proto=http")], True),
        ([forwarded("for=1.1.1.1")], False),
        ([forwarded("proto=https"), x_proto("http")], False),
    ],
)
def test_it_came_by_tls_if_the_proxy_before_it_says_so(
    headers: list[tuple[str, str]], secure: bool
) -> None:
    assert client(PROXY, *headers)[1] is secure


def test_a_proxy_that_comes_by_tls_does_not_answer_for_its_client() -> None:
    assert client(PROXY, x_for("1.1.1.1"), tls=True) == ("1.1.1.1", False)
    assert client(PROXY, x_for("1.1.1.1"), x_proto("https"), tls=True) == ("1.1.1.1", True)


def test_nothing_is_known_of_nobody() -> None:
    assert (NOBODY.address, NOBODY.secure, NOBODY.origin) == ("unknown", False, None)


class TestAServerBehindAProxy:
    @pytest.fixture
    def stack(self) -> Iterator[ExitStack]:
        with ExitStack() as stack:
            yield stack

    @pytest.fixture
    def way(self, stack: ExitStack) -> Entrance:
        settings = Settings(port=0, apps=(SHOP, SAFE), trusted_proxies=("127.0.0.0/8",))
        background = stack.enter_context(BackgroundServer(settings))
        return Entrance(stack, port=background.port)

    @pytest.mark.documented("TLS and origins", "An app for TLS only is served by TLS")
    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "https"},
            {"Forwarded": "for=1.1.1.1;proto=https"},
        ],
    )
    def test_serves_an_app_of_tls_only_to_whom_came_by_tls(
        self, headers: dict[str, str], way: Entrance
    ) -> None:
        client = way.client(SAFE, headers)
        client.subscribe("news")

        assert way.trigger("news", app=SAFE, headers=headers) == Answer(200, "{}")

        client.hears("news")

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-Forwarded-For": "1.1.1.1"},
            {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "http"},
            {"Forwarded": "for=1.1.1.1;proto=http"},
        ],
    )
    def test_and_to_nobody_else(self, headers: dict[str, str], way: Entrance) -> None:
        assert way.refused(SAFE, headers)[0] == 4000
        assert way.trigger("news", app=SAFE, headers=headers).status == 403

    TRAILERS = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"

    @pytest.mark.parametrize("headers", ["", "X-Forwarded-For: 1.1.1.1\r\n"])
    def test_does_not_believe_a_trailer(
        self, headers: str, way: Entrance, stack: ExitStack, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A proxy checks and overwrites headers; trailers may pass it as the client wrote them."""
        body = b'{"name": "e", "channel": "news", "data": "d"}'
        path = f"/apps/{SAFE.id}/events"
        head = f"POST {path}?{signed(SAFE, path, body)} HTTP/1.1\r\nHost: localhost\r\n{headers}"
        chunk = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body)
        connection = way.connect()

        for _ in range(2):
            connection.sendall(head.encode() + chunk + b"0\r\n" + self.TRAILERS + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")

        stack.close()
        assert "6.6.6.6" not in caplog.text

    def test_names_the_client_of_a_request_that_was_refused_unread(
        self, way: Entrance, stack: ExitStack, caplog: pytest.LogCaptureFixture
    ) -> None:
        forwarded = b"Content-Length: 9999999\r\nX-Forwarded-For: 1.1.1.1\r\n"
        connection = way.connect()
        connection.sendall(b"POST /apps/1/events HTTP/1.1\r\n" + forwarded + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        stack.close()
        assert "client=1.1.1.1 path='/apps/1/events' status=413" in caplog.text

    def test_does_not_believe_a_head_that_is_not_whole(
        self, way: Entrance, stack: ExitStack, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What the proxy has written may be still to come."""
        connection = way.connect()
        connection.sendall(b"GET /apps/1 HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nBad : 1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        stack.close()
        assert "client=127.0.0.1 path='/apps/1' status=400" in caplog.text

    def test_names_the_client_in_its_log(
        self, way: Entrance, stack: ExitStack, caplog: pytest.LogCaptureFixture
    ) -> None:
        headers = {"X-Forwarded-For": "6.6.6.6, 1.1.1.1"}

        way.refused(AppSettings(id="3", key="none", secret="none"), headers)
        way.request("GET", f"/apps/{SHOP.id}/channels", headers=headers)
        # A refusal is logged behind its answer; at the end of the server it has been.
        stack.close()

        assert sum("client=1.1.1.1 " in line for line in caplog.messages) == 2
        assert "6.6.6.6" not in caplog.text

    @pytest.mark.parametrize(("trusted", "code"), [(("unix",), None), (("127.0.0.1",), 4000)])
    def test_believes_who_comes_by_the_unix_socket_if_told_to(
        self, trusted: tuple[str, ...], code: int | None, tmp_path: Path, stack: ExitStack
    ) -> None:
        path = str(tmp_path / "socket")
        settings = Settings(port=0, apps=(SAFE,), trusted_proxies=trusted, unix_socket=path)
        stack.enter_context(BackgroundServer(settings))
        way = Entrance(stack, path=path)

        if code is None:
            way.client(SAFE, {"X-Forwarded-Proto": "https"}).quiet()
        else:
            assert way.refused(SAFE, {"X-Forwarded-Proto": "https"})[0] == code
