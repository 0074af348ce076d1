"""One frame for all subscribers, and in order for each, whatever else goes on."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callboard_protocol import frames, messages
from callboard_protocol.frames import TEXT
from callboard_server.brokers import Joined, Subscription
from callboard_server.brokers.memory import MemoryBroker
from support.serving import Serving, serving
from support.sockets import Peer, request, signed, trigger
from support.websocket import WebSocketPeer, text_frame

# One frame for all


def test_a_publish_is_encoded_once_for_all_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[bytes] = []
    built: list[str] = []
    encode, build = frames.text_frame, messages.channel_event

    def counted_frame(payload: bytes) -> bytes:
        encoded.append(payload)
        return encode(payload)

    def counted_event(event: str, *rest: str) -> bytes:
        built.append(event)
        return build(event, *rest)

    monkeypatch.setattr(frames, "text_frame", counted_frame)
    monkeypatch.setattr(messages, "channel_event", counted_event)
    with serving() as server:
        clients = [server.client() for _ in range(50)]
        for client in clients:
            client.subscribe("channel")
        encoded.clear()
        built.clear()
        for number in range(3):
            assert server.ask(trigger("channel", f"event-{number}", "data")).status == 200
        received = {tuple(client.read_frame() for _ in range(3)) for client in clients}
    assert len(received) == 1, "the same frames for everyone"
    assert built == ["event-0", "event-1", "event-2"]
    assert len(encoded) == 3


# In order for each


def slow_broker(patch: pytest.MonkeyPatch, before: int, after: int) -> None:
    """Let joining take some turns of the loop, before and after it has happened."""
    join = MemoryBroker.join

    async def slow_join(
        broker: MemoryBroker, subscription: Subscription, max_members: int = 100
    ) -> Joined:
        for _ in range(before):
            await asyncio.sleep(0)
        joined = await join(broker, subscription, max_members)
        for _ in range(after):
            await asyncio.sleep(0)
        return joined

    patch.setattr(MemoryBroker, "join", slow_join)


@pytest.fixture(scope="module", params=[(0, 0), (5, 0), (0, 5), (3, 3)])
def delays(request: pytest.FixtureRequest) -> tuple[int, int]:
    before, after = request.param
    return before, after


@pytest.fixture(scope="module")
def server(delays: tuple[int, int]) -> Iterator[Serving]:
    before, after = delays
    with pytest.MonkeyPatch.context() as patch:
        slow_broker(patch, before, after)
        with serving(max_outbox_bytes=300_000) as running:
            yield running


ACTIONS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 20)),
    st.tuples(st.just("subscribe"), st.integers(0, 2)),
    st.tuples(st.just("unsubscribe"), st.integers(0, 2)),
    st.tuples(st.just("read"), st.integers(0, 1)),
)


class Reader:
    """Checks that what a client reads of the channel is a run without gaps per subscription."""

    def __init__(self, client: WebSocketPeer) -> None:
        self.client = client
        self.subscribed = False
        self.thrown_out = False
        self._in_channel = False
        self._last: int | None = None

    def toggle(self, event: str) -> None:
        """Subscribe or unsubscribe, and wait for nothing."""
        if self.subscribed != (event == "subscribe"):
            self.subscribed = not self.subscribed
            self.client.say(f"pusher:{event}", {"channel": "channel"})

    def take_what_is_there(self) -> None:
        while select.select([self.client.socket], [], [], 0)[0] and self.client.receive():
            pass

    def read_one(self) -> str:
        event: str = self.client.read_frame().json()["event"]
        if event == "pusher_internal:subscription_succeeded":
            self._in_channel, self._last = True, None
        elif event.startswith("event-"):
            assert self._in_channel, "an event before the subscription was confirmed"
            number = int(event.removeprefix("event-"))
            assert self._last is None or number == self._last + 1, (self._last, number)
            self._last = number
        return event

    def read_through(self, event: str) -> None:
        while (got := self.read_one()) != event:
            if got == "pusher:error":
                assert self.client.read_frame().close_code == 4100
                self.thrown_out = True
                return

    def catch_up(self) -> None:
        """Read what was sent so far: a pong comes behind whatever was asked before."""
        self.client.send(text_frame({"event": "pusher:ping"}))
        self.read_through("pusher:pong")


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@example(actions=[("publish", 20)] * 20, data_bytes=3_000)
@example(actions=[("subscribe", 2), *[("publish", 20), ("subscribe", 0)] * 10], data_bytes=3_000)
@given(actions=st.lists(ACTIONS, max_size=30), data_bytes=st.sampled_from([1, 3_000]))
def test_order_holds_under_interleaved_publishes_joins_and_slow_readers(
    server: Serving, actions: list[tuple[str, int]], data_bytes: int
) -> None:
    count = 0
    clients = [server.client(receive_buffer_bytes=4096 if slow else None) for slow in (0, 0, 1)]
    readers = [Reader(client) for client in clients]
    stalled = Reader(server.client(receive_buffer_bytes=4096))
    with Peer(server.port) as publisher:
        stalled.toggle("subscribe")
        for action, argument in [*actions, ("subscribe", 0), ("subscribe", 1), ("subscribe", 2)]:
            if action == "publish":
                batch = range(count, count + argument)
                publisher.send(*(_numbered(number, data_bytes) for number in batch))
                assert [publisher.read_answer().status for _ in batch] == [200] * argument
                count += argument
                for reader in readers[:2]:
                    reader.take_what_is_there()
            elif action == "read":
                readers[argument].catch_up()
            else:
                readers[argument].toggle(action)
        for reader in (*readers, stalled):
            reader.catch_up()
        publisher.send(_numbered(count, data_bytes))
        assert publisher.read_answer().status == 200
        for reader in (*readers, stalled):
            if not reader.thrown_out:
                reader.read_through(f"event-{count}")
        assert not any(reader.thrown_out for reader in readers[:2])
    for reader in (*readers, stalled):
        reader.client.close()
    server.eventually(lambda: server.look(lambda running: len(running.hub.connections)) == 0)


def _numbered(number: int, data_bytes: int) -> bytes:
    return trigger("channel", f"event-{number}", "x" * data_bytes)


def test_a_message_is_dealt_with_before_the_next(server: Serving) -> None:
    """Also while joining takes time: answers come in the order of the questions."""
    client = server.client()
    client.send(
        b"".join(
            text_frame({"event": event, "data": {"channel": channel}})
            for event, channel in (
                ("pusher:subscribe", "a"),
                ("pusher:ping", ""),
                ("pusher:subscribe", "b"),
                ("pusher:subscribe", "a"),
                ("pusher:unsubscribe", "b"),
                ("pusher:unsubscribe", "b"),
                ("pusher:subscribe", "b"),
                ("pusher:ping", ""),
            )
        )
    )
    succeeded = "pusher_internal:subscription_succeeded"
    answers = [client.read_frame() for _ in range(7)]
    assert [(frame.opcode, frame.json()["event"]) for frame in answers] == [
        (TEXT, succeeded),
        (TEXT, "pusher:pong"),
        (TEXT, succeeded),
        (TEXT, "pusher:error"),
        (TEXT, "pusher:error"),
        (TEXT, succeeded),
        (TEXT, "pusher:pong"),
    ]
    client.close()


def test_a_client_that_leaves_while_joining_is_not_in_the_channel(server: Serving) -> None:
    for _ in range(20):
        client = server.client()
        client.send(text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}}))
        client.reset()
    server.settle()
    server.eventually(lambda: not server.look(lambda running: running.hub.connections))
    answer = server.ask(request("GET", signed("GET", "/apps/app-id/channels")))
    assert answer.json() == {"channels": {}}


def test_clients_that_vanish_in_a_flood_harm_nobody(server: Serving) -> None:
    stays, *vanish = (server.client() for _ in range(20))
    for client in (stays, *vanish):
        client.subscribe("channel")
    with Peer(server.port) as publisher:
        for number in range(100):
            publisher.send(_numbered(number, 1_000))
            if number % 5 == 0 and vanish:
                vanish.pop().reset()
        for number in range(100):
            assert publisher.read_answer().status == 200
            stays.read_event(f"event-{number}")
    stays.close()
    server.eventually(lambda: not server.look(lambda running: running.hub.connections))
