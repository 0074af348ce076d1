"""Upgrades at the front: to a WebSocket wherever one may come, to nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.serving import Serving, serving
from support.sockets import request, trigger
from support.websocket import text_frame, upgrade

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
PLAIN = request("GET", "/apps/none/channels")
SUBSCRIBE = text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}})
SUCCEEDED = "pusher_internal:subscription_succeeded"


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as running:
        yield running


# To a WebSocket


def test_an_upgrade_may_come_in_one_byte_pieces(server: Serving) -> None:
    client = server.websocket()
    client.established()
    with server.connect() as peer:
        peer.send_by_bytes(upgrade() + SUBSCRIBE)
        assert peer.read_answer().status == 101


def test_an_upgrade_behind_answered_requests(server: Serving) -> None:
    """Proxies reuse a connection for it."""
    client = server.websocket(before=PLAIN + PLAIN)
    assert [client.read_answer().status for _ in range(2)] == [404, 404]
    client.established()


@pytest.mark.parametrize("cut", range(0, len(SUBSCRIBE) + 1, 7))
def test_frames_in_one_piece_with_the_upgrade_are_read(server: Serving, cut: int) -> None:
    client = server.websocket(behind=SUBSCRIBE + SUBSCRIBE[:cut])
    client.established()
    client.read_event(SUCCEEDED)
    client.send(SUBSCRIBE[cut:])
    if cut < len(SUBSCRIBE):
        assert "Existing subscription" in client.read_error()["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("Upgrade", "WebSocket"), ("Connection", "keep-alive, Upgrade"), ("Connection", "upgrade")],
)
def test_header_values_are_read_as_their_standards_say(
    server: Serving, name: str, value: str
) -> None:
    lines = upgrade().decode().split("\r\n")
    lines = [f"{name}: {value}" if line.startswith(f"{name}:") else line for line in lines]
    with server.connect() as peer:
        peer.send("\r\n".join(lines).encode())
        assert peer.read_answer().status == 101


@pytest.mark.parametrize(
    "broken",
    [
        upgrade().replace(b"Sec-WebSocket-Key", b"X-No-Key"),
        upgrade().replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: short"),
        upgrade().replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"),
        upgrade().replace(b"GET ", b"POST "),
        upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["no key", "broken key", "old version", "wrong method", "HTTP/1.0"],
)
def test_an_upgrade_that_breaks_rfc_6455_is_refused_with_4xx(
    server: Serving, broken: bytes
) -> None:
    with server.connect() as peer:
        peer.send(broken)
        answer = peer.read_answer()
        assert 400 <= answer.status < 500, answer
        assert answer.body
        assert peer.read_rest() == b""


# To nothing else


@pytest.mark.parametrize("path", ["/apps/none/channels", "/nothing"])
def test_an_offer_of_another_protocol_is_ignored(server: Serving, path: str) -> None:
    answer = server.ask(request("GET", path, None, *H2C))
    assert (answer.status, "upgrade" in answer.headers) == (404, False)


def test_an_ignored_offer_with_a_body_is_a_request_like_any(server: Serving) -> None:
    peer = server.connect()
    for _ in range(2):
        peer.send(trigger("channel", "event", "data", *H2C))
        assert peer.read_answer().status == 200
    peer.send_by_bytes(trigger("channel", "event", "data", *H2C))
    assert peer.read_answer().status == 200


def test_what_lies_behind_an_ignored_offer_is_read(server: Serving) -> None:
    offer = request("GET", "/apps/none/channels", None, *H2C)
    peer = server.connect()
    peer.send(offer + PLAIN + offer + offer + trigger("channel", "event", "data", *H2C) + PLAIN)
    assert [peer.read_answer().status for _ in range(6)] == [404, 404, 404, 404, 200, 404]


def test_a_websocket_behind_an_ignored_offer(server: Serving) -> None:
    offer = request("GET", "/apps/none/channels", None, *H2C)
    client = server.websocket(before=offer, behind=SUBSCRIBE)
    assert client.read_answer().status == 404
    client.established()
    client.read_event(SUCCEEDED)


def test_connect_is_no_tunnel(server: Serving) -> None:
    with server.connect() as peer:
        peer.send(request("CONNECT", "example.com:443") + PLAIN)
        assert 400 <= peer.read_answer().status < 500
        peer.half_close()
        peer.wait_for_end()
