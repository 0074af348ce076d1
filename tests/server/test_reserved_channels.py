"""The scheduler's channels on a server that has one: who may subscribe, speak, and hear of it."""

from __future__ import annotations

import hmac
import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from callboard_protocol.reserved import WORKER_EVENT_BYTES, WORKER_EVENTS_PER_SECOND, worker_key
from callboard_server.brokers import Cause
from support.app_server import AppServer, Client, app, hmac_hex
from support.recording_extension import RecordingExtension

WORKER = "private-sched.default.w.w1"
FEED = "private-cache-sched.default.t.1"
POOL = "presence-sched.default.pool.default"
#: Client events are off: workers need no such setting.
APP = app(client_events=False)


@pytest.fixture
def extension() -> RecordingExtension:
    return RecordingExtension()


@pytest.fixture
def server(extension: RecordingExtension) -> Iterator[AppServer]:
    with AppServer(APP, extensions=[extension]) as server:
        yield server


def worker_auth(client: Client, channel: str = WORKER) -> str:
    """Return what ``/sched/auth`` answers for a worker's channel, from the text that says so."""
    key = hmac_hex(client.app.secret, "sched/1 worker channel")
    return f"{client.app.key}:{hmac_hex(key, f'{client.socket_id}:{channel}')}"


def work(server: AppServer, channel: str = WORKER) -> Client:
    """Connect a worker."""
    client = server.client()
    client.ask(channel, auth=worker_auth(client, channel))
    assert client.receive()["event"] == "pusher_internal:subscription_succeeded"
    return client


def heard(extension: RecordingExtension) -> list[tuple[object, ...]]:
    return [note for note in extension.noted if note[0] == "heard"]


# Who may subscribe


def test_the_key_for_workers_is_derived_from_the_secret() -> None:
    derived = hmac.new(b"secret-1", b"sched/1 worker channel", "sha256").hexdigest()
    assert worker_key("secret-1") == derived


def test_a_workers_channel_is_not_opened_by_the_apps_ordinary_signature(server: AppServer) -> None:
    client = server.client()
    client.ask(WORKER, auth=client.sign(WORKER))
    text = client.error()
    assert "POST /sched/auth" in text
    assert f"{client.socket_id}:{WORKER}" in text


@pytest.mark.parametrize("auth", ["", "key-1:00", "other:00"])
def test_nor_by_anything_else(server: AppServer, auth: str) -> None:
    client = server.client()
    client.ask(WORKER, auth=auth)
    assert client.error()


def test_a_workers_signature_opens_its_own_channel_alone(server: AppServer) -> None:
    client = server.client()
    for channel in ("private-sched.default.w.w2", FEED, "private-a"):
        client.ask(channel, auth=worker_auth(client))
        assert "Invalid signature" in client.error()
        client.ask(channel, auth=f"{worker_auth(client, channel)[:-1]}x")
        assert "Invalid signature" in client.error()


def test_feeds_and_pools_take_ordinary_signatures(server: AppServer) -> None:
    client = server.client()
    client.ask(FEED, auth=client.sign(FEED))
    assert client.receive()["event"] == "pusher_internal:subscription_succeeded"
    assert client.receive()["event"] == "pusher:cache_miss"
    client.enter(POOL, "w1")


def test_two_connections_may_be_one_worker(
    server: AppServer, extension: RecordingExtension
) -> None:
    """As when a worker reconnects before its old connection is given up: the scheduler decides."""
    one, two = work(server), work(server)
    joined = [note for note in extension.noted if note[0] == "joined"]
    assert joined == [("joined", WORKER, one.socket_id), ("joined", WORKER, two.socket_id)]


# Who may speak


def test_what_a_worker_says_reaches_the_scheduler_and_nobody_else(
    server: AppServer, extension: RecordingExtension
) -> None:
    worker, twin = work(server), work(server)
    for data in ('{"v":1,"m":[]}', {"v": 1, "m": ["ä"]}):
        worker.send(event="client-sched", channel=WORKER, data=data)
    for client in (worker, twin):
        client.quiet()
    said = (WORKER, worker.socket_id, "client-sched")
    assert heard(extension) == [
        ("heard", *said, '{"v":1,"m":[]}'),
        ("heard", *said, '{"v":1,"m":["ä"]}'),
    ]


