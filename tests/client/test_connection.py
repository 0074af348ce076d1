"""A client's connection: made, kept alive, closed."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from callboard_client import (
    Client,
    ClientClosed,
    ConnectionFailed,
    Event,
    ServerError,
    State,
    Timings,
)
from callboard_client.registry import Registry
from client.fake_server import FakeServer
from client.scripted import (
    KEY,
    NO_RETRY,
    QUICK,
    MakeClient,
    Recorder,
    all_is_received,
)


async def test_a_client_connects_as_the_protocol_asks(
    server: FakeServer, make_client: MakeClient
) -> None:
    states = Recorder[State]()
    client = make_client(on_state=states)
    assert client.socket_id is None
    peer = await server.accept()
    await peer.establish("123.456")
    assert await client.connected() == "123.456"
    assert client.socket_id == "123.456"
    assert states.seen == [State.CONNECTING, State.CONNECTED]
    parts = urlsplit(peer.path)
    assert parts.path == f"/app/{KEY}"
    query = parse_qs(parts.query)
    assert query["protocol"] == ["7"]
    assert query["client"] == ["callboard"]
    assert query["version"]


async def test_a_path_prefix_is_kept(server: FakeServer) -> None:
    async with Client(KEY, server.host, server.port, path="/ws/", timings=QUICK):
        peer = await server.accept()
        assert peer.path.startswith(f"/ws/app/{KEY}?")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"key": ""}, "needs the key"),
        ({"key": KEY, "path": "ws"}, "must start with '/'"),
        ({"key": KEY, "host": ""}, "needs a host"),
        ({"key": KEY, "host": "a..b"}, "must be a name or an address, got 'a..b'"),
    ],
)
def test_a_wrong_address_is_refused_at_once(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Client(**arguments)


@pytest.mark.parametrize("field", ["activity_seconds", "first_retry_seconds"])
def test_a_time_must_be_above_zero(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be above 0, got 0"):
        Timings(**{field: 0})


async def test_closing_says_goodbye_and_ends_all_waiting(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.establish()
    await client.connected()
    subscribing = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    await asyncio.gather(client.close(), client.close())
    assert await peer.closed() == 1000
    with pytest.raises(ClientClosed):
        await subscribing
    with pytest.raises(ClientClosed):
        await client.connected()
    with pytest.raises(ClientClosed):
        await client.subscribe("another")
    assert client.state is State.DISCONNECTED
    assert client.socket_id is None
    assert server.accepted == 1


async def test_a_client_that_was_never_started_can_be_closed() -> None:
    client = Client(KEY)
    await client.close()
    client.start()
    with pytest.raises(ClientClosed):
        await client.connected()


async def test_closing_does_not_wait_for_a_service_that_does_not_answer(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    # Accepted, and then not a word.
    await server.accept()
    with pytest.raises(TimeoutError):
        await client.connected(timeout=0.01)
    await client.close()
    assert client.state is State.DISCONNECTED


async def test_a_ping_is_answered(server: FakeServer, make_client: MakeClient) -> None:
    make_client()
    peer = await server.accept()
    await peer.establish()
    await all_is_received(peer)


@pytest.mark.parametrize(
    ("own_seconds", "their_seconds"), [(0.02, 120), (120, 0.02), (0.02, None), (0.02, 0)]
)
async def test_silence_is_asked_about_after_the_shorter_timeout(
    server: FakeServer,
    make_client: MakeClient,
    own_seconds: float,
    their_seconds: float | None,
) -> None:
    client = make_client(timings=Timings(activity_seconds=own_seconds))
    peer = await server.accept()
    await peer.establish("1.1", their_seconds)
    for _ in range(3):
        await peer.hear("pusher:ping")
        await peer.send("pusher:pong", {})
    assert client.socket_id == "1.1"


async def test_no_answer_to_a_ping_is_a_lost_connection(
    server: FakeServer, make_client: MakeClient
) -> None:
    # At once, that is.
    timings = dataclasses.replace(NO_RETRY, activity_seconds=0.02, pong_seconds=0.02)
    client = make_client(timings=timings)
    peer = await server.accept()
    await peer.establish("1.1")
    await peer.hear("pusher:ping")
    assert await peer.closed() is None
    # This one answers, and may be silent a moment longer.
    peer = await server.accept()
    await peer.establish("2.2")
    assert await client.connected() == "2.2"


async def test_a_message_over_the_limit_costs_the_connection_and_is_retried(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client(max_message_bytes=1000)
    peer = await server.accept()
    await peer.establish("1.1")
    await client.connected()
    await peer.send("e", "x" * 2000, "c")
    assert await peer.closed() == 1009
    await (await server.accept()).establish("2.2")
    assert await client.connected() == "2.2"


async def test_a_bad_frame_is_reported_and_survived(
    server: FakeServer, make_client: MakeClient
) -> None:
    errors = Recorder[ServerError]()
    client = make_client(on_error=errors)
    peer = await server.accept()
    await peer.establish("1.1")
    await peer.send_raw("nonsense")
    await peer.send_raw('{"event":"unknown"}')
    await all_is_received(peer)
    assert client.socket_id == "1.1"
    (error,) = errors.seen
    assert error.code is None
    assert error.message.startswith("the service sent a bad frame: expected a frame of JSON")


async def test_errors_that_answer_no_call_reach_on_error(
    server: FakeServer, make_client: MakeClient
) -> None:
    errors = Recorder[ServerError]()
    make_client(on_error=errors)
    peer = await server.accept()
    await peer.establish()
    expected = ServerError(4301, "Client event rate limit exceeded")
    await peer.error(expected.message, expected.code)
    await errors.until(expected)


async def test_a_callback_that_raises_does_not_end_the_connection(
    server: FakeServer, make_client: MakeClient
) -> None:
    loop = asyncio.get_running_loop()
    contexts = Recorder[str]()
    loop.set_exception_handler(lambda _, context: contexts(context["message"]))

    def broken(_: object) -> None:
        raise RuntimeError("mine")

    client = make_client(on_state=broken, on_error=broken)
    peer = await server.accept()
    await peer.establish("1.1")
    await peer.error("Something else", 4302)
    await contexts.until("the callback for on_state raised")
    await contexts.until("the callback for on_error raised")
    assert await client.connected() == "1.1"


async def test_a_mistake_of_the_client_itself_leaves_nobody_waiting(
    server: FakeServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Registry, event: Event) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Registry, "received", broken)
    messages = Recorder[str]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: messages(context["message"]))
    client = make_client()
    peer = await server.accept()
    await peer.establish()
    subscribing = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    await peer.succeed("c")
    with pytest.raises(ConnectionFailed, match="a mistake"):
        await subscribing
    assert client.state is State.FAILED
    assert await peer.closed() is None
    (message,) = messages.seen
    assert message.endswith("ended unexpectedly")


async def test_the_sockets_descriptor_is_known_while_connected(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    assert client.fileno() is None
    peer = await server.accept()
    await peer.establish()
    await client.connected()
    fd = client.fileno()
    assert fd is not None
    with socket.socket(fileno=os.dup(fd)) as same:
        assert same.getpeername()[1] == server.port
    await client.close()
    assert client.fileno() is None
