"""TLS in the process: everything that works without it, its certificates, and who must use it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

from callboard.announcement import announce
from callboard.cli import main
from callboard_server import server as server_module
from callboard_server import sockets
from callboard_server.background import BackgroundServer
from callboard_server.front import tls_handshake
from callboard_server.listeners import ListenError
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings
from callboard_server.tls import CertificateError
from support.certificates import Authority, Pair, common_name
from support.entrance import PATIENCE_SECONDS, SHOP, Answer, Entrance, signed

documented = pytest.mark.documented
SAFE = AppSettings(id="2", key="safe-key", secret="safe-secret", tls_only=True)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.pair("first")


def settings(pair: Pair, **changes: Any) -> Settings:
    given = {"tls_certificate": pair.certificate, "tls_key": pair.key, "apps": (SHOP, SAFE)}
    return Settings(port=0, tls_port=0, **{**given, **changes})


class Served:
    """A running server and the ways into it."""

    def __init__(self, background: BackgroundServer, authority: Authority) -> None:
        self.background = background
        self.stack = ExitStack()
        context = authority.client_context()
        self.tls = Entrance(self.stack, port=background.tls_port, tls=context)
        self.plain = Entrance(self.stack, port=background.port)

    def look(self, function: Any) -> Any:
        """Return what ``function(server)`` returns on the server's thread."""
        found: list[Any] = []
        self.background.call(lambda server: found.append(function(server)))
        return found[0]

    def eventually(self, condition: Any) -> None:
        """Let the server work until ``condition(server)`` holds."""
        end = perf_counter() + PATIENCE_SECONDS
        while not self.look(condition):
            assert perf_counter() < end, "it did not happen in time"


@pytest.fixture
def served(authority: Authority, pair: Pair) -> Iterator[Served]:
    with BackgroundServer(settings(pair)) as background:
        served = Served(background, authority)
        with served.stack:
            yield served