def test_only_who_is_subscribed_to_a_workers_channel_speaks_on_it(
    server: AppServer, extension: RecordingExtension
) -> None:
    other = work(server, "private-sched.default.w.w2")
    stranger = server.client()
    for client in (other, stranger):
        client.send(event="client-sched", channel=WORKER, data="d")
        assert "not subscribed to channel" in client.error()
    assert heard(extension) == []


@pytest.mark.parametrize(
    ("channel", "event"),
    [
        (WORKER, "client-typing"),
        (WORKER, "client-sched2"),
        ("private-sched.default.x", "client-sched"),
        ("private-sched.default.w.", "client-sched"),
        (FEED, "client-sched"),
        (FEED, "client-state"),
        (POOL, "client-sched"),
    ],
)
def test_any_other_client_event_is_refused(channel: str, event: str) -> None:
    extension = RecordingExtension()
    with AppServer(app(client_events=True), extensions=[extension]) as server:
        client, watcher = server.client(), server.client()
        for each in (client, watcher):
            if channel == POOL:
                each.enter(channel, each.socket_id)
            elif channel == WORKER:
                each.ask(channel, auth=worker_auth(each))
                each.receive()
            else:
                each.subscribe(channel)
            if channel == FEED:
                each.receive()
        if channel == POOL:
            client.receive()
        client.send(event=event, channel=channel, data="d")
        text = client.error()
        assert channel in text and "reserved for the task scheduler" in text
        watcher.quiet()
    assert heard(extension) == []


