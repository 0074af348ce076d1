"""Streams over TLS, and that a session opened so is not for whoever comes without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from callboard_server.settings import AppSettings, development_app
from support.certificates import Authority
from support.fallback import FallbackClient, Receive
from support.serving import Serving, serving
from support.sockets import Peer, request, signed

SAFE = AppSettings(id="2", key="safe-key", secret="safe-secret", tls_only=True)

#: Connects by TLS.
Connect = Callable[[], Peer]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[Serving]:
    pair = authority.pair("server")
    with serving(
        tls_port=0,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        apps=(development_app(), SAFE),
        trusted_proxies=("127.0.0.1",),
    ) as running:
        yield running


@pytest.fixture
def connect(server: Serving, authority: Authority) -> Iterator[Connect]:
    context = authority.client_context()
    port = server.background.tls_port
    assert port is not None
    with ExitStack() as stack:

        def connect() -> Peer:
            peer = Peer(port)
            peer.socket = stack.enter_context(
                context.wrap_socket(peer.socket, server_hostname="localhost")
            )
            return peer

        yield connect


def say(peer: Peer, client: FallbackClient, event: str, data: object) -> int:
    """Send one message; return the status of the answer."""
    peer.send(client.post(json.dumps([json.dumps({"event": event, "data": data})]).encode()))
    return peer.read_answer().status


def publish(peer: Peer, name: str) -> None:
    body = json.dumps({"name": name, "channel": "news", "data": "x" * 9_000}).encode()
    target = signed("POST", "/apps/2/events", body, key=SAFE.key, secret=SAFE.secret)
    peer.send(request("POST", target, body))
    assert peer.read_answer().status == 200


def test_a_stream_over_tls_goes_on_in_the_next_response(connect: Connect, server: Serving) -> None:
    client = FallbackClient(server, key=SAFE.key)
    stream = Receive(connect(), "xhr_streaming")
    stream.peer.send(client.ask())
    client.established(stream)
    sender = connect()
    assert say(sender, client, "pusher:subscribe", {"channel": "news"}) == 204
    stream.read_event("pusher_internal:subscription_succeeded", "news")
    for number in range(60):
        publish(sender, f"event-{number}")
    for number in range(60):
        if stream.spent:
            stream.peer.close()
            stream = Receive(connect(), "xhr_streaming")
            stream.peer.send(client.ask())
        stream.read_event(f"event-{number}", "news")


def test_a_client_that_gives_a_stream_up_is_seen_to(connect: Connect, server: Serving) -> None:
    client = FallbackClient(server, key=SAFE.key)
    stream = Receive(connect(), "xhr_streaming")
    stream.peer.send(client.ask())
    client.established(stream)
    stream.peer.close()
    server.eventually(
        lambda: (
            server.look(lambda running: [c.paused for c in running.hub.connections.values()])
            == [True]
        )
    )


@pytest.mark.parametrize("key", [SAFE.key, "app-key"])
def test_a_session_opened_by_tls_is_not_for_whoever_comes_without(
    connect: Connect, server: Serving, key: str
) -> None:
    client = FallbackClient(server, key=key)
    stream = Receive(connect(), "xhr_streaming")
    stream.peer.send(client.ask())
    client.established(stream)
    assert client.send().status == 404
    assert say(connect(), client, "pusher:ping", {}) == 204
    behind_proxy = FallbackClient(server, "793/34vlfh0e", "X-Forwarded-Proto: https", key=key)
    behind_proxy.say("pusher:ping")
    for _ in range(2):
        stream.read_event("pusher:pong")
