"""What a client does when its connection ends: at once, after a pause, never."""

from __future__ import annotations

import asyncio

import pytest

from callboard_client import (
    Client,
    ConnectionFailed,
    NotConnected,
    SecretAuthorizer,
    State,
    Timings,
)
from callboard_protocol import signatures
from client.fake_server import FakeServer
from client.scripted import (
    KEY,
    NO_RETRY,
    QUICK,
    SECRET,
    MakeClient,
    Recorder,
)


@pytest.mark.parametrize("code", [4200, 4201, 4299])
async def test_4200_to_4299_reconnect_at_once(
    server: FakeServer, make_client: MakeClient, code: int
) -> None:
    client = make_client(timings=NO_RETRY)
    peer = await server.accept()
    await peer.establish("1.1")
    await client.connected()
    await peer.close(code, "Please reconnect immediately")
    peer = await server.accept()
    await peer.establish("2.2")
    assert await client.connected() == "2.2"


@pytest.mark.parametrize("code", [1001, 1011, 4100, 4199])
async def test_other_ends_reconnect_after_a_pause(
    server: FakeServer, make_client: MakeClient, code: int
) -> None:
    states = Recorder[State]()
    client = make_client(on_state=states)
    peer = await server.accept()
    await peer.establish("1.1")
    await client.connected()
    await peer.close(code)
    peer = await server.accept()
    await peer.establish("2.2")
    assert await client.connected() == "2.2"
    assert states.seen == [
        State.CONNECTING,
        State.CONNECTED,
        State.CONNECTING,
        State.CONNECTED,
    ]


async def test_the_pause_before_a_retry_is_the_one_asked_for(
    server: FakeServer, make_client: MakeClient
) -> None:
    make_client(timings=Timings(first_retry_seconds=0.1, max_retry_seconds=10), jitter=lambda: 1.0)
    loop = asyncio.get_running_loop()
    peer = await server.accept()
    await peer.establish()
    await peer.close(4100)
    since = loop.time()
    await server.accept()
    assert loop.time() - since >= 0.19


