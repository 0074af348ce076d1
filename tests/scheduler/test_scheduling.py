"""The scheduler inside a server: the API, workers on WebSockets, tokens, large values, reloads."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from callboard.errors import StartError
from callboard.scheduling import Scheduling
from callboard_scheduler import tokens
from callboard_scheduler.engine import incoming
from callboard_scheduler.engine import scheduler as engine
from callboard_scheduler.stores import StoreError
from callboard_scheduler.stores.sqlite import SqliteStore
from callboard_server.background import BackgroundServer
from callboard_server.clock import SystemClock
from callboard_server.settings import AppSettings, Settings
from support.app_server import AppServer, Client, app, hmac_hex, signed_query
from support.serving import errors_logged, nothing_left
from support.sockets import Answer, Peer, request

OTHER = app(id="1002", key="key-2", secret="secret-2")
FOREVER = int(SystemClock().now()) + 3600


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[AppServer]:
    with errors_logged() as errors, scheduled(data) as server:
        yield server
    assert not errors, [logging.Formatter().format(error) for error in errors]


def scheduled(data: Path, *apps: AppSettings, **settings: Any) -> AppServer:
    extension = Scheduling(lambda: SqliteStore(data))
    return AppServer(*(apps or (app(client_events=False),)), extensions=[extension], **settings)


class Worker:
    """A worker as plain as can be: it says what it is told to, and notes what it hears."""

    def __init__(self, server: AppServer, worker_id: str = "w1", app: AppSettings | None = None):
        self.id = worker_id
        self.channel = f"private-sched.default.w.{worker_id}"
        self.client: Client = server.client(app)
        self._n = 0
        self._heard: deque[dict[str, Any]] = deque()
        key = hmac_hex(self.client.app.secret, "sched/1 worker channel")
        self.subscribe(
            f"{self.client.app.key}:{hmac_hex(key, f'{self.client.socket_id}:{self.channel}')}"
        )

    def subscribe(self, auth: str) -> None:
        self.client.ask(self.channel, auth=auth)
        answer = self.client.receive()
        assert answer["event"] == "pusher_internal:subscription_succeeded", answer

    def say(self, *messages: dict[str, Any]) -> None:
        self._n += 1
        data = {"v": 1, "boot": f"boot-{self.id}", "n": self._n, "m": messages}
        self.client.send(event="client-sched", channel=self.channel, data=data)

    def hears(self, kind: str) -> dict[str, Any]:
        """Return the next message of this kind; others before it are passed over."""
        while True:
            while self._heard:
                message = self._heard.popleft()
                if message["t"] == kind:
                    return message
            event = self.client.receive()
            assert event["event"] == "sched", event
            self._heard.extend(json.loads(event["data"])["m"])

    def hello(self, **fields: Any) -> dict[str, Any]:
        """Say hello and return the welcome."""
        self.say({"t": "hello", "w": self.id, "hb": True, **fields})
        return self.hears("welcome")

    def report(self, assign: dict[str, Any], value: object) -> None:
        """Report success, and wait until it is recorded."""
        self.say({"t": "result", "id": assign["id"], "f": assign["f"], "ok": True, "val": value})
        done = self.hears("done")
        assert [each[0] for each in done["r"]] == [assign["id"]]


def submit(server: AppServer, app: AppSettings | None = None, **fields: Any) -> str:
    answer = server.post("tasks", {"name": "task", "args": {"a": 1}, **fields}, app).ok()
    task_id = answer["id"]
    assert isinstance(task_id, str)
    return task_id


def state(server: AppServer, task_id: str, app: AppSettings | None = None) -> str:
    found = server.get(f"tasks/{task_id}", app).ok()["state"]
    assert isinstance(found, str)
    return found


# From submit to result


def test_a_task_goes_to_a_worker_and_its_result_comes_back(server: AppServer) -> None:
    worker = Worker(server)
    worker.hello()
    task_id = submit(server)
    assign = worker.hears("assign")
    assert (assign["id"], assign["name"], assign["args"]) == (task_id, "task", {"a": 1})
    worker.report(assign, 42)
    task = server.get(f"tasks/{task_id}").ok()
    assert (task["state"], task["result"]) == ("succeeded", 42)


def test_a_watcher_sees_it_live_and_a_late_one_the_last_of_it(server: AppServer) -> None:
    worker = Worker(server)
    worker.hello()
    task_id = submit(server)
    assign = worker.hears("assign")
    feed = f"private-cache-sched.default.t.{task_id}"
    watcher = server.client()
    watcher.subscribe(feed)
    said = {"t": "progress", "id": task_id, "f": assign["f"], "s": 1, "pct": 40.0}
    worker.say(said)
    events = []
    while "progress" not in events:
        events.append(watcher.receive()["event"])
    worker.report(assign, "ok")
    while "result" not in events:
        events.append(watcher.receive()["event"])
    late = server.client()
    late.subscribe(feed)
    assert late.receive()["event"] == "result"


def test_a_worker_that_is_gone_loses_its_task_to_another_at_once(server: AppServer) -> None:
    """Nothing here waits for a lease or a grace: those are seconds long."""
    first, second = Worker(server, "w1"), None
    first.hello(cap=1, free=1)
    task_id = submit(server)
    assign = first.hears("assign")
    first.say({"t": "accept", "id": task_id, "f": assign["f"]})
    first.client.quiet()
    second = Worker(server, "w2")
    second.hello()
    first.client.close()
    again = second.hears("assign")
    assert (again["id"], again["att"]) == (task_id, 2)
    assert again["f"] > assign["f"]


def test_apps_have_tasks_and_workers_of_their_own(data: Path) -> None:
    with scheduled(data, app(), OTHER) as server:
        worker = Worker(server, "w1", OTHER)
        worker.hello()
        mine, others = submit(server), submit(server, OTHER)
        assert worker.hears("assign")["id"] == others
        assert state(server, mine) == "ready"
        assert server.get(f"tasks/{mine}", OTHER).refusal(404)
        assert [each["id"] for each in server.get("workers", OTHER).ok()["workers"]] == ["w1"]
        assert server.get("workers").ok()["workers"] == []


def test_an_unknown_path_is_still_refused_as_ever(server: AppServer) -> None:
    assert server.get("none").refusal(404) == "Not found: /apps/1001/none"
    assert server.get("tasks/none").refusal(404)
    path = "/apps/1001/tasks"
    query = signed_query(server.app, "PUT", path, {}, b"")
    assert server.send("PUT", path, query).refusal(405)


# Published later


def test_a_trigger_with_a_time_is_published_then(server: AppServer) -> None:
    client = server.client()
    client.subscribe("c")
    body = {"name": "e", "channel": "c", "data": "later"}
    later = server.post("events", {**body, "delay_ms": 3_600_000}).ok()
    soon = server.post("events", {**body, "data": "soon", "delay_ms": 1}).ok()
    assert client.receive() == {"event": "e", "channel": "c", "data": "soon"}
    assert later["state"] == "scheduled"
    assert state(server, later["id"]) == "scheduled"
    cancelled = server.post(f"tasks/{later['id']}/cancel", b"")
    assert cancelled.ok()["state"] == "cancelled"
    assert soon["id"] != later["id"]


def test_a_trigger_without_a_time_is_published_now(server: AppServer) -> None:
    client = server.client()
    client.subscribe("c")
    server.trigger("c")
    assert client.receive()["data"] == "d"
    fault = server.post("events", {"name": "e", "channel": "c", "data": "d", "delay_ms": "x"})
    assert "delay_ms" in fault.refusal(400)
    client.quiet()


# Tokens


def ask_auth(
    server: AppServer,
    socket_id: str,
    channel: str,
    token: str,
    *,
    bearer: bool = False,
) -> Answer:
    fields = {"socket_id": socket_id, "channel_name": channel}
    headers = ["Content-Type: application/x-www-form-urlencoded"]
    if bearer:
        headers.append(f"Authorization: Bearer {token}")
    else:
        fields["token"] = token
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    with Peer(server.port) as peer:
        peer.send(request("POST", "/sched/auth", body, *headers))
        return peer.read_answer()


def worker_token(app: AppSettings, worker: str = "w1", **changes: Any) -> str:
    return tokens.worker_token(
        app.key, app.secret, **{"worker": worker, "expires": FOREVER, **changes}
    )


@pytest.mark.parametrize("bearer", [False, True])
def test_a_token_opens_the_channel_of_its_worker(server: AppServer, bearer: bool) -> None:
    client = server.client()
    channel = "private-sched.default.w.w1"
    token = worker_token(server.app)
    answer = ask_auth(server, client.socket_id, channel, token, bearer=bearer)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    client.ask(channel, **answer.json())
    assert client.receive()["event"] == "pusher_internal:subscription_succeeded"


def test_a_watchers_token_opens_feeds_and_nothing_else(server: AppServer) -> None:
    client = server.client()
    token = tokens.watch_token(server.app.key, server.app.secret, tasks=["t1"], expires=FOREVER)
    feed = "private-cache-sched.default.t.t1"
    answer = ask_auth(server, client.socket_id, feed, token)
    client.ask(feed, **answer.json())
    assert client.receive()["event"] == "pusher_internal:subscription_succeeded"
    for channel in ("private-cache-sched.default.t.t2", "private-sched.default.w.w1", "private-a"):
        refused = ask_auth(server, client.socket_id, channel, token)
        assert refused.status == 403
        assert refused.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"worker": "w2"}, "does not open"),
        ({"expires": 1}, "expired"),
        ({"secret": "forged"}, "wrong signature"),
        ({"key": "unknown"}, "no app with a scheduler"),
    ],
)
def test_a_token_that_is_not_good_is_refused_with_a_reason(
    server: AppServer, changes: dict[str, Any], said: str
) -> None:
    given = {"worker": "w1", "expires": FOREVER}
    key, secret = changes.pop("key", server.app.key), changes.pop("secret", server.app.secret)
    token = tokens.worker_token(key, secret, **{**given, **changes})
    answer = ask_auth(server, "1.1", "private-sched.default.w.w1", token)
    assert answer.status == 403
    assert said in answer.body.decode()
    assert token.encode() not in answer.body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "token"),
        (b"token=T", "channel_name"),
        (b"token=T&channel_name=private-sched.default.w.w1", "socket_id"),
        (b"token=T&channel_name=private-sched.default.w.w1&socket_id=x", "socket_id"),
        (b"\xff", "body"),
        (b"&".join(b"a=1" for _ in range(20)), "body"),
    ],
)
def test_a_form_with_something_missing_is_refused_by_the_fields_name(
    server: AppServer, body: bytes, field: str
) -> None:
    body = body.replace(b"T", worker_token(server.app).encode())
    with Peer(server.port) as peer:
        peer.send(request("POST", "/sched/auth", body))
        answer = peer.read_answer()
    assert answer.status == 400
    assert answer.body.decode().startswith(f"{field}: ")


def test_a_worker_with_a_token_gets_what_the_token_allows(server: AppServer) -> None:
    client = server.client()
    channel = "private-sched.default.w.w1"
    answer = ask_auth(server, client.socket_id, channel, worker_token(server.app, queues=["mine"]))
    client.ask(channel, **answer.json())
    client.receive()
    hello = {"t": "hello", "w": "w1", "q": ["mine", "default"]}
    client.send(event="client-sched", channel=channel, data={"v": 1, "boot": "b", "m": [hello]})
    assert client.receive()["event"] == "sched"
    [found] = server.get("workers").ok()["workers"]
    assert found["queues"] == ["mine"]


def queues_of_workers(server: AppServer) -> list[list[str]]:
    return [worker["queues"] for worker in server.get("workers").ok()["workers"]]


def ask_for_more(client: Client, channel: str) -> None:
    """Say hello for queues that no token of these tests allows, and hear the answer."""
    hello = {"t": "hello", "w": "w1", "q": ["secret"]}
    client.send(event="client-sched", channel=channel, data={"v": 1, "boot": "b", "m": [hello]})
    assert '"refused"' in client.receive()["data"]


def test_a_signature_that_is_used_again_is_held_to_its_token(server: AppServer) -> None:
    client, channel = server.client(), "private-sched.default.w.w1"
    token = worker_token(server.app, queues=["mine"])
    answer = ask_auth(server, client.socket_id, channel, token).json()
    for _ in range(2):
        client.ask(channel, **answer)
        assert client.receive()["event"] == "pusher_internal:subscription_succeeded"
        ask_for_more(client, channel)
        client.send(event="pusher:unsubscribe", data={"channel": channel})
    assert queues_of_workers(server) == []


def test_the_end_of_one_connection_takes_the_limits_of_no_other(server: AppServer) -> None:
    channel, token = "private-sched.default.w.w1", worker_token(server.app, queues=["mine"])
    first, second = server.client(), server.client()
    answers = [
        ask_auth(server, client.socket_id, channel, token).json() for client in (first, second)
    ]
    second.ask(channel, **answers[1])
    second.receive()
    second.send(event="pusher:unsubscribe", data={"channel": channel})
    second.quiet()
    first.ask(channel, **answers[0])
    first.receive()
    ask_for_more(first, channel)


@pytest.mark.parametrize("subscribed_first", [True, False])
def test_asking_for_many_workers_makes_no_limit_forgotten(
    server: AppServer, monkeypatch: pytest.MonkeyPatch, subscribed_first: bool
) -> None:
    monkeypatch.setattr(incoming, "_MOST_GRANTS", 3)
    client, channel = server.client(), "private-sched.default.w.w1"
    token = worker_token(server.app, "w*", queues=["mine"])
    answer = ask_auth(server, client.socket_id, channel, token).json()
    if subscribed_first:
        client.ask(channel, **answer)
        client.receive()
    for number in range(4):
        ask_auth(server, client.socket_id, f"{channel}-{number}", token)
    if not subscribed_first:
        client.ask(channel, **answer)
        client.receive()
    ask_for_more(client, channel)


def test_a_token_does_not_come_in_plain_text_where_the_app_wants_tls(data: Path) -> None:
    with scheduled(data, app(tls_only=True)) as server:
        answer = ask_auth(server, "1.1", "private-sched.default.w.w1", worker_token(server.app))
        assert answer.status == 403
        assert "https" in answer.body.decode()


# Large values


def transfer(server: AppServer, method: str, path: str, body: bytes | None = None) -> Answer:
    with Peer(server.port) as peer:
        peer.send(request(method, path, body))
        return peer.read_answer()


def test_large_arguments_are_fetched_and_a_large_result_is_put(server: AppServer) -> None:
    worker = Worker(server)
    worker.hello()
    text = "x" * 900_000
    task_id = submit(server, args={"text": text})
    assign = worker.hears("assign")
    assert "args" not in assign
    fetched = transfer(server, "GET", assign["ref"])
    assert (fetched.status, fetched.json()) == (200, {"text": text})
    assert transfer(server, "PUT", assign["put_url"], b"no JSON").status == 400
    assert transfer(server, "PUT", assign["put_url"], json.dumps(text).encode()).status == 200
    worker.say({"t": "result", "id": task_id, "f": assign["f"], "ok": True, "ref": True})
    worker.hears("done")
    assert server.get(f"tasks/{task_id}").ok()["result"] == text
    # It is over.
    for method, path in (("GET", assign["ref"]), ("PUT", assign["put_url"])):
        assert transfer(server, method, path, b"1").status == 410


def test_no_large_result_that_may_still_be_reported_is_given_up(
    server: AppServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_VALUES_KEPT", 2)
    worker = Worker(server)
    worker.hello(cap=4, free=4)
    for _ in range(4):
        submit(server, args={"text": "x" * 100_000})
    given = [worker.hears("assign") for _ in range(4)]
    first, second, third, fourth = (each["put_url"] for each in given)
    assert [transfer(server, "PUT", url, b"1").status for url in (first, second)] == [200, 200]
    full = transfer(server, "PUT", third, b"1")
    assert (full.status, full.body) == (
        503,
        b"2 large results wait to be reported already: put it again in a moment\n",
    )
    # Once more what is there already, and room where an assignment has ended otherwise.
    assert transfer(server, "PUT", second, b"2").status == 200
    worker.report(given[0], "small after all")
    assert transfer(server, "PUT", fourth, b"4").status == 200
    for each in (given[1], given[3]):
        worker.say({"t": "result", "id": each["id"], "f": each["f"], "ok": True, "ref": True})
        worker.hears("done")
    assert server.get(f"tasks/{given[1]['id']}").ok()["result"] == 2


def test_a_path_that_was_not_given_opens_nothing(server: AppServer) -> None:
    worker = Worker(server)
    worker.hello()
    submit(server, args={"text": "x" * 200_000})
    assign = worker.hears("assign")
    forged = assign["ref"][:-1] + ("0" if assign["ref"][-1] != "0" else "1")
    other = assign["ref"].replace("/1001/", "/1002/")
    for path in (forged, other, "/sched/blobs/", "/sched/blobs/1001/t/1/args"):
        assert transfer(server, "GET", path).status == 403
    assert transfer(server, "PUT", assign["ref"], b"1").status == 405
    assert transfer(server, "GET", assign["put_url"]).status == 405


# Its life


def test_nothing_is_on_the_disk_before_the_first_task(data: Path) -> None:
    with scheduled(data) as server:
        Worker(server).hello()
        assert server.get("tasks").ok()["tasks"] == []
        assert not data.exists()
        submit(server)
        assert data.exists()


def test_a_second_server_on_the_same_data_does_not_start(data: Path) -> None:
    with scheduled(data) as server:
        submit(server)
        with nothing_left():
            second = BackgroundServer(
                Settings(port=0), extensions=[Scheduling(lambda: SqliteStore(data))]
            )
            with pytest.raises(StartError, match=str(data)):
                second.start()


def test_a_servers_end_takes_no_task_from_a_worker_that_comes_back(data: Path) -> None:
    with scheduled(data) as server:
        worker = Worker(server)
        worker.hello(resume=True)
        task_id = submit(server)
        assign = worker.hears("assign")
        worker.say({"t": "accept", "id": task_id, "f": assign["f"]})
        worker.client.quiet()
        assert state(server, task_id) == "running"
        server.stop()
    with scheduled(data) as server:
        worker = Worker(server)
        welcome = worker.hello(resume=True, free=0, run=[[task_id, assign["f"]]])
        assert welcome["run"] == [[task_id, assign["f"], "go"]]
        worker.report(assign, "kept")
        task = server.get(f"tasks/{task_id}").ok()
        assert (task["state"], task["result"], len(task["attempts"])) == ("succeeded", "kept", 1)


def test_an_app_that_is_removed_keeps_its_tasks_and_goes_on_when_it_is_back(data: Path) -> None:
    with scheduled(data, app(), OTHER) as server:
        task_id = submit(server, OTHER)
        server.reload(app())
        assert server.get("tasks", OTHER).refusal(404)
        submit(server)
        server.reload(app(), OTHER)
        worker = Worker(server, "w1", OTHER)
        worker.hello()
        assert worker.hears("assign")["id"] == task_id


def test_an_app_that_is_added_is_scheduled_and_a_disabled_one_is_not(data: Path) -> None:
    with scheduled(data, app()) as server:
        server.reload(app(), OTHER)
        task_id = submit(server, OTHER)
        disabled = app(id="1002", key="key-2", secret="secret-2", enabled=False)
        server.reload(app(), disabled)
        assert server.get("tasks", disabled).status == 403
        server.reload(app(), OTHER)
        assert state(server, task_id, OTHER) == "ready"


def test_with_a_new_secret_it_believes_the_new_one_alone(data: Path) -> None:
    with scheduled(data, app()) as server:
        old, task_id = server.app, submit(server)
        renewed = app(secret="renewed")
        server.reload(renewed)
        channel = "private-sched.default.w.w1"
        assert ask_auth(server, "1.1", channel, worker_token(old)).status == 403
        assert ask_auth(server, "1.1", channel, worker_token(renewed)).status == 200
        worker = Worker(server, "w1", renewed)
        worker.hello()
        assert worker.hears("assign")["id"] == task_id


def test_an_app_whose_scheduler_cannot_start_publishes_nothing_early(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(store: SqliteStore, app_id: str) -> NoReturn:
        raise StoreError("the disk is gone")

    with errors_logged() as errors, scheduled(data, app()) as server:
        client = server.client()
        client.subscribe("c")
        monkeypatch.setattr(SqliteStore, "load", fail)
        server.reload(app(secret="renewed"))
        server.app = app(secret="renewed")
        assert "not running" in server.get("tasks").refusal(503)
        later = {"name": "e", "channel": "c", "data": "d", "delay_ms": 3_600_000}
        assert "not running" in server.post("events", later).refusal(503)
        assert server.get("none").refusal(404)
        client.quiet()
        server.trigger("c")
        assert client.receive()["data"] == "d"
    assert "the disk is gone" in logging.Formatter().format(errors[0])


def test_a_servers_other_settings_of_an_app_hold_for_what_is_published_later(data: Path) -> None:
    with scheduled(data, app()) as server:
        server.reload(app(max_event_payload_bytes=3))
        late = {"name": "e", "channel": "c", "data": "abcd", "delay_ms": 1}
        assert "exceeds the allowed maximum" in server.post("events", late).refusal(413)


def test_the_server_of_the_pytest_fixture_has_no_scheduler(data: Path) -> None:
    with AppServer() as server:
        assert server.get("tasks").refusal(404)
