"""Whoever runs the server finds each refusal in the log, and a flood of them does not fill it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from callboard_server.front.http import BODY_SECONDS
from callboard_server.refusal_log import LINES_PER_SECOND, RefusalLog
from support.serving import Serving, serving
from support.sockets import request
from support.websocket import text_frame, upgrade


def test_a_refusal_is_a_line_with_who_where_and_why(caplog: pytest.LogCaptureFixture) -> None:
    RefusalLog(lambda: 0.0).note("a request", "Not found\n", client="127.0.0.1", status=404)
    assert caplog.messages == ["refused a request client=127.0.0.1 status=404 reason='Not found'"]


def test_a_flood_is_counted_and_not_written(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = RefusalLog(lambda: now)
    for _ in range(LINES_PER_SECOND + 5):
        log.note("a request", "why")
    assert len(caplog.messages) == LINES_PER_SECOND
    now = 1.0
    log.note("a request", "why")
    log.note("a request", "why")
    assert caplog.messages[LINES_PER_SECOND:] == [
        "refused a request refusals_not_logged=5 reason='why'",
        "refused a request reason='why'",
    ]


def test_a_reason_is_one_line_of_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    RefusalLog(lambda: 0.0).note("a request", "a\nb" + "x" * 10_000)
    (line,) = caplog.messages
    assert "\n" not in line
    assert len(line) < 400


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (request("GET", "/apps/none/channels"), 404, "Unknown app_id"),
        (request("GET", "/apps/app-id/channels"), 401, "Missing parameter: auth_key"),
        (b"rubbish\r\n\r\n", 400, "Bad request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "It looks like TLS"),
    ],
)
def test_refused_requests_are_logged(
    server: Serving, caplog: pytest.LogCaptureFixture, sent: bytes, status: int, said: str
) -> None:
    peer = server.connect()
    peer.send(sent)
    assert peer.read_answer().status == status
    (line,) = [message for message in caplog.messages if message.startswith("refused")]
    assert f"status={status}" in line
    assert "client=127.0.0.1" in line
    assert said in line


CHUNKED = b"POST /apps/a?auth_signature=abc HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "path"),
    [
        (b"rubbish\r\n\r\n", 400, "-"),
        (CHUNKED + b"\r\nzz\r\n", 400, "'/apps/a'"),
        (CHUNKED + b"Name : value\r\n\r\n", 400, "'/apps/a'"),
        (CHUNKED + b"a:\r\n" * 200, 431, "'/apps/a'"),
        (b"GET /apps/a?" + b"x" * 40_000, 431, "'/apps/a'"),
        (b"GET http://localhost/apps/a?b HTTP/1.1\r\n" + b"a:\r\n" * 200, 431, "'/apps/a'"),
        (b"POST /apps/a?b HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413, "'/apps/a'"),
        (b"POST /pre/apps/a?b HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413, "'/apps/a'"),
        (CHUNKED + b"\r\n300000\r\n" + b"x" * 0x300000, 413, "'/apps/a'"),
        (request("GET", "/apps/a") + CHUNKED + b"\r\nzz", 400, "'/apps/a'"),
        (request("GET", "/apps/a") + b"rubbish\r\n\r\n", 400, "-"),
        (b"CONNECT localhost:80 HTTP/1.1\r\n\r\n", 405, "'localhost:80'"),
        (upgrade("/app/app-key?b").replace(b"Key: ", b"Key: short"), 400, "'/app/app-key'"),
        (upgrade("/app/app-key?b").replace(b"n: 13", b"n: 8"), 400, "'/app/app-key'"),
        (upgrade("/app/app-key?b", "Upgrade: h2c"), 426, "'/app/app-key'"),
        (upgrade("/pre/app/app-key?b").replace(b"n: 13", b"n: 8"), 400, "'/app/app-key'"),
    ],
)
def test_a_refusal_names_the_path_as_far_as_it_is_known(
    caplog: pytest.LogCaptureFixture, sent: bytes, status: int, path: str
) -> None:
    with serving(path_prefix="/pre") as server, server.connect() as peer:
        peer.send(sent)
        while peer.read_answer().status != status:
            pass
    (line,) = [message for message in caplog.messages if f"status={status}" in message]
    assert line.startswith("refused a request client=127.0.0.1")
    assert f" path={path} " in line
    assert "abc" not in caplog.text


def test_what_follows_a_refused_request_is_no_part_of_its_path(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    peer = server.connect()
    refused = request("POST", "/apps/a", None, *["a:"] * 200)
    peer.send(refused + request("GET", "/apps/b"))
    assert peer.read_answer().status == 431
    assert "path='/apps/a' " in caplog.text


def test_a_request_that_does_not_arrive_in_time_is_logged(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    peer = server.connect()
    peer.send(request("POST", "/apps/a?auth_signature=abc", b"body")[:-1])
    server.skip(BODY_SECONDS + 1)
    assert peer.read_answer().status == 408
    (line,) = [message for message in caplog.messages if "status=408" in message]
    assert "client=127.0.0.1 path='/apps/a' " in line


def test_an_upgrade_while_the_server_ends_is_logged(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    peer = server.connect()
    peer.send(upgrade()[:-2])
    server.settle()
    server.look(lambda running: setattr(running._front, "closing", True))
    peer.send(b"\r\n")
    assert peer.read_answer().status == 503
    (line,) = [message for message in caplog.messages if "status=503" in message]
    assert "client=127.0.0.1 path='/app/app-key' " in line
    assert "Server is ending" in line


def test_a_wrong_signature_of_a_subscription_is_logged_without_the_secret(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = server.client()
    data = {"channel": "private-a", "auth": "app-key:wrong"}
    client.send(text_frame({"event": "pusher:subscribe", "data": data}))
    client.read_error()
    (line,) = [message for message in caplog.messages if message.startswith("refused")]
    assert line.startswith("refused pusher:subscribe app=app-id socket_id=")
    assert "Invalid signature" in line
    assert "app-secret" not in line


def test_what_was_signed_wrongly_is_not_logged(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """It may say who somebody is; the client itself is told all of it."""
    client = server.client()
    for event, data in (
        ("pusher:signin", {"user_data": '{"id":"ada","user_info":{"email":"ada@example.com"}}'}),
        (
            "pusher:subscribe",
            {"channel": "presence-a", "channel_data": '{"user_id":"ada@example.com"}'},
        ),
    ):
        client.say(event, {**data, "auth": "app-key:wrong"})
        assert "ada@example.com" in client.read_error()["message"]
    lines = [message for message in caplog.messages if message.startswith("refused")]
    assert len(lines) == 2
    assert "ada" not in "".join(lines)