class TestWhatWorksWithoutTLS:
    @pytest.mark.documented("TLS and origins", "Clients and backends may come by TLS")
    def test_an_event_reaches_everybody_by_whatever_way_they_came(self, served: Served) -> None:
        clients = [way.client() for way in (served.tls, served.plain) for _ in range(5)]
        for client in clients:
            client.subscribe("news")

        assert served.tls.trigger("news", "by TLS") == Answer(200, "{}")
        assert served.plain.trigger("news", "without") == Answer(200, "{}")

        for client in clients:
            client.hears("news", "by TLS")
            client.hears("news", "without")

    def test_private_channels_and_client_events(self, served: Served) -> None:
        sender, receiver = served.tls.client(), served.tls.client()
        sender.subscribe("private-room")
        receiver.subscribe("private-room")

        sender.send("client-hello", "there", channel="private-room")

        assert receiver.receive()["event"] == "client-hello"
        sender.quiet()

    def test_pages(self, served: Served) -> None:
        assert json.loads(served.tls.request("GET", "/").text)["name"] == "callboard"
        assert served.tls.request("GET", "/ready").status == 200
        assert served.tls.request("GET", "/none").status == 404

    def test_requests_that_follow_one_another_on_one_connection(self, served: Served) -> None:
        path = f"/apps/{SHOP.id}/channels"
        request = f"GET {path}?{signed(SHOP, path, method='GET')} HTTP/1.1\r\nHost: h\r\n\r\n"
        connection = served.tls.connect()

        connection.sendall(request.encode() * 3)
        connection.sendall(request.replace("Host", "Connection: close\r\nHost").encode())

        answers = read_to_the_end(connection)
        assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b'{"channels":{}}') == 4

    def test_an_upgrade_behind_a_request_on_the_same_connection(self, served: Served) -> None:
        connection = served.tls.connect()
        connection.sendall(b"GET /apps/none/channels HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.sendall(
            f"GET /app/{SHOP.key} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\n\r\n".encode()
        )

        received = b""
        while b"connection_established" not in received:
            received += connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 404 Not Found")
        assert b"HTTP/1.1 101" in received

    def test_a_large_body_in_pieces(self, served: Served) -> None:
        data = "x" * 10_000
        client = served.tls.client()
        client.subscribe("news")

        assert served.tls.trigger("news", data).status == 200

        client.hears("news", data)

    def test_a_client_that_closes_leaves(self, served: Served) -> None:
        client = served.tls.client()
        client.subscribe("news")

        client.connection.close()

        served.eventually(lambda server: not server.hub.connections and not server.hub.transient)

    def test_a_client_that_vanishes_leaves(self, served: Served) -> None:
        client = served.tls.client()
        client.subscribe("news")

        client.connection.socket.shutdown(socket.SHUT_RDWR)

        served.eventually(lambda server: not server.hub.connections and not server.hub.transient)

    def test_the_end_of_a_clients_stream_behind_a_request_is_no_complaint(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = served.tls.connect()
        assert isinstance(connection, ssl.SSLSocket)
        connection.sendall(b"GET /apps/none/channels HTTP/1.1\r\nHost: h\r\n\r\n")

        assert b"404 Not Found" in connection.recv(65536)
        connection.unwrap()

        served.eventually(lambda server: not len(server._front.connections))
        assert not [record for record in caplog.records if record.name == "asyncio"]


class TestASlowReader:
    def test_is_bounded_and_the_others_do_not_notice(
        self, authority: Authority, pair: Pair
    ) -> None:
        limit, size = 256 * 1024, 8 * 1024
        with BackgroundServer(settings(pair, max_outbox_bytes=limit)) as background:
            served = Served(background, authority)
            with served.stack:
                slow = served.tls.client(receive_buffer_bytes=4096)
                slow.subscribe("news")
                quick = served.tls.client()
                quick.subscribe("news")

                heard = 0
                while served.look(lambda server: server.hub.slow_clients) == 0:
                    assert heard * size < 64 * limit, "nothing bounds what is held for it"
                    served.plain.trigger("news", f"{heard:08}".ljust(size, "x"))
                    quick.hears("news", f"{heard:08}".ljust(size, "x"))
                    heard += 1

                assert heard * size > limit
                quick.quiet()
                served.eventually(lambda server: len(server.hub.connections) == 1)

    def test_that_catches_up_has_missed_nothing(self, authority: Authority, pair: Pair) -> None:
        with BackgroundServer(settings(pair, max_outbox_bytes=64 * 1024 * 1024)) as background:
            served = Served(background, authority)
            with served.stack:
                client = served.tls.client()
                client.subscribe("news")
                count, data = 1000, "x" * 9_000

                # The client's library stops reading the socket when 16 frames wait.
                for number in range(count):
                    served.plain.trigger("news", f"{number} {data}")
                assert served.look(
                    lambda server: [c.paused for c in server.hub.connections.values()]
                )

                for number in range(count):
                    client.hears("news", f"{number} {data}")
                client.quiet()


class TestTheEnd:
    @pytest.fixture(autouse=True)
    def short_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let those who keep the server waiting do so for a moment only."""
        monkeypatch.setattr(server_module, "REQUESTS_SECONDS", 0.2)
        monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 0.2)

    def test_clients_are_told(self, authority: Authority, pair: Pair) -> None:
        background = BackgroundServer(settings(pair))
        with background:
            served = Served(background, authority)
            client = served.tls.client()
        with served.stack:
            assert client.ended()[0] == 4100

    def test_nobody_can_hold_it_up(self, authority: Authority, pair: Pair) -> None:
        """Not by a handshake that is never finished, nor by never answering."""
        background = BackgroundServer(settings(pair))
        with background:
            served = Served(background, authority)
            served.stack.enter_context(socket.create_connection(("127.0.0.1", background.tls_port)))
            idle = served.tls.connect()
            idle.sendall(b"GET /apps/none/channels HTTP/1.1\r\nHost: h\r\n\r\n")
            assert idle.recv(65536)
            began = perf_counter()
        with served.stack:
            assert perf_counter() - began < PATIENCE_SECONDS

    async def test_a_handshake_that_outlasts_the_server_leads_nowhere(
        self, authority: Authority, pair: Pair
    ) -> None:
        given = settings(pair)
        bound = sockets.bind(given)
        server = Server(given, bound.plain, tls_sockets=bound.tls)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tls_addresses[0][1])
        # A whole turn of the loop in which the server accepts.
        await asyncio.sleep(0.05)

        await server.stop()

        with pytest.raises((ssl.SSLError, ConnectionError)):
            await writer.start_tls(authority.client_context(), server_hostname="localhost")
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            if not await reader.read():
                raise ConnectionError
        writer.close()


class TestHandshakes:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_these_versions_are_spoken(
        self, version: ssl.TLSVersion, served: Served, authority: Authority
    ) -> None:
        context = authority.client_context()
        context.minimum_version = context.maximum_version = version
        way = Entrance(served.stack, port=served.background.tls_port, tls=context)

        way.client().quiet()

    def test_older_ones_are_not(self, served: Served, authority: Authority) -> None:
        context = authority.client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        way = Entrance(served.stack, port=served.background.tls_port, tls=context)

        with pytest.raises(ssl.SSLError):
            way.connect()

    def test_a_client_that_knows_http_2_gets_http_1(
        self, served: Served, authority: Authority
    ) -> None:
        context = authority.client_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        way = Entrance(served.stack, port=served.background.tls_port, tls=context)

        connection = way.connect()

        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == "http/1.1"

    def test_plain_http_on_the_port_of_tls_ends_and_harms_nobody(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = served.tls.client()
        wrong = Entrance(served.stack, port=served.background.tls_port).connect()

        wrong.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")

        assert b"HTTP/" not in read_to_the_end(wrong)
        client.quiet()
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    def test_tls_on_the_plain_port_is_a_bad_request(self, served: Served) -> None:
        wrong = served.plain.connect()

        # The beginning of a ClientHello.
        wrong.sendall(bytes.fromhex("16030100f8010000f40303"))

        assert wrong.recv(65536).startswith(b"HTTP/1.1 400 ")

    def test_one_that_is_never_finished_is_cut(
        self, authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tls_handshake, "HANDSHAKE_SECONDS", 0.1)
        with BackgroundServer(settings(pair)) as background:
            served = Served(background, authority)
            with served.stack:
                silent = Entrance(served.stack, port=background.tls_port).connect()

                assert read_to_the_end(silent) == b""


class TestTheCertificate:
    def test_is_another_one_after_a_reload_for_new_connections(
        self, served: Served, authority: Authority, pair: Pair
    ) -> None:
        client = served.tls.client()
        other = authority.pair("second", trustme.KeyType.RSA)
        assert name_of(served.tls) == "first"

        served.background.reload(settings(other))

        assert name_of(served.tls) == "second"
        client.quiet()
        served.background.reload(settings(pair))
        assert name_of(served.tls) == "first"

    def test_is_read_again_from_the_same_files(
        self, served: Served, authority: Authority, pair: Pair
    ) -> None:
        other = authority.pair("second")
        Path(other.certificate).rename(pair.certificate)
        Path(other.key).rename(pair.key)

        served.background.reload(settings(pair))

        assert name_of(served.tls) == "second"

    def test_a_bad_pair_changes_nothing(
        self, served: Served, authority: Authority, pair: Pair
    ) -> None:
        client = served.tls.client()
        Path(pair.key).write_text(Path(authority.pair("second").key).read_text())

        with pytest.raises(CertificateError, match=r"is not that of the certificate"):
            served.background.reload(settings(pair, apps=(SAFE,)))

        client.quiet()
        assert name_of(served.tls) == "first"
        served.tls.client().quiet()

    @pytest.mark.parametrize(
        ("certificate", "key", "said"),
        [
            ("first.pem", "nowhere.key", "Cannot read .*nowhere.key: No such file"),
            ("nowhere.pem", "first.key", "Cannot read .*nowhere.pem: No such file"),
            ("", "first.key", "Is a directory"),
            ("first.pem", "second.key", "key in .*second.key is not that of .*first.pem"),
            ("first.key", "first.pem", "Cannot use the certificate in .*first.key"),
            ("empty", "first.key", "Cannot use the certificate in .*empty"),
            ("first.pem", "locked.key", "the key without a password"),
        ],
    )
    def test_a_pair_that_cannot_be_used_keeps_the_server_from_starting(
        self, certificate: str, key: str, said: str, authority: Authority, tmp_path: Path
    ) -> None:
        authority.pair("first")
        authority.pair("second")
        (tmp_path / "empty").touch()
        authority.lock("first.key", "locked.key")
        bad = Pair(f"{tmp_path}/{certificate}", f"{tmp_path}/{key}")

        with pytest.raises(ListenError, match=said):
            BackgroundServer(settings(bad)).start()

    def test_a_server_that_does_not_start_leaves_no_socket(self, tmp_path: Path) -> None:
        bad = Pair(str(tmp_path / "nowhere"), str(tmp_path / "nowhere"))
        given = settings(bad)
        bound = sockets.bind(given)

        async def start() -> None:
            await Server(given, bound.plain, tls_sockets=bound.tls).start()

        with pytest.raises(CertificateError):
            asyncio.run(start())
        assert [sock.fileno() for sock in bound] == [-1, -1]


class TestAnAppOfTLSOnly:
    @pytest.mark.documented("TLS and origins", "An app for TLS only is served by TLS")
    @documented("TLS and origins", "Clients and the HTTP API may come by TLS")
    def test_is_served_by_tls(self, served: Served) -> None:
        client = served.tls.client(SAFE)
        client.subscribe("news")

        assert served.tls.trigger("news", app=SAFE) == Answer(200, "{}")

        client.hears("news")

    @pytest.mark.documented("TLS and origins", "An app for TLS only closes others with 4000")
    @documented("TLS and origins", "An app for TLS only closes any other connection with 4000")
    def test_is_refused_without(self, served: Served) -> None:
        assert served.plain.refused(SAFE) == (4000, "App accepts connections over TLS only")
        assert served.plain.trigger("news", app=SAFE) == Answer(
            403, "App accepts connections over TLS only: use https\n"
        )

    def test_nobodys_word_counts_unless_it_is_trusted(self, served: Served) -> None:
        says_https = {"X-Forwarded-Proto": "https", "Forwarded": "proto=https"}

        assert served.plain.refused(SAFE, says_https)[0] == 4000
        assert served.plain.trigger("news", app=SAFE, headers=says_https).status == 403

    def test_whoever_does_not_sign_is_not_told_of_it(self, served: Served) -> None:
        assert served.plain.request("POST", f"/apps/{SAFE.id}/events").status == 401


class TestTheCommand:
    def check(self, *flags: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["check", "--port", "0", *flags], prog_name="callboard")
        return result.exit_code, result.output

    def flags(self, pair: Pair, port: str = "0") -> list[str]:
        return ["--tls-port", port, "--tls-certificate", pair.certificate, "--tls-key", pair.key]

    def test_check_says_what_would_be_listened_on(self, pair: Pair) -> None:
        status, said = self.check(*self.flags(pair))

        assert status == 0
        assert "127.0.0.1 port 0 (a free one), 127.0.0.1 port 0 (a free one) for TLS, with" in said

    def test_check_does_not_need_the_port_to_be_free(self, pair: Pair, stack: ExitStack) -> None:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = str(taken.getsockname()[1])

        status, said = self.check(*self.flags(pair, port))

        assert status == 0
        assert f"127.0.0.1 port {port} (in use now) for TLS" in said

    def test_check_tries_the_certificate(self, pair: Pair, authority: Authority) -> None:
        status, said = self.check(*self.flags(Pair(pair.certificate, authority.pair("other").key)))

        assert status == 1
        assert "is not that of the certificate" in said

    def test_check_wants_all_three(self, pair: Pair) -> None:
        status, said = self.check("--tls-certificate", pair.certificate)

        assert status == 1
        assert "tls_port and tls_key missing" in said

    def test_the_announcement_has_the_lines_for_tls_where_it_must_be(self) -> None:
        said = announce(
            [SAFE, SHOP],
            [("127.0.0.1", 6001)],
            name="callboard.example",
            open_files=None,
            tls_addresses=[("127.0.0.1", 6443)],
        )

        assert "listens on http://127.0.0.1:6001, https://127.0.0.1:6443\n" in said
        safe, shop = said.split("App 2")[1].split("App 1")
        assert (
            'new Pusher("safe-key", {cluster: "", wsHost: "callboard.example", wssPort: 6443, '
            'httpHost: "callboard.example", httpsPort: 6443, forceTLS: true})'
        ) in safe
        assert "port: 6443, useTLS: true})" in safe
        assert "ssl=True" in safe
        assert "httpPort: 6001, forceTLS: false" in shop

    async def test_serve_writes_the_port_and_reads_the_certificate_again(
        self, authority: Authority, pair: Pair, tmp_path: Path, stack: ExitStack
    ) -> None:
        ports = tmp_path / "ports.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "callboard", "serve", "--port", "0"),
            *(*self.flags(pair), "--ports-file", str(ports)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(2 * PATIENCE_SECONDS):
                assert b"https://127.0.0.1:" in await process.stdout.readline()
                port = json.loads(ports.read_text())["tls_port"]
                way = Entrance(stack, port=port, tls=authority.client_context())
                assert await asyncio.to_thread(name_of, way) == "first"

                Path(pair.key).write_text("broken")
                process.send_signal(signal.SIGHUP)
                while b"SIGHUP: nothing is changed" not in await process.stderr.readline():
                    pass
                assert await asyncio.to_thread(name_of, way) == "first"

                other = authority.pair("second")
                Path(other.certificate).rename(pair.certificate)
                Path(other.key).rename(pair.key)
                process.send_signal(signal.SIGHUP)
                while b"reloaded" not in await process.stderr.readline():
                    pass
                assert await asyncio.to_thread(name_of, way) == "second"
        finally:
            # The end waits for those who are connected.
            stack.close()
            process.terminate()
            await process.communicate()
        assert process.returncode == 0


def paused(server: Server) -> list[bool]:
    """Whether the transport of each client is full."""
    return [client.paused for client in server.hub.connections.values()]


def name_of(way: Entrance) -> str:
    connection = way.connect()
    assert isinstance(connection, ssl.SSLSocket)
    return common_name(connection)


def read_to_the_end(connection: socket.socket) -> bytes:
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return received
