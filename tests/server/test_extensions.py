"""What is added to a server: its life, its calls and pages, and that its faults stay its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest

from callboard_server.api import Call
from callboard_server.background import BackgroundServer
from callboard_server.extensions import Facilities, Page, hosting
from callboard_server.front.exchange import Attend, Exchange
from callboard_server.front.request import Request, Response
from callboard_server.settings import Settings
from support.app_server import AppServer, app, signed_query
from support.recording_extension import RecordingExtension, page
from support.serving import errors_logged, nothing_left
from support.sockets import Peer, request

#: Followed by the extension, and opened by the app's ordinary signature.
RESERVED = "private-sched.default.all"
OTHER = app(id="1002", key="key-2", secret="secret-2")


@pytest.fixture
def errors() -> Iterator[list[logging.LogRecord]]:
    with errors_logged() as records:
        yield records


def logged(errors: list[logging.LogRecord]) -> str:
    return "\n".join(logging.Formatter().format(error) for error in errors)


# Life


def test_it_starts_with_the_apps_and_stops_when_the_clients_are_gone() -> None:
    extension = RecordingExtension()
    with AppServer(app(), OTHER, extensions=[extension]) as server:
        client = server.client()
        socket_id = client.socket_id
        client.subscribe(RESERVED)
    assert extension.noted[0] == ("start", ["1001", "1002"])
    assert extension.noted[1] == ("joined", RESERVED, socket_id)
    # The test's client leaves of itself, before the server ends.
    assert extension.noted[-2:] == [("farewell",), ("stop",)]


def test_clients_that_are_sent_away_at_the_end_leave_between_farewell_and_stop() -> None:
    extension = RecordingExtension()
    with AppServer(extensions=[extension]) as server:
        client = server.client()
        client.subscribe(RESERVED)
        server.stop()
        assert client.receive()["data"]["code"] == 4100
    kinds = [note[0] for note in extension.noted]
    assert kinds == ["start", "joined", "farewell", "left", "stop"]


def test_it_hears_of_a_reload_before_the_clients_of_a_removed_app_are_sent_away() -> None:
    extension = RecordingExtension()
    with AppServer(app(), OTHER, extensions=[extension]) as server:
        client = server.client()
        client.subscribe(RESERVED)
        server.reload(OTHER)
        assert client.receive()["data"]["code"] == 4001
    kinds = [note[0] for note in extension.noted]
    assert kinds[:4] == ["start", "joined", "reload", "left"]
    assert extension.noted[2] == ("reload", ["1002"])


def test_it_can_keep_the_server_from_starting_and_nothing_is_left() -> None:
    class Unable(RecordingExtension):
        async def start(self, facilities: Facilities) -> NoReturn:
            raise RuntimeError("somebody else has the data")

    first, unable = RecordingExtension(), Unable()
    with nothing_left():
        server = BackgroundServer(Settings(port=0), extensions=[first, unable])
        with pytest.raises(RuntimeError, match="somebody else has the data"):
            server.start()
    assert first.noted[-1] == ("stop",)


def test_it_starts_again_with_the_server() -> None:
    extension = RecordingExtension()
    server = BackgroundServer(Settings(port=0), extensions=[extension])
    for _ in range(2):
        with server:
            pass
    assert [note[0] for note in extension.noted] == ["start", "farewell", "stop"] * 2


@pytest.mark.parametrize("method", ["farewell", "reload", "stop"])
def test_what_it_raises_is_logged_and_goes_no_further(
    method: str, errors: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(RecordingExtension, method, fail)
    with AppServer(extensions=[RecordingExtension()]) as server:
        client = server.client()
        server.reload(OTHER)
        assert client.receive()["data"]["code"] == 4001
    assert "extension recording failed" in logged(errors)
    assert len(errors) == 1


def test_one_that_does_not_stop_is_not_waited_for(
    errors: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(RecordingExtension):
        async def stop(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(hosting, "STOP_SECONDS", 0.01)
    other = RecordingExtension()
    with AppServer(extensions=[other, Stuck()]):
        pass
    assert "extension recording did not stop within 0.01 s" in logged(errors)
    assert other.noted[-1] == ("stop",)


# API calls


async def echo(call: Call) -> Response | None:
    if call.arguments[0] != "tasks":
        return None
    said = [call.app.id, call.method, *call.arguments, call.body.decode(), call.query.get("limit")]
    return Response(200, json.dumps({"said": said}).encode())


def signed_call(
    server: AppServer, method: str, path: str, body: bytes = b"", **parameters: str
) -> tuple[int, str]:
    path = f"/apps/{server.app.id}/{path}"
    query = signed_query(server.app, method, path, parameters, body)
    answer = server.send(method, path, query, body)
    return answer.status, answer.text


def test_it_answers_verified_calls_that_the_server_does_not_know() -> None:
    with AppServer(extensions=[RecordingExtension(), RecordingExtension(answers=echo)]) as server:
        for method, path in (("POST", "tasks"), ("PUT", "tasks/a%20b"), ("DELETE", "tasks/a/b/c")):
            status, body = signed_call(server, method, path, b"{}", limit="7")
            arguments = path.replace("%20", " ").split("/")
            assert status == 200
            assert json.loads(body) == {"said": ["1001", method, *arguments, "{}", "7"]}


def test_what_it_does_not_know_either_is_refused_as_ever() -> None:
    with AppServer(extensions=[RecordingExtension(answers=echo)]) as server:
        assert signed_call(server, "GET", "none") == (404, "Not found: /apps/1001/none\n")
        assert signed_call(server, "PUT", "events")[0] == 405
        assert signed_call(server, "GET", "channels") == (200, '{"channels":{}}')


def test_it_is_not_asked_about_what_is_not_signed() -> None:
    async def fail(call: Call) -> NoReturn:
        raise AssertionError("asked")

    disabled = app(id="1003", key="key-3", secret="s", enabled=False)
    with AppServer(app(), disabled, extensions=[RecordingExtension(answers=fail)]) as server:
        path = "/apps/1001/tasks"
        assert server.send("GET", path).status == 401
        forged = signed_query(OTHER, "GET", path, {}, b"", auth_key=server.app.key)
        assert server.send("GET", path, forged).status == 401
        assert server.get("tasks", disabled).status == 403


def test_a_call_that_fails_is_answered_and_the_connection_serves_on(
    errors: list[logging.LogRecord],
) -> None:
    async def fail(call: Call) -> NoReturn:
        raise RuntimeError("on purpose")

    with AppServer(extensions=[RecordingExtension(answers=fail)]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for path, expected in (("tasks", 500), ("channels", 200)):
            target = f"/apps/{server.app.id}/{path}"
            query = signed_query(server.app, "GET", target, {}, b"")
            connection.request("GET", f"{target}?{query}")
            response = connection.getresponse()
            assert response.status == expected
            response.read()
        connection.close()
    assert "on purpose" in logged(errors)


# Triggers


def test_it_may_take_a_trigger_before_it_is_looked_at() -> None:
    first, second = RecordingExtension(), RecordingExtension()
    with AppServer(extensions=[first, second]) as server:
        client = server.client()
        client.subscribe("c")
        for path in ("events", "batch_events"):
            assert server.post(path, b"later, and no JSON").ok() == {"taken": True}
        client.quiet()
        server.trigger("c")
        assert client.receive()["data"] == "d"
    assert [note for note in first.noted if note[0] == "took"] == [
        ("took", "1001", b"later, and no JSON")
    ] * 2
    assert "took" not in [note[0] for note in second.noted]


# Pages


async def greet(asked: Request) -> Response:
    return Response(200, asked.target + b"|" + asked.body, "text/plain", ("X-Extra: 1",))


async def fail_page(asked: Request) -> NoReturn:
    raise RuntimeError("on purpose")


PAGES = [
    page("/sched/auth", greet, "POST", max_body_bytes=16),
    page("/sched/blobs/", greet, "GET", "PUT", max_body_bytes=3000),
    page("/sched/broken", fail_page, "GET"),
]


@pytest.fixture
def pages() -> Iterator[AppServer]:
    extension = RecordingExtension(*PAGES)
    with AppServer(extensions=[extension], max_request_body_bytes=2000) as server:
        yield server


def ask(server: AppServer, data: bytes) -> tuple[int, dict[str, str], bytes]:
    with Peer(server.port) as peer:
        peer.send(data)
        answer = peer.read_answer()
        return answer.status, answer.headers, answer.body


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/sched/auth", b"a=1"),
        ("POST", "/sched/auth?x=1", b"a=1"),
        ("GET", "/sched/blobs/a/b?sig=1", b""),
        ("PUT", "/sched/blobs/a", b"v" * 1000),
    ],
)
def test_its_pages_are_answered_to_anyone(
    pages: AppServer, method: str, target: str, body: bytes
) -> None:
    status, headers, said = ask(pages, request(method, target, body))
    assert (status, said) == (200, target.encode() + b"|" + body)
    assert headers["access-control-allow-origin"] == "*"
    assert headers["x-extra"] == "1"


def test_they_are_kept_alive_and_pipelined_like_any_request(pages: AppServer) -> None:
    with Peer(pages.port) as peer:
        peer.send(request("POST", "/sched/auth", b"1") + request("POST", "/sched/auth", b"2"))
        assert [peer.read_answer().body[-1:] for _ in range(2)] == [b"1", b"2"]


def test_a_page_of_another_origin_may_ask_before_it_sends_a_token(pages: AppServer) -> None:
    status, headers, body = ask(
        pages,
        request(
            "OPTIONS",
            "/sched/auth",
            None,
            "Origin: https://app.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,x-csrf-token",
        ),
    )
    assert (status, body) == (204, b"")
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert headers["access-control-allow-headers"] == "authorization,x-csrf-token"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/sched/auth", 405),
        ("POST", "/sched/authority", 404),
        ("POST", "/sched/blobs/", 405),
    ],
)
def test_what_a_page_does_not_take_is_refused_for_pages_to_read(
    pages: AppServer, method: str, target: str, expected: int
) -> None:
    status, headers, _ = ask(pages, request(method, target, b""))
    assert status == expected
    assert headers["access-control-allow-origin"] == "*"
    if expected == 405:
        assert "OPTIONS" in headers["allow"]


@pytest.mark.parametrize("prefix", ["", "/proxy"])
def test_each_page_says_how_large_a_body_may_be(prefix: str) -> None:
    extension = RecordingExtension(*PAGES)
    with AppServer(
        extensions=[extension], max_request_body_bytes=2000, path_prefix="/proxy"
    ) as server:
        blobs, auth = f"{prefix}/sched/blobs/a", f"{prefix}/sched/auth"
        assert ask(server, request("PUT", blobs, b"v" * 3000))[0] == 200
        assert ask(server, request("POST", auth, b"v" * 16))[0] == 200
        for method, target, size in (("PUT", blobs, 3001), ("POST", auth, 17)):
            status, headers, body = ask(server, request(method, target, b"v" * size))
            assert status == 413
            assert headers["access-control-allow-origin"] == "*"
            assert body == b"Request body too large: more than %d bytes\n" % (size - 1)
        events = f"{prefix}/apps/1001/events"
        assert ask(server, request("POST", events, b"v" * 2001))[0] == 413


def test_a_chunked_body_is_held_to_the_pages_bound(pages: AppServer) -> None:
    def chunked(size: int) -> bytes:
        head = request("PUT", "/sched/blobs/a", None, "Transfer-Encoding: chunked")
        return head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"v" * size)

    assert ask(pages, chunked(3000))[0] == 200
    assert ask(pages, chunked(3001))[0] == 413


def test_a_page_that_fails_is_answered_and_the_connection_serves_on(
    pages: AppServer, errors: list[logging.LogRecord]
) -> None:
    with Peer(pages.port) as peer:
        peer.send(request("GET", "/sched/broken", None))
        answer = peer.read_answer()
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, "*")
        peer.send(request("POST", "/sched/auth", b"1"))
        assert peer.read_answer().status == 200
    assert "on purpose" in logged(errors)


def test_without_extensions_their_paths_are_nobodys() -> None:
    with AppServer() as server:
        assert ask(server, request("POST", "/sched/auth", b""))[0] == 404


async def ask_back(asked: Request) -> Response:
    return Response(200, asked.method.encode(), headers=("Access-Control-Allow-Origin: null",))


async def answer_later(asked: Request) -> Attend:
    def attend(exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(exchange.respond, Response(200, b"later"))

    return attend


def test_a_page_that_is_not_open_is_asked_for_all_and_says_who_may_read_it() -> None:
    private = Page("/private", (), 16, ask_back, open=False)
    with AppServer(extensions=[RecordingExtension(private)]) as server:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            status, headers, body = ask(server, request(method, "/private", b""))
            assert (status, body) == (200, method.encode())
            assert headers["access-control-allow-origin"] == "null"
        with Peer(server.port) as peer:
            peer.send(b"GET /private HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n")
            answer = peer.read_answer()
            assert answer.status >= 400
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("is_open", [True, False])
def test_what_the_front_refuses_for_a_page_is_json_where_the_page_says_so(is_open: bool) -> None:
    page = Page("/private", ("POST",), 16, ask_back, open=is_open, json_errors=True)
    with AppServer(extensions=[RecordingExtension(page)], max_request_body_bytes=16) as server:
        status, headers, body = ask(server, request("POST", "/private", b"v" * 17))
        assert (status, headers["content-type"]) == (413, "application/json")
        assert body == b'{"error":"Request body too large: more than 16 bytes"}'
        assert ("access-control-allow-origin" in headers) == is_open


def test_a_page_may_answer_later_without_a_task() -> None:
    for is_open in (True, False):
        later = Page("/later", ("GET",), 0, answer_later, open=is_open)
        with (
            AppServer(extensions=[RecordingExtension(later)]) as server,
            Peer(server.port) as peer,
        ):
            for _ in range(2):
                peer.send(request("GET", "/later", None))
                assert peer.read_answer().body == b"later"