async def test_a_cut_without_a_close_frame_reconnects(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.establish("1.1")
    await client.connected()
    peer.cut()
    peer = await server.accept()
    await peer.establish("2.2")
    assert await client.connected() == "2.2"


async def test_the_log_says_what_has_happened_and_where(
    server: FakeServer, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "callboard_client")
    client = make_client()
    at = f"ws://{server.host}:{server.port}/app/{KEY}"
    peer = await server.accept()
    await peer.close(4200, "not yet")
    peer = await server.accept()
    await peer.establish("1.1")
    await client.connected()
    await peer.error("too much", 4301)
    await peer.close(4200, "restart")
    await (await server.accept()).establish("2.2")
    await client.connected()
    assert caplog.messages[:5] == [
        f"no connection to {at}: 4200 not yet",
        f"connected to {at} as 1.1",
        f"{at} says: too much (code 4301)",
        f"lost the connection to {at}: 4200 restart",
        f"connected to {at} as 2.2",
    ]


@pytest.mark.parametrize("code", [4000, 4001, 4004, 4099, 4300])
async def test_a_refusal_for_good_is_never_retried(
    server: FakeServer, make_client: MakeClient, code: int
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.error("App key unknown", code)
    await peer.close(code, "App key unknown")
    with pytest.raises(ConnectionFailed, match=f"code {code}: App key unknown") as caught:
        await client.connected()
    assert (caught.value.code, caught.value.reason) == (code, "App key unknown")
    assert client.state is State.FAILED
    with pytest.raises(ConnectionFailed):
        await client.subscribe("c")
    # Longer than any pause of QUICK: nobody came again.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(server.accept()), 3 * QUICK.max_retry_seconds)
    assert server.accepted == 1


async def test_a_refusal_by_the_close_code_alone_is_understood(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.close(4001, "unknown")
    with pytest.raises(ConnectionFailed, match="4001: unknown"):
        await client.connected()


async def test_a_refusal_by_the_error_frame_alone_is_understood(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.error("App key unknown", 4001)
    with pytest.raises(ConnectionFailed, match="4001: App key unknown"):
        await client.connected()


async def test_a_refusal_while_connected_ends_everything(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.establish()
    subscribing = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    await peer.succeed("c")
    channel = await subscribing
    reading = asyncio.create_task(channel.get())
    # The close frame has no reason: the error frame before it said it.
    await peer.error("App is disabled", 4003)
    await peer.close(4003)
    with pytest.raises(ConnectionFailed, match="4003: App is disabled"):
        await reading
    assert client.state is State.FAILED


async def test_nobody_listening_is_tried_again_and_explained(make_client: MakeClient) -> None:
    async with FakeServer() as gone:
        port = gone.port
    states = Recorder[State]()
    timings = Timings(first_retry_seconds=0.01, max_retry_seconds=0.02, unavailable_seconds=0.02)
    async with Client(KEY, "127.0.0.1", port, timings=timings, on_state=states) as client:
        await states.until(State.UNAVAILABLE)
        with pytest.raises(
            TimeoutError, match=r"^not connected to ws://\S+ after 0.01 s: 1006 .*onnect"
        ):
            await client.connected(timeout=0.01)
    assert states.seen == [State.CONNECTING, State.UNAVAILABLE, State.DISCONNECTED]


async def test_a_service_that_is_gone_is_unavailable_after_a_while() -> None:
    states = Recorder[State]()
    timings = Timings(first_retry_seconds=0.01, max_retry_seconds=0.02, unavailable_seconds=0.02)
    async with FakeServer() as server:
        client = Client(KEY, server.host, server.port, timings=timings, on_state=states)
        async with client:
            await (await server.accept()).establish()
            await client.connected()
            states.seen.clear()
            await server.stop()
            await states.until(State.UNAVAILABLE)
    assert states.seen == [State.CONNECTING, State.UNAVAILABLE, State.DISCONNECTED]


async def test_a_service_that_says_nothing_is_given_up_and_tried_again(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client(
        timings=Timings(open_seconds=0.05, first_retry_seconds=0.01, max_retry_seconds=0.01)
    )
    await server.accept()
    peer = await server.accept()
    await peer.establish("2.2")
    assert await client.connected() == "2.2"


@pytest.mark.parametrize(
    "first",
    ["nonsense", '{"event":"other"}', '{"event":"pusher:connection_established","data":"{}"}'],
)
async def test_a_strange_first_frame_is_tried_again(
    server: FakeServer, make_client: MakeClient, first: str
) -> None:
    client = make_client()
    await (await server.accept()).send_raw(first)
    await (await server.accept()).establish("2.2")
    assert await client.connected() == "2.2"


async def test_after_a_reconnect_every_channel_is_asked_for_anew(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client(authorizer=SecretAuthorizer(KEY, SECRET, {"user_id": "u"}))
    names = ["public", "private-a", "presence-a"]
    peer = await server.accept()
    await peer.establish("1.1")
    subscribing = asyncio.gather(*map(client.subscribe, names))
    for name in names:
        await peer.hear_subscribe(name)
        await peer.succeed(name)
    channels = await subscribing
    heard: list[str] = []
    channels[0].bind("pusher:subscription_succeeded", lambda event: heard.append(event.channel))

    peer.cut()
    peer = await server.accept()
    with pytest.raises(NotConnected):
        await channels[1].trigger("client-x", {})
    assert not any(channel.subscribed for channel in channels)
    await peer.establish("2.2")
    asked = {}
    for name in names:
        data = await peer.hear_subscribe(name)
        asked[name] = data["auth"]
        await peer.succeed(name)
    await peer.send("e", "data", "public")

    # The same objects go on, signed for the new socket id.
    assert (await channels[0].get(timeout=10)).data == "data"
    assert heard == ["public"]
    assert asked["public"] == ""
    assert asked["private-a"] == signatures.auth(KEY, SECRET, "2.2:private-a")
    string = signatures.channel_string("2.2", "presence-a", '{"user_id":"u"}')
    assert asked["presence-a"] == signatures.auth(KEY, SECRET, string)


async def test_a_subscription_under_way_survives_a_cut(
    server: FakeServer, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await server.accept()
    await peer.establish("1.1")
    subscribing = asyncio.create_task(client.subscribe("c"))
    await peer.hear_subscribe("c")
    peer.cut()
    peer = await server.accept()
    await peer.establish("2.2")
    await peer.hear_subscribe("c")
    await peer.succeed("c")
    assert (await subscribing).subscribed
