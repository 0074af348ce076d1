"""Delivery in one process: what a publish costs, and what a pending subscription hears."""

from __future__ import annotations

import gc
import hmac
import json
import weakref
from collections.abc import Callable

import pytest

from callboard_server.brokers import Message, Serial, Subscription
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.outbox import Flusher
from callboard_server.settings import AppSettings
from server.hub_process import APP, Client, HeldBroker, Process, one_line, turns

SUBSCRIBED = "subscription_succeeded"


class CountedEncode:
    """A wire form that counts how often it was made."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, payload: bytes) -> bytes:
        self.count += 1
        return one_line(payload)


def enter(client: Client, channel: str, user: str) -> object:
    data = json.dumps({"user_id": user})
    string = f"{client.socket_id}:{channel}:{data}"
    signature = hmac.new(APP.secret.encode(), string.encode(), "sha256").hexdigest()
    return client.subscribe(channel, auth=f"{APP.key}:{signature}", channel_data=data)


# What a publish costs


async def test_a_publish_is_encoded_once_and_every_subscriber_gets_the_same_bytes() -> None:
    process, encode = await Process(MemoryBroker(lambda: 0.0)).start(), CountedEncode()
    clients = [process.client(encode) for _ in range(100)]
    for client in clients:
        client.subscribe("c")
    await turns()
    encode.count = 0
    for number in range(3):
        await process.publish("c", str(number))
        assert encode.count == number + 1
        await turns()
    frames = [client.transport.written[-1] for client in clients]
    assert all(frame is frames[0] for frame in frames)
    assert all(client.events() == [SUBSCRIBED, "e 0", "e 1", "e 2"] for client in clients)


async def test_each_wire_form_is_encoded_once() -> None:
    process, forms = (
        await Process(MemoryBroker(lambda: 0.0)).start(),
        [CountedEncode(), CountedEncode()],
    )
    clients = [process.client(forms[number % 2]) for number in range(20)]
    for client in clients:
        client.subscribe("c")
    for form in forms:
        form.count = 0
    await process.publish("c")
    assert [form.count for form in forms] == [1, 1]
    await turns()
    assert all(client.events() == [SUBSCRIBED, "e d"] for client in clients)


async def test_an_event_that_nobody_here_hears_is_not_encoded() -> None:
    process, encode = await Process(MemoryBroker(lambda: 0.0)).start(), CountedEncode()
    client = process.client(encode)
    client.subscribe("c")
    client.say("pusher:unsubscribe", channel="c")
    await turns()
    encode.count = 0
    await process.publish("c")
    await process.publish("elsewhere")
    assert encode.count == 0


async def test_a_flush_writes_for_a_moment_and_then_lets_the_loop_turn() -> None:
    """The clock of this one moves a millisecond each time it is read."""
    waiting: list[Callable[[], None]] = []
    clock = iter(range(100_000))
    process = await Process(MemoryBroker(lambda: 0.0), waiting.append).start()
    process.hub.flusher = Flusher(waiting.append, lambda: next(clock) / 1000)
    clients = [process.client() for _ in range(500)]
    for client in clients:
        client.subscribe("c")
    await process.publish("c")
    slices = []
    while waiting:
        assert len(waiting) == 1, "one flush is scheduled at a time"
        before = sum(len(client.transport.written) for client in clients)
        waiting.pop()()
        slices.append(sum(len(client.transport.written) for client in clients) - before)
    assert len(slices) > 5
    assert max(slices) <= 100
    assert sum(slices) == 500, "what one client has is written in one piece"
    assert all(client.events() == [SUBSCRIBED, "e d"] for client in clients)


# Who is left out


async def test_the_excluded_connection_alone_is_left_out() -> None:
    process = await Process(MemoryBroker(lambda: 0.0)).start()
    clients = [process.client() for _ in range(3)]
    for client in clients:
        client.subscribe("c")
    await process.publish("c", "1", clients[1].socket_id)
    await process.publish("c", "2", "1.1")
    await process.publish("c", "3")
    await turns()
    assert [client.events()[1:] for client in clients] == [
        ["e 1", "e 2", "e 3"],
        ["e 2", "e 3"],
        ["e 1", "e 2", "e 3"],
    ]


async def test_apps_have_their_own_channels() -> None:
    process = await Process(MemoryBroker(lambda: 0.0)).start()
    mine = process.client()
    theirs = process.client(app=AppSettings(id="2", key="key-2", secret="secret-2"))
    for client in (mine, theirs):
        client.subscribe("c")
    await process.publish("c")
    await turns()
    assert mine.events() == [SUBSCRIBED, "e d"]
    assert theirs.events() == [SUBSCRIBED]


# A subscription that is under way


async def pending(channel: str = "c") -> tuple[Process, HeldBroker, Client]:
    """Return a client whose subscription to ``channel`` has been asked for."""
    broker = HeldBroker()
    process = await Process(broker).start()
    client = process.client()
    task = enter(client, channel, "ann") if channel.startswith("presence-") else None
    assert task or client.subscribe(channel), "the join was answered at once"
    return process, broker, client


async def test_events_behind_the_snapshot_wait_for_the_answer() -> None:
    process, broker, client = await pending()
    await broker.let_in(client)
    await process.publish("c", "1")
    await process.publish("c", "2")
    await turns()
    assert client.events() == []
    await broker.answer(client)
    await process.publish("c", "3")
    await turns()
    assert client.events() == [SUBSCRIBED, "e 1", "e 2", "e 3"]


async def test_events_before_the_snapshot_are_not_heard() -> None:
    process, broker, client = await pending()
    await process.publish("c", "before")
    await broker.let_in(client)
    await process.publish("c", "behind")
    await broker.answer(client)
    assert client.events() == [SUBSCRIBED, "e behind"]


async def test_who_is_on_the_roster_is_not_announced_too() -> None:
    """An arrival between the request and the snapshot is in the snapshot, and only there."""
    process, broker, client = await pending("presence-c")
    early, late = process.client(), process.client()
    for other, user in ((early, "early"), (late, "late")):
        enter(other, "presence-c", user)
        if other is early:
            await broker.let_in(early)
            await broker.answer(early)
            await broker.let_in(client)
        else:
            await broker.let_in(late)
    await broker.answer(client)
    succeeded, added = client.heard()
    assert json.loads(succeeded["data"])["presence"]["ids"] == ["early", "ann"]
    assert added["event"] == "pusher_internal:member_added"
    assert json.loads(added["data"]) == {"user_id": "late"}


async def test_an_event_of_another_epoch_is_not_mistaken_for_an_old_one() -> None:
    process, broker, client = await pending()
    for _ in range(5):
        await process.publish("elsewhere")
    await broker.let_in(client)
    payload = b'{"event":"e","channel":"c","data":"anew"}'
    process.hub.receive(Message(APP.id, "c", payload), Serial("another epoch", 1))
    await broker.answer(client)
    assert client.events() == [SUBSCRIBED, "e anew"]


async def test_a_pending_connection_may_be_the_excluded_one() -> None:
    process, broker, client = await pending()
    await broker.let_in(client)
    await process.publish("c", "its own", client.socket_id)
    await process.publish("c", "another's")
    await broker.answer(client)
    assert client.events() == [SUBSCRIBED, "e another's"]


async def test_others_do_not_wait_for_a_pending_subscription() -> None:
    process, broker, client = await pending()
    other = process.client()
    other.subscribe("c")
    await broker.let_in(other)
    await broker.answer(other)
    await process.publish("c")
    await turns()
    assert other.events() == [SUBSCRIBED, "e d"]
    assert client.events() == []


async def test_a_connection_lost_on_the_way_to_the_broker_leaves_again() -> None:
    process, broker, client = await pending()
    client.connection.lost()
    await broker.let_in(client)
    await broker.answer(client)
    assert broker.left == [Subscription(APP.id, "c", client.socket_id)]
    assert await broker.channels(APP.id) == {}
    await process.publish("c")
    await turns()
    assert client.events() == []


@pytest.mark.parametrize("how", ["lost", "ended"])
async def test_a_connection_gone_while_the_answer_is_on_its_way_leaves_again(how: str) -> None:
    process, broker, client = await pending("presence-c")
    witness = process.client()
    enter(witness, "presence-c", "bob")
    await broker.let_in(witness)
    await broker.answer(witness)
    await broker.let_in(client)
    if how == "lost":
        client.connection.lost()
    else:
        client.connection.fail(1007, "not UTF-8")
    await broker.answer(client)
    assert await broker.users(APP.id, "presence-c") == ["bob"]
    assert witness.events() == [SUBSCRIBED, "member_added", "member_removed"]
    assert client.events() == ([] if how == "lost" else ["close"])


async def test_a_full_channel_leaves_nothing_behind_a_pending_subscription() -> None:
    broker = HeldBroker()
    process = await Process(broker).start()
    small = AppSettings(id=APP.id, key=APP.key, secret=APP.secret, max_presence_members=1)
    clients = [process.client(app=small) for _ in range(2)]
    for client, user in zip(clients, ("ann", "bob"), strict=True):
        enter(client, "presence-c", user)
    for client in clients:
        await broker.let_in(client)
    await process.publish("presence-c")
    await broker.answer(clients[0])
    assert clients[0].events() == [SUBSCRIBED, "e d"]
    assert clients[1].events() == ["pusher:error"]
    assert "full" in clients[1].heard()[0]["data"]["message"]
    await process.publish("presence-c")
    await turns()
    assert len(clients[1].events()) == 1


@pytest.mark.parametrize("stage", ["asked", "let in", "full", "subscribed", "unsubscribed"])
async def test_nothing_remembers_a_connection_that_is_gone(stage: str) -> None:
    broker = HeldBroker()
    process = await Process(broker).start()
    one_place = AppSettings(id=APP.id, key=APP.key, secret=APP.secret, max_presence_members=1)
    witness, client = process.client(app=one_place), process.client(app=one_place)
    for each, user in ((witness, "ann"), (client, "bob" if stage == "full" else "ann")):
        enter(each, "presence-c", user)
        if stage != "asked":
            await broker.let_in(each)
        if stage in ("subscribed", "unsubscribed"):
            await broker.answer(each)
    if stage == "unsubscribed":
        client.say("pusher:unsubscribe", channel="presence-c")
    client.connection.lost()
    if stage in ("asked", "let in"):
        if stage == "asked":
            await broker.let_in(client)
        await broker.answer(client)
    await turns()
    gone = weakref.ref(client.connection)
    del client, each
    gc.collect()
    assert gone() is None
