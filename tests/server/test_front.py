"""HTTP at the front: requests of every form, kept-alive and pipelined, are answered in order."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator

import pytest

from support.gate import Gate
from support.serving import Serving, serving
from support.sockets import Peer, request, signed, trigger


def numbered(number: int, *headers: str) -> bytes:
    """Return a request whose answer tells its number."""
    return request("GET", f"/apps/{number}/channels", None, *headers)


def read_number(peer: Peer) -> int:
    answer = peer.read_answer()
    assert answer.status == 404, answer
    return int(answer.body.decode().split("'")[1])


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def server(gate: Gate) -> Iterator[Serving]:
    with serving() as running:
        yield running


# One request


def test_a_signed_trigger_is_answered_with_a_json_object(server: Serving) -> None:
    answer = server.ask(trigger("channel", "event", "data"))
    assert answer.status == 200
    assert answer.json() == {}
    assert answer.headers["content-type"] == "application/json"
    assert "date" in answer.headers


@pytest.mark.parametrize("path", ["/", "/ready"])
def test_health_checks_are_pages(server: Serving, path: str) -> None:
    with server.connect() as peer:
        peer.send(request("GET", path))
        answer = peer.read_answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert peer.read_rest() == b""


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/"),
        request("GET", "/ready"),
        request("GET", "/nothing"),
        request("POST", "/", b"body"),
        request("GET", "/", None, "Host: another"),
        numbered(1),
        b"rubbish\r\n\r\n",
    ],
)
def test_no_answer_tells_what_the_server_is_made_of(server: Serving, sent: bytes) -> None:
    headers = server.ask(sent).headers
    assert headers.get("server", "callboard") == "callboard"
    assert "python" not in str(headers).lower()


def test_a_health_check_of_http_1_0_needs_no_host(server: Serving) -> None:
    """Load balancers send no more than this."""
    peer = server.connect()
    peer.send(b"GET /ready HTTP/1.0\r\n\r\n")
    assert peer.read_answer().status == 200
    assert peer.read_rest() == b""


def test_a_request_may_come_in_one_byte_pieces(server: Serving) -> None:
    peer = server.connect()
    peer.send_by_bytes(trigger("channel", "event", "data"))
    assert peer.read_answer().status == 200
    peer.send_by_bytes(request("GET", "/"))
    assert peer.read_answer().json()["name"] == "callboard"


def test_a_head_answer_has_the_headers_and_no_body(server: Serving) -> None:
    peer = server.connect()
    peer.send(request("HEAD", "/apps/none/channels"), numbered(1))
    answer = peer.read_answer(to_head=True)
    assert answer.status == 404
    assert int(answer.headers["content-length"]) > 0
    assert read_number(peer) == 1
    peer.send(request("HEAD", "/"))
    assert peer.read_answer(to_head=True).status == 200
    assert peer.read_rest() == b""


@pytest.mark.parametrize("target", ["/nothing", "/app", "/apps", "/app/app-key"])
def test_an_unknown_path_is_404(server: Serving, target: str) -> None:
    assert server.ask(request("GET", target)).status == 404


def test_an_unknown_path_of_the_api_is_404_and_says_so(server: Serving) -> None:
    answer = server.ask(request("GET", signed("GET", "/apps/app-id/nothing")))
    assert answer.status == 404
    assert b"/nothing" in answer.body


def test_a_wrong_method_is_405_and_names_the_right_one(server: Serving) -> None:
    answer = server.ask(request("DELETE", signed("DELETE", "/apps/app-id/channels")))
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    answer = server.ask(request("GET", signed("GET", "/apps/app-id/events")))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = server.ask(request("POST", "/", b""))
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("origin", ["http://localhost:6001", "HTTP://LOCALHOST"])
def test_the_absolute_form_of_a_target_is_the_same_request(server: Serving, origin: str) -> None:
    """RFC 9112, 3.2.2: a server must accept it, also when it is not a proxy."""
    target = signed("GET", "/apps/app-id/channels")
    answer = server.ask(request("GET", origin + target))
    assert (answer.status, answer.body) == (200, b'{"channels":{}}')
    assert server.ask(request("GET", f"{origin}/ready")).status == 200
    assert server.ask(request("GET", origin)).json()["name"] == "callboard"
    server.websocket(f"{origin}/app/app-key?protocol=7").established()


# Bodies


def test_a_chunked_body_is_read(server: Serving) -> None:
    body = json.dumps({"name": "event", "channel": "channel", "data": "x" * 50}).encode()
    target = signed("POST", "/apps/app-id/events", body)
    head = request("POST", target, None, "Transfer-Encoding: chunked")
    chunks = [b"%x;extension=1\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])]
    whole = head + b"".join(chunks) + b"0\r\nTrailer: value\r\n\r\n"
    peer = server.connect()
    peer.send(whole)
    assert peer.read_answer().status == 200
    peer.send_by_bytes(whole)
    assert peer.read_answer().status == 200


def test_a_client_that_expects_100_continue_gets_it_before_its_body(server: Serving) -> None:
    whole = trigger("channel", "event", "data", "Expect: 100-continue")
    head, _, body = whole.partition(b"\r\n\r\n")
    peer = server.connect()
    peer.send(head + b"\r\n\r\n")
    assert peer.read_answer().status == 100
    peer.send(body)
    assert peer.read_answer().status == 200
    peer.send(numbered(2))
    assert read_number(peer) == 2


def test_100_continue_is_also_sent_behind_a_pipelined_answer(server: Serving) -> None:
    head, _, body = trigger("channel", "event", "data", "Expect: 100-continue").partition(
        b"\r\n\r\n"
    )
    peer = server.connect()
    peer.send(numbered(1) + head + b"\r\n\r\n")
    assert read_number(peer) == 1
    assert peer.read_answer().status == 100
    peer.send(body)
    assert peer.read_answer().status == 200


def test_a_client_of_http_1_0_gets_no_100_continue(server: Serving) -> None:
    """RFC 9110, 10.1.1: it would take it for the answer."""
    with server.connect() as peer:
        peer.send(request("POST", "/apps/none/x", b"12", "Expect: 100-continue", version="1.0"))
        assert peer.read_answer().status == 404


def test_trailers_are_no_headers_of_a_page(server: Serving) -> None:
    """Two of Host would be malformed; RFC 9110, 6.5.1."""
    chunked = request("POST", "/nothing", None, "Transfer-Encoding: chunked")
    trailers = b"Host: y\r\nContent-Encoding: x\r\nExpect: 100-continue\r\n"
    answer = server.ask(chunked + b"2\r\nab\r\n0\r\n" + trailers + b"\r\n")
    assert (answer.status, answer.body) == (404, b"404: Not Found")


# Keep-alive


@pytest.mark.documented("HTTP API", "Connections are kept alive and used again")
def test_a_connection_is_used_again(server: Serving) -> None:
    peer = server.connect()
    for number in range(3):
        peer.send(numbered(number))
        assert read_number(peer) == number


def test_connection_close_ends_it_behind_the_answer(server: Serving) -> None:
    peer = server.connect()
    peer.send(numbered(1, "Connection: close"))
    answer = peer.read_answer()
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    assert peer.read_rest() == b""


def test_http_1_0_ends_unless_keep_alive_is_asked_for(server: Serving) -> None:
    peer = server.connect()
    old = request("GET", "/apps/1/channels", None, "Connection: keep-alive", version="1.0")
    peer.send(old)
    answer = peer.read_answer()
    assert (answer.status, answer.headers["connection"]) == (404, "keep-alive")
    peer.send(request("GET", "/apps/2/channels", version="1.0"))
    assert peer.read_answer().headers["connection"] == "close"
    assert peer.read_rest() == b""


@pytest.mark.parametrize("target", ["/apps/1/channels", "/"])
def test_a_half_closed_client_still_gets_its_answer(server: Serving, target: str) -> None:
    for _ in range(20):
        with server.connect() as peer:
            peer.send(request("GET", target))
            peer.half_close()
            assert peer.read_answer().status in (200, 404)
            assert peer.read_rest() == b""


def test_a_half_closed_client_gets_an_answer_that_takes_time(server: Serving, gate: Gate) -> None:
    peer = server.connect()
    peer.send(numbered(1, "X-Wait: yes") + numbered(2))
    peer.half_close()
    server.settle()
    gate.open()
    assert [read_number(peer), read_number(peer)] == [1, 2]
    assert peer.read_rest() == b""


# Pipelining


def test_pipelined_requests_are_answered_in_order(server: Serving) -> None:
    peer = server.connect()
    peer.send(b"".join(numbered(number) for number in range(200)))
    assert [read_number(peer) for _ in range(200)] == list(range(200))


def test_an_answer_that_takes_time_is_not_overtaken(server: Serving, gate: Gate) -> None:
    peer = server.connect()
    peer.send(numbered(1) + numbered(2, "X-Wait: yes") + numbered(3), numbered(4))
    assert read_number(peer) == 1
    assert peer.nothing_comes()
    gate.open()
    assert [read_number(peer) for _ in range(3)] == [2, 3, 4]


def test_a_page_behind_api_requests_is_answered_in_its_turn(server: Serving, gate: Gate) -> None:
    with server.connect() as peer:
        peer.send(numbered(1) + numbered(2, "X-Wait: yes") + request("GET", "/") + numbered(3))
        assert read_number(peer) == 1
        gate.open()
        assert read_number(peer) == 2
        page = peer.read_answer()
        assert page.json()["name"] == "callboard"
        assert page.headers["connection"] == "close", "what is behind it must be sent again"
        assert peer.read_rest() == b""


def test_a_websocket_behind_api_requests_opens_in_its_turn(server: Serving, gate: Gate) -> None:
    client = server.websocket(before=numbered(1) + numbered(2, "X-Wait: yes"))
    assert read_number(client) == 1
    gate.open()
    assert read_number(client) == 2
    client.established()


def test_a_handler_that_fails_is_a_500_and_the_connection_goes_on(
    server: Serving, gate: Gate
) -> None:
    peer = server.connect()
    gate.open()
    for headers in (["X-Fail: yes"], ["X-Fail: yes", "X-Wait: yes"]):
        peer.send(numbered(1, *headers) + numbered(2))
        answer = peer.read_answer()
        assert (answer.status, answer.body) == (500, b"Internal server error\n")
        assert read_number(peer) == 2
    assert all(error.exc_info for error in server.errors)
    assert len(server.errors) == 2
    server.errors.clear()


@pytest.mark.parametrize("header", ["X-Wait: yes", "X-Wait: yes\r\nX-Fail: yes"])
def test_a_client_that_leaves_before_its_answer_harms_nobody(
    server: Serving, gate: Gate, header: str
) -> None:
    with server.connect() as peer:
        peer.send(numbered(1, header) + numbered(2))
        server.settle()
        peer.reset()
    server.settle()
    gate.open()
    server.settle()
    assert server.ask(numbered(1)).status == 404
    gc.collect()
    assert all(error.name == "callboard.server" for error in server.errors)
    server.errors.clear()
