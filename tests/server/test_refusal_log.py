"""Whoever runs the server finds each refusal in the log, and a flood of them does not fill it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from callboard_server.refusal_log import LINES_PER_SECOND, RefusalLog
from support.serving import Serving, serving
from support.sockets import request
from support.websocket import text_frame


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
