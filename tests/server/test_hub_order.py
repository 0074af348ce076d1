"""Order: whatever interleaves, each connection hears what it should, once, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from callboard_server import listeners
from callboard_server.server import Server
from callboard_server.settings import Settings
from server.hub_process import APP, Client, HeldBroker, Process, turns

CLIENTS, CHANNELS = 3, ("a", "b")

Stage = Literal["asked", "let in", "subscribed"]

OPERATIONS = st.one_of(
    st.tuples(st.just("publish"), st.just(0), st.sampled_from(CHANNELS)),
    st.tuples(
        st.sampled_from(["subscribe", "unsubscribe", "advance"]),
        st.integers(0, CLIENTS - 1),
        st.sampled_from(CHANNELS),
    ),
    st.tuples(st.sampled_from(["pause", "resume"]), st.integers(0, CLIENTS - 1), st.just("")),
    st.tuples(st.just("flush"), st.just(0), st.just("")),
)


class Expectation:
    """What one client should hear: the model that the server is held to."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stages: dict[str, Stage] = {}
        self.waiting: list[str] = []
        self.heard: list[str] = []

    @property
    def joining(self) -> str | None:
        """The channel whose subscription is under way: then no message of the client is read."""
        return next((c for c, stage in self.stages.items() if stage != "subscribed"), None)

    def published(self, channel: str, event: str) -> None:
        stage = self.stages.get(channel)
        if stage == "let in":
            self.waiting.append(event)
        elif stage == "subscribed":
            self.heard.append(event)


async def advance(expected: Expectation, broker: HeldBroker) -> None:
    """Move the subscription that is under way one step on."""
    channel = expected.joining
    if channel is None:
        return
    if expected.stages[channel] == "asked":
        await broker.let_in(expected.client)
        expected.stages[channel] = "let in"
    else:
        await broker.answer(expected.client)
        expected.stages[channel] = "subscribed"
        expected.heard += ["subscription_succeeded", *expected.waiting]
        expected.waiting = []


async def play(operations: list[tuple[str, int, str]]) -> None:
    broker, flushes = HeldBroker(), list[Callable[[], None]]()
    process = await Process(broker, flushes.append).start()
    model = [Expectation(process.client()) for _ in range(CLIENTS)]
    for number, (operation, who, channel) in enumerate(operations):
        expected = model[who]
        connection = expected.client.connection
        if operation == "publish":
            await process.publish(channel, str(number))
            for each in model:
                each.published(channel, f"e {number}")
        elif operation == "advance":
            await advance(expected, broker)
        elif operation == "flush" and flushes:
            flushes.pop(0)()
        elif operation == "pause":
            connection.pause()
        elif operation == "resume" and connection.paused:
            connection.resume()
        elif (
            expected.joining is None and operation == "subscribe" and channel not in expected.stages
        ):
            expected.client.subscribe(channel)
            expected.stages[channel] = "asked"
        elif expected.joining is None and operation == "unsubscribe" and channel in expected.stages:
            expected.client.say("pusher:unsubscribe", channel=channel)
            del expected.stages[channel]
    await settle(model, broker, flushes)
    assert [each.client.events() for each in model] == [each.heard for each in model]


async def settle(
    model: list[Expectation], broker: HeldBroker, flushes: list[Callable[[], None]]
) -> None:
    for expected in model:
        while expected.joining is not None:
            await advance(expected, broker)
    while flushes:
        flushes.pop(0)()
    for expected in model:
        if expected.client.connection.paused:
            expected.client.connection.resume()
    await turns()


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATIONS, max_size=60))
def test_order_holds_under_publishes_joins_and_slow_readers(
    operations: list[tuple[str, int, str]],
) -> None:
    asyncio.run(play(operations))


async def test_a_clients_messages_wait_behind_its_pending_subscription() -> None:
    """Over a socket: what follows the subscription in the same packet is answered after it."""
    broker = HeldBroker()
    server = Server(
        Settings(port=0, apps=(APP,)),
        listeners.bind("127.0.0.1", 0),
        make_broker=lambda time: broker,
    )
    await server.start()
    try:
        url = f"ws://127.0.0.1:{server.addresses[0][1]}/app/{APP.key}?protocol=7"
        async with connect(url, proxy=None, compression=None) as socket:
            established = json.loads(await socket.recv())
            socket_id = json.loads(established["data"])["socket_id"]
            subscribe = {"event": "pusher:subscribe", "data": {"channel": "c"}}
            for message in (subscribe, {"event": "pusher:ping"}, subscribe):
                await socket.send(json.dumps(message))
            while socket_id not in broker.held:
                await asyncio.sleep(0)
            held = broker.held[socket_id]
            held.request.set_result(None)
            await turns()
            held.answer.set_result(None)
            heard = [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(3)]
        assert [message["event"] for message in heard] == [
            "pusher_internal:subscription_succeeded",
            "pusher:pong",
            "pusher:error",
        ]
        assert heard[2]["data"]["message"] == "Existing subscription to channel c"
    finally:
        await server.stop()