def test_a_worker_may_say_a_lot_at_once(server: AppServer, extension: RecordingExtension) -> None:
    worker = work(server)
    fits = "ä" * (WORKER_EVENT_BYTES // 2)
    worker.send_text(
        json.dumps({"event": "client-sched", "channel": WORKER, "data": fits}, ensure_ascii=False)
    )
    worker.quiet()
    assert heard(extension)[0][-1] == fits
    for data in (fits + "a", "a" * (WORKER_EVENT_BYTES + 1)):
        message = {"event": "client-sched", "channel": WORKER, "data": data}
        worker.send_text(json.dumps(message, ensure_ascii=False))
        assert "100000 bytes" in worker.error()
    assert len(heard(extension)) == 1


def test_a_worker_may_say_it_often_and_then_has_to_wait(
    server: AppServer, extension: RecordingExtension
) -> None:
    server.hold_time(1000.0)
    worker = work(server)
    limit = WORKER_EVENTS_PER_SECOND

    def say(count: int) -> int:
        """Say so much; return how often it was too much."""
        for _ in range(count):
            worker.send(event="client-sched", channel=WORKER, data="d")
        worker.send(event="pusher:ping", data={})
        refused = 0
        while (message := worker.receive())["event"] != "pusher:pong":
            assert message["data"]["code"] == 4301, message
            assert f"{limit} events per second" in message["data"]["message"]
            refused += 1
        return refused

    assert say(limit + 3) == 3
    server.hold_time(1000.1)
    assert say(limit // 10 + 2) == 2
    server.hold_time(2000.0)
    assert say(limit + 1) == 1, "silence saves up no more than a second's worth"
    assert len(heard(extension)) == limit + limit // 10 + limit


def test_ordinary_client_events_are_counted_apart(extension: RecordingExtension) -> None:
    with AppServer(app(), extensions=[extension]) as server:
        server.hold_time(1000.0)
        worker = work(server)
        worker.subscribe("private-a")
        for _ in range(10):
            worker.send(event="client-sched", channel=WORKER, data="d")
            worker.send(event="client-e", channel="private-a", data="d")
        worker.quiet()


# How it goes


def test_leaving_is_told_with_its_cause(server: AppServer, extension: RecordingExtension) -> None:
    leaver, closer = work(server), work(server)
    leaver.unsubscribe(WORKER)
    closer.close()
    left = [note for note in extension.noted if note[0] == "left"]
    assert left == [
        ("left", WORKER, leaver.socket_id, Cause.UNSUBSCRIBED),
        ("left", WORKER, closer.socket_id, Cause.DISCONNECTED),
    ]


def test_who_is_expelled_is_told_and_has_left_at_once(
    server: AppServer, extension: RecordingExtension
) -> None:
    worker, twin, other = work(server), work(server), work(server, "private-sched.default.w.w2")

    def expel(running: object) -> None:
        facilities = extension.facilities
        assert facilities is not None
        call = facilities.broker.expel(APP.id, WORKER)
        with pytest.raises(StopIteration):
            call.send(None)
        left = [note[2] for note in extension.noted if note[0] == "left"]
        assert sorted(map(str, left)) == sorted([worker.socket_id, twin.socket_id])

    server.on_server(expel)
    for client in (worker, twin):
        assert client.receive()["data"]["code"] == 4100
    other.quiet()


def test_a_killed_workers_end_is_told_before_anything_that_came_after_it(
    server: AppServer, extension: RecordingExtension
) -> None:
    """No settling and no timer stands between the end of its stream and the scheduler."""
    script = f"""if True:
        import json, sys, time
        from websockets.sync.client import connect
        with connect("ws://127.0.0.1:{server.port}/app/{APP.key}", proxy=None) as client:
            established = json.loads(client.recv())
            print(json.loads(established["data"])["socket_id"], flush=True)
            data = {{"channel": "{WORKER}", "auth": sys.stdin.readline().strip()}}
            client.send(json.dumps({{"event": "pusher:subscribe", "data": data}}))
            print(json.loads(client.recv())["event"], flush=True)
            time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        socket_id = process.stdout.readline().strip()
        key = worker_key(APP.secret)
        print(f"{APP.key}:{hmac_hex(key, f'{socket_id}:{WORKER}')}", file=process.stdin, flush=True)
        assert process.stdout.readline().strip() == "pusher_internal:subscription_succeeded"
        process.send_signal(signal.SIGKILL)
        process.wait()
    # The process is gone, so its end is in the server's socket before this client's beginning.
    server.client().quiet()
    assert extension.noted[-1] == ("left", WORKER, socket_id, Cause.DISCONNECTED)


# Who else hears of it


def test_they_are_listed_like_any_channel(server: AppServer) -> None:
    work(server)
    assert server.get("channels").ok() == {"channels": {WORKER: {}}}
    prefix = server.get("channels", filter_by_prefix="private-sched.", info="subscription_count")
    assert prefix.ok() == {"channels": {WORKER: {"subscription_count": 1}}}


# Where there is no scheduler


def test_without_a_scheduler_here_they_are_channels_like_any_other() -> None:
    """A scheduler that is a client of this server uses them so."""
    with AppServer() as server:
        worker, scheduler = server.client(), server.client()
        for client in (worker, scheduler):
            client.subscribe(WORKER)
        worker.send(event="client-sched", channel=WORKER, data="d")
        assert scheduler.receive()["data"] == "d"
    with AppServer(APP) as server:
        worker = server.client()
        worker.subscribe(WORKER)
        worker.send(event="client-sched", channel=WORKER, data="d")
        assert "enable this feature" in worker.error()


def test_an_app_without_one_is_not_concerned_by_anothers() -> None:
    class First(RecordingExtension):
        async def start(self, facilities: object) -> None:
            await super().start(facilities)  # type: ignore[arg-type]
            assert self.facilities is not None
            self.facilities.reservations.discard(other.id)

    other = app(id="1002", key="key-2", secret="secret-2")
    extension = First()
    with AppServer(APP, other, extensions=[extension]) as server:
        worker, scheduler = server.client(other), server.client(other)
        for client in (worker, scheduler):
            client.subscribe(WORKER)
        worker.send(event="client-sched", channel=WORKER, data="d")
        assert scheduler.receive()["data"] == "d"
    assert heard(extension) == []
