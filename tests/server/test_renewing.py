"""A server that begins anew: everyone is sent away and everything forgotten, but it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import pytest

from callboard_protocol.refusals import Refusal
from callboard_protocol.rest import ChannelCounts
from callboard_server import subscription_counts
from callboard_server.background import BackgroundServer
from callboard_server.brokers import Message, Serial
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings, WebhookSettings
from support.sockets import Peer, request, signed
from support.webhook_receiver import WebhookReceiver, no_content, statuses
from support.websocket import WebSocketPeer

FAREWELL = Refusal(4009, "over")
BODY = b'{"name":"e","channel":"c","data":"d"}'


class Heard(MemoryBroker):
    """Counts what is published."""

    published = 0

    async def publish(self, messages: Sequence[Message]) -> Sequence[Serial]:
        self.published += len(messages)
        return await super().publish(messages)


@pytest.fixture
def background() -> Iterator[BackgroundServer]:
    app = AppSettings(
        id="app-id", key="app-key", secret="app-secret", max_backend_events_per_second=1
    )
    make_server = partial(Server, make_broker=Heard)
    with BackgroundServer(Settings(port=0, apps=(app,)), make_server=make_server) as background:
        yield background


def trigger() -> bytes:
    return request("POST", signed("POST", "/apps/app-id/events", BODY), BODY)


async def renew(server: Server) -> int:
    """Begin anew, and return how many events have been published by then."""
    await server.renew(FAREWELL)
    assert isinstance(server.broker, Heard)
    return server.broker.published


def test_what_has_reached_the_machine_before_is_heard_before(background: BackgroundServer) -> None:
    held, gate = threading.Event(), threading.Event()

    async def hold_and_renew(server: Server) -> int:
        held.set()
        # Meanwhile the loop sees nothing of what comes.
        gate.wait()
        return await renew(server)

    renewed = background.submit(hold_and_renew)
    held.wait()
    with Peer(background.port) as peer:
        peer.send(trigger())
        gate.set()
        assert renewed.result() == 1
        assert peer.read_answer().status == 200


def test_clients_are_sent_away_and_others_come(background: BackgroundServer) -> None:
    with WebSocketPeer(background.port) as client, WebSocketPeer(background.port) as other:
        for each in (client, other):
            each.established()
            each.subscribe("c")
        background.submit(renew).result()
        for each in (client, other):
            # Nobody hears of the others' going.
            assert each.read_error() == {"code": 4009, "message": "over"}
            assert each.read_frame().close_code == 4009
    with WebSocketPeer(background.port) as client, Peer(background.port) as backend:
        client.established()
        client.subscribe("c")
        backend.send(trigger())
        client.read_event("e")


@pytest.mark.parametrize(("large", "told"), [(100, 3), (0, 1)])
def test_nobody_is_told_of_those_who_are_sent_away(
    monkeypatch: pytest.MonkeyPatch, large: int, told: int
) -> None:
    # In a large channel all counts but the first are told in five seconds.
    monkeypatch.setattr(subscription_counts, "LARGE_CHANNEL", large)
    app = AppSettings(id="a", key="app-key", secret="s", subscription_count_events=True)
    make_server = partial(Server, make_broker=Heard)
    with (
        BackgroundServer(Settings(port=0, apps=(app,)), make_server=make_server) as background,
        ExitStack() as stack,
    ):
        for _ in range(3):
            client = stack.enter_context(WebSocketPeer(background.port)).established()
            client.subscribe("c")
        assert background.submit(renew).result() == told
        background.call(lambda server: server.deadlines.advance(server.hub.time() + 10))
        assert background.submit(renew).result() == told


def test_who_was_in_many_channels_has_left_them_all_when_it_is_done(
    background: BackgroundServer,
) -> None:
    """That takes turns of the loop, in which it would leave them for whoever comes next."""

    async def renew_and_look(server: Server) -> tuple[Mapping[str, ChannelCounts], bool]:
        await server.renew(FAREWELL)
        return await server.broker.channels("app-id"), await server.broker.connect("app-id", 1)

    with WebSocketPeer(background.port) as client:
        client.established()
        for place in range(1000):
            client.subscribe(f"c{place}")
        assert background.submit(renew_and_look).result() == ({}, True)


def test_backends_have_their_rate_to_themselves(background: BackgroundServer) -> None:
    with Peer(background.port) as peer:
        for _ in range(5):
            background.submit(renew).result()
            peer.send(trigger())
            # The connection is kept alive.
            assert peer.read_answer().status == 200


async def test_what_waits_to_be_posted_is_dropped() -> None:
    async with WebhookReceiver() as receiver:
        receiver.answer = statuses(500)
        webhook = WebhookSettings(url=receiver.url)
        app = AppSettings(id="app-id", key="app-key", secret="app-secret", webhooks=(webhook,))
        with BackgroundServer(Settings(port=0, apps=(app,))) as background:
            subscribe_and_leave(background, "before")
            # It is to be tried again; that the channel is vacated is held for three seconds.
            await receiver.wait_for_events(1)
            background.submit(lambda server: server.renew(FAREWELL)).result()
            assert background.call(lambda server: server.webhooks.queued) == 0
            receiver.answer = no_content
            background.call(lambda server: server.deadlines.advance(server.hub.time() + 10))
            subscribe_and_leave(background, "after")
            events = await receiver.wait_for_events(2)
            assert [event["channel"] for event in events] == ["before", "after"]


def subscribe_and_leave(background: BackgroundServer, channel: str) -> None:
    with WebSocketPeer(background.port) as client:
        client.established()
        client.subscribe(channel)
