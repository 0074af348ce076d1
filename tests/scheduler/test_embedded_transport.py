"""The transport inside a server, held to the promises of every transport, and its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

# Before the checks are imported, so that a failing one shows its values.
pytest.register_assert_rewrite("conformance.transport")

from callboard.embedded_transport import MAX_WAITING, EmbeddedTransport  # noqa: E402
from callboard_protocol.reserved import (  # noqa: E402
    WORKER_EVENT_BYTES,
    WORKER_EVENTS_PER_SECOND,
    worker_key,
)
from callboard_scheduler.transports import OWN, Cause, Sent  # noqa: E402
from callboard_server import sockets  # noqa: E402
from callboard_server.apps import AppRegistry  # noqa: E402
from callboard_server.brokers import Message, Serial, Subscription  # noqa: E402
from callboard_server.brokers.memory import MemoryBroker  # noqa: E402
from callboard_server.server import Server  # noqa: E402
from callboard_server.settings import AppSettings, Settings  # noqa: E402
from conformance import transport as conformance  # noqa: E402
from conformance.transport import FEED, Listener, World  # noqa: E402
from support.recording_extension import RecordingExtension  # noqa: E402

APP = AppSettings(id="1", key="key", secret="secret")
WORKER = "private-sched.default.w.w1"


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A server on this loop, with its broker as the service."""
    settings = Settings(port=0, apps=(APP,))
    bound = sockets.bind(settings)
    extension = RecordingExtension()
    server = Server(settings, bound.plain, extensions=[extension])
    await server.start()
    transport = EmbeddedTransport(APP.id, server.apps, server.broker)
    try:
        port = server.addresses[0][1]
        yield World(transport, port, APP.key, APP.secret, exact=True, own=True)
    finally:
        await server.stop(0.0)


@pytest.mark.parametrize("check", conformance.SUITE, ids=lambda check: check.__name__)
async def test_embedded(check: conformance.Check) -> None:
    await check(world)


def test_a_worker_is_told_the_limits_that_the_server_has() -> None:
    assert OWN.limits.bytes == WORKER_EVENT_BYTES
    assert OWN.limits.rate == WORKER_EVENTS_PER_SECOND
    assert Settings().max_message_bytes > WORKER_EVENT_BYTES
    assert worker_key(APP.secret) != APP.secret


class Recorder:
    """A process that notes what it is to deliver."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def receive(self, message: Message, serial: Serial) -> None:
        self.payloads.append(message.payload)

    def user_changed(self, app_id: str, user_id: str, online: bool, serial: Serial) -> None:
        """Users are not the scheduler's."""

    def terminate(self, app_id: str, user_id: str) -> None:
        """Users are not the scheduler's."""

    def expel(self, app_id: str, channel: str) -> None:
        self.payloads.append(b"expel")

    def data(self) -> list[str]:
        return [payload.decode().partition('"data":"')[2][:-2] for payload in self.payloads]


class SlowBroker(MemoryBroker):
    """A broker at the other end of a wire, whose publishes go on when the test says so."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.doors: list[asyncio.Future[None]] = []
        self.calls = 0

    async def publish(self, messages: Sequence[Message]) -> Sequence[Serial]:
        self.calls += 1
        door = asyncio.get_running_loop().create_future()
        self.doors.append(door)
        await door
        return await super().publish(messages)


async def prepared(broker: MemoryBroker) -> tuple[EmbeddedTransport, Recorder, Listener]:
    recorder, listener = Recorder(), Listener()
    await broker.start(recorder)
    transport = EmbeddedTransport(APP.id, AppRegistry([APP]), broker)
    await transport.start(listener)
    return transport, recorder, listener


async def turns() -> None:
    """Let the loop do what it has to do; nothing here takes longer than a few turns."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_sent_is_published_within_the_call() -> None:
    """On a broker that does not suspend: no turn of the loop lies between."""
    transport, recorder, _ = await prepared(MemoryBroker(lambda: 0.0))
    for number in range(3):
        assert transport.send(FEED, "progress", str(number)) is Sent.OK
    assert recorder.data() == ["0", "1", "2"]


async def test_order_is_kept_behind_a_publish_that_takes_time() -> None:
    broker = SlowBroker()
    transport, recorder, _ = await prepared(broker)
    for number in range(10):
        assert transport.send(FEED, "progress", str(number)) is Sent.OK
        assert transport.publish({"name": "e", "channel": "c", "data": f"e{number}"}) is Sent.OK
    assert (broker.calls, recorder.payloads) == (1, [])
    broker.doors[0].set_result(None)
    await turns()
    assert (broker.calls, recorder.data()) == (2, ["0"])
    transport.send(FEED, "progress", "last")
    broker.doors[1].set_result(None)
    await turns()
    broker.doors[2].set_result(None)
    await turns()
    expected = [text for number in range(10) for text in (str(number), f"e{number}")]
    assert recorder.data() == [*expected, "last"]
    assert broker.calls == 3, "what has gathered is published together"


async def test_a_publish_that_fails_does_not_hold_up_what_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = SlowBroker()
    transport, recorder, _ = await prepared(broker)
    for number in range(2):
        transport.send(FEED, "progress", str(number))
    broker.doors[0].set_exception(RuntimeError("the wire is cut"))
    await turns()
    assert "the wire is cut" in caplog.text
    broker.doors[1].set_result(None)
    await turns()
    assert recorder.data() == ["1"]


async def test_what_waits_for_the_broker_is_bounded() -> None:
    broker = SlowBroker()
    transport, recorder, _ = await prepared(broker)
    sent = [transport.send(FEED, "progress", "d") for _ in range(MAX_WAITING + 2)]
    assert sent == [Sent.OK] * (MAX_WAITING + 1) + [Sent.REFUSED]
    broker.doors[0].set_result(None)
    await turns()
    assert transport.send(FEED, "progress", "d") is Sent.OK
    broker.doors[1].set_result(None)
    await turns()
    assert len(recorder.payloads) == MAX_WAITING + 1
    broker.doors[2].set_result(None)


async def test_the_stop_waits_for_what_was_sent() -> None:
    broker = SlowBroker()
    transport, recorder, _ = await prepared(broker)
    for number in range(3):
        transport.send(FEED, "progress", str(number))
    stop = asyncio.ensure_future(transport.stop())
    for place in range(2):
        await turns()
        assert not stop.done()
        broker.doors[place].set_result(None)
    await asyncio.wait_for(stop, conformance.PATIENCE_SECONDS)
    assert recorder.data() == ["0", "1", "2"]


async def test_an_event_the_app_does_not_allow_any_more_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MemoryBroker(lambda: 0.0)
    await broker.start(Recorder())
    apps = AppRegistry([AppSettings(id="1", key="k", secret="s", max_event_payload_bytes=3)])
    transport = EmbeddedTransport("1", apps, broker)
    event = {"name": "e", "channel": "c"}
    assert transport.publish({**event, "data": "abc"}) is Sent.OK
    assert transport.publish({**event, "data": "abcd"}) is Sent.REFUSED
    assert "exceeds the allowed maximum" in caplog.text
    apps.replace([])
    assert transport.publish({**event, "data": "abc"}) is Sent.REFUSED


async def test_who_leaves_because_the_server_ends_is_not_lost() -> None:
    broker = MemoryBroker(lambda: 0.0)
    transport, _, listener = await prepared(broker)
    for socket_id in ("1.1", "1.2"):
        await broker.join(Subscription(APP.id, WORKER, socket_id))
        await listener.hears("joined", WORKER)
    await broker.leave(Subscription(APP.id, WORKER, "1.1"))
    await listener.hears("left", WORKER, Cause.UNSUBSCRIBED)
    for _ in range(2):
        transport.farewell()
    await listener.hears("deaf")
    await broker.leave(Subscription(APP.id, WORKER, "1.2"))
    assert transport.send(WORKER, "sched", "d") is Sent.ABSENT
    await broker.join(Subscription(APP.id, WORKER, "1.3"))
    await listener.hears("joined", WORKER)


async def test_a_worker_is_absent_when_its_last_connection_has_left() -> None:
    broker = MemoryBroker(lambda: 0.0)
    transport, recorder, _ = await prepared(broker)
    subscriptions = [Subscription(APP.id, WORKER, socket_id) for socket_id in ("1.1", "1.2")]
    for subscription in subscriptions:
        await broker.join(subscription)
    for subscription in subscriptions:
        assert transport.send(WORKER, "sched", "d") is Sent.OK
        await broker.leave(subscription)
    assert transport.send(WORKER, "sched", "d") is Sent.ABSENT
    transport.disconnect(WORKER)
    assert recorder.data() == ["d", "d", ""]
