"""Where a worker connects, how it proves who it is, and where large values come from."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from callboard_client import Client, SecretAuthorizer, SubscriptionError
from callboard_client.signed_request import Credentials
from callboard_protocol import signatures
from callboard_protocol.reserved import worker_key
from callboard_scheduler import Worker, WorkerRefused, tokens, wire
from callboard_scheduler.errors import BadToken
from callboard_scheduler.worker.app_check import check_app
from callboard_scheduler.worker.service import Service
from callboard_server.background import BackgroundServer
from callboard_server.extensions import Page
from callboard_server.front.request import Request, Response
from callboard_server.settings import AppSettings, Settings
from support.scripted_scheduler import APP, PATIENCE_SECONDS, scripted_scheduler

WORKER = "private-sched.default.w.w1"
POOL = "presence-sched.default.pool.default"
NOW = 1_800_000_000.0


def token(**changes: Any) -> str:
    fields: dict[str, Any] = {"worker": "w1", "expires": 4_000_000_000, **changes}
    return tokens.worker_token(APP.key, APP.secret, **fields)


# URLs


@pytest.mark.parametrize(
    ("url", "base", "host", "port", "tls", "path"),
    [
        ("http://k:s@h:6001/apps/1", "http://h:6001", "h", 6001, False, ""),
        ("https://k:s@h/apps/1", "https://h", "h", 443, True, ""),
        ("http://k:s@h/prefix/apps/1", "http://h/prefix", "h", 80, False, "/prefix"),
        (
            "https://k:s@api-eu.pusher.com/apps/1",
            "https://api-eu.pusher.com",
            "ws-eu.pusher.com",
            443,
            True,
            "",
        ),
    ],
)
def test_a_url_tells_both_addresses(
    url: str, base: str, host: str, port: int, tls: bool, path: str
) -> None:
    service = Service.from_url(url)
    found = (service.base, service.host, service.port, service.tls, service.path)
    assert found == (base, host, port, tls, path)
    assert (service.key, service.secret) == ("k", "s")
    assert "s'" not in repr(service)


def test_a_token_says_for_which_app_it_is() -> None:
    service = Service.from_url("http://h:6001/prefix", token=token())
    assert (service.key, service.secret) == (APP.key, None)
    assert service.auth_endpoint == "http://h:6001/prefix/sched/auth"


def test_an_endpoint_of_ones_own_needs_the_key() -> None:
    service = Service.from_url("http://h", key="k", auth_endpoint="https://app.example/auth")
    assert (service.key, service.auth_endpoint) == ("k", "https://app.example/auth")
    with pytest.raises(ValueError, match="needs the key of the app: key="):
        Service.from_url("http://h", auth_endpoint="https://app.example/auth")


@pytest.mark.parametrize("url", ["", "h:6001", "ws://k:s@h/apps/1", "http://h/apps/1"])
def test_a_url_that_does_not_suffice_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match="expected http"):
        Service.from_url(url)


def test_what_is_no_token_is_said_to_be_none() -> None:
    with pytest.raises(BadToken, match="malformed"):
        Service.from_url("http://h", token="nonsense")


# Signatures


def signed(service: Service, channel: str) -> Any:
    answer = service.authorizer({"user_id": "w1"})("1.1", channel)
    assert isinstance(answer, dict)
    return answer


def test_a_workers_own_channel_is_signed_with_the_key_that_is_for_it() -> None:
    url = "http://k:s@h/apps/1"
    own = signatures.auth("k", worker_key("s"), f"1.1:{WORKER}")
    plain = signatures.auth("k", "s", f"1.1:{WORKER}")
    assert signed(Service.from_url(url), WORKER) == {"auth": own}
    assert signed(Service.from_url(url, foreign=True), WORKER) == {"auth": plain}


def test_a_pool_is_signed_with_the_secret_and_says_who_comes() -> None:
    answer = signed(Service.from_url("http://k:s@h/apps/1", foreign=True), POOL)
    assert answer["channel_data"] == '{"user_id":"w1"}'
    assert answer["auth"] == signatures.auth("k", "s", f'1.1:{POOL}:{{"user_id":"w1"}}')


def test_whoever_has_the_secret_mints_a_token_for_each_greeting() -> None:
    service = Service.from_url("http://k:s@h/apps/1")
    minted = service.greeting_token("w1", "default", lambda: NOW)()
    assert minted is not None
    grant = tokens.verify(minted, "s", NOW + 3_599)
    assert isinstance(grant, tokens.WorkerGrant)
    assert grant.allows_worker("w1")
    assert not grant.allows_worker("w2")


# At a server


class Endpoint:
    """``/sched/auth`` of a server, whose answers the test decides."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Response] = []

    async def answer(self, request: Request) -> Response:
        self.asked.append((request.header(b"authorization") or b"").decode())
        if self.answers:
            return self.answers.pop(0)
        form = dict(pair.split("=") for pair in request.body.decode().split("&"))
        grant = tokens.verify(self.asked[-1].removeprefix("Bearer "), APP.secret, NOW)
        found = tokens.authorize(
            grant, APP.secret, APP.key, form["socket_id"], form["channel_name"]
        )
        return Response(200, msgspec.json.encode(found))

    @property
    def page(self) -> Page:
        return Page("/sched/auth", ("POST",), 16_384, self.answer)


async def asked_for_the_app() -> None:
    """Wait until the thread that asks for the app has ended; this loop has to answer it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (asking := [t for t in alive() if t.name == "callboard-app"]):
            await asyncio.sleep(0)
    for thread in asking:
        await asyncio.to_thread(thread.join, PATIENCE_SECONDS)


def alive() -> list[threading.Thread]:
    """Return the threads that have begun; others cannot be joined."""
    return [thread for thread in threading.enumerate() if thread.is_alive()]


def quiet_worker(**options: Any) -> Worker:
    worker = Worker(**{"id": "w1", **options})
    worker.task("work")(lambda: None)
    return worker


async def test_a_worker_with_a_token_needs_no_secret() -> None:
    endpoint = Endpoint()
    async with scripted_scheduler(pages=[endpoint.page]) as scheduler:
        worker = quiet_worker()
        given = token()
        base = f"http://127.0.0.1:{scheduler.port}"
        serving = asyncio.create_task(worker.serve(base, token=given))
        hello = await scheduler.hear(wire.Hello)
        assert hello.token == given
        assert endpoint.asked == [f"Bearer {given}"]
        worker.drain(0.0)
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


async def test_an_endpoint_that_fails_is_asked_again() -> None:
    endpoint = Endpoint()
    endpoint.answers = [Response(503, b"not now"), Response(503, b"not now")]
    async with scripted_scheduler(pages=[endpoint.page]) as scheduler:
        worker = quiet_worker()
        base = f"http://127.0.0.1:{scheduler.port}"
        serving = asyncio.create_task(worker.serve(base, token=token()))
        await scheduler.hear(wire.Hello)
        assert len(endpoint.asked) == 3
        worker.drain(0.0)
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


async def test_an_endpoint_that_says_no_ends_the_worker_with_its_words() -> None:
    endpoint = Endpoint()
    endpoint.answers = [Response(403, b"Token refused, expired")]
    async with scripted_scheduler(pages=[endpoint.page]) as scheduler:
        base = f"http://127.0.0.1:{scheduler.port}"
        with pytest.raises(WorkerRefused, match=r"answered 403: Token refused, expired") as caught:
            await asyncio.wait_for(quiet_worker().serve(base, token=token()), PATIENCE_SECONDS)
        assert isinstance(caught.value.__cause__, SubscriptionError)


async def test_whoever_has_the_wrong_secret_is_asked_first_whether_it_is_right() -> None:
    async with scripted_scheduler() as scheduler:
        url = scheduler.url.replace("secret", "wrong")
        for foreign in (False, True):
            with pytest.raises(WorkerRefused) as caught:
                await asyncio.wait_for(quiet_worker().serve(url, foreign=foreign), PATIENCE_SECONDS)
            assert caught.value.reason.startswith("is the secret of app key 'key' right?")


async def test_a_url_that_names_another_app_than_the_key_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scripted_scheduler() as scheduler:
        right = scheduler.url
        for url, faults in ((right.replace("/apps/1", "/apps/2"), 1), (right, 0)):
            caplog.clear()
            worker = quiet_worker()
            serving = asyncio.create_task(worker.serve(url))
            await scheduler.hear(wire.Hello)
            await asked_for_the_app()
            said = [each for each in caplog.records if each.name == "callboard_scheduler.worker"]
            assert len(said) == faults
            worker.drain(0.0)
            await asyncio.wait_for(serving, PATIENCE_SECONDS)
            if faults:
                text = said[0].getMessage()
                assert "names app '2', but " in text
                assert "404, Unknown app_id: '2'" in text
                assert "it serves the app of key 'key'" in text
                assert "secret" not in text


async def test_an_address_that_takes_nothing_but_websockets_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.close()

        answering = threading.Thread(target=hang_up)
        answering.start()
        credentials = Credentials(f"http://127.0.0.1:{port}", "1", "key", "secret")
        asking = check_app(credentials, WORKER, lambda: NOW)
        for thread in (asking, answering):
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert caplog.records == []


# Large values


class Blobs:
    """The pages of large values."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.faults: list[Response] = []

    async def answer(self, request: Request) -> Response:
        if self.faults:
            return self.faults.pop(0)
        if request.method == "PUT":
            self.kept[request.target.decode()] = request.body
            return Response(200, b"{}")
        found = self.kept.get(request.target.decode())
        return Response(404, b"no such value\n") if found is None else Response(200, found)

    @property
    def page(self) -> Page:
        return Page("/sched/blobs/", ("GET", "PUT"), 1 << 20, self.answer)


LARGE = "x" * 80_000
REF = "/sched/blobs/t1?signature=a%2Bb"


async def with_blobs(blobs: Blobs, use: Callable[[Any, Worker], Any]) -> None:
    async with scripted_scheduler(pages=[blobs.page]) as scheduler:
        worker = Worker(id="w1", slots=4)

        @worker.task("length")
        async def length(text: str) -> int:
            return len(text)

        @worker.task("echo")
        async def echo(text: str) -> str:
            return text

        serving = asyncio.create_task(worker.serve(scheduler.url))
        await scheduler.hear(wire.Hello)
        await use(scheduler, worker)
        worker.drain(0.0)
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


async def test_large_arguments_are_fetched_where_they_are() -> None:
    blobs = Blobs()
    blobs.kept[REF] = msgspec.json.encode({"text": LARGE})
    blobs.faults = [Response(503, b"not now")]

    async def use(scheduler: Any, worker: Worker) -> None:
        given = scheduler.assign("length", args="null", ref=REF)
        result = await scheduler.hear(wire.Result, f=given.f)
        assert msgspec.json.decode(result.val) == 80_000

    await with_blobs(blobs, use)


async def test_arguments_that_are_not_there_fail_the_try() -> None:
    async def use(scheduler: Any, worker: Worker) -> None:
        given = scheduler.assign("length", ref=REF)
        result = await scheduler.hear(wire.Result, f=given.f)
        assert (result.err.type, result.err.retry) == ("ValueUnavailable", True)
        assert "cannot GET a large value at /sched/blobs/t1: it answered 404" in result.err.msg
        # A signed path is as good as a password.
        assert "signature" not in result.err.msg

    await with_blobs(Blobs(), use)


async def test_a_task_that_is_cancelled_while_its_arguments_are_fetched_never_begins() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        asked.set()
        await go_on.wait()
        return Response(200, b'{"text":"late"}')

    page = Page("/sched/blobs/", ("GET",), 1 << 20, answer)
    async with scripted_scheduler(pages=[page]) as scheduler:
        worker = Worker(id="w1")
        begun: list[object] = []
        worker.task("work")(begun.append)
        serving = asyncio.create_task(worker.serve(scheduler.url))
        await scheduler.hear(wire.Hello)
        given = scheduler.assign("work", ref=REF)
        await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
        scheduler.revoke(given)
        await scheduler.hear(wire.Released, f=given.f)
        go_on.set()
        worker.drain(0.0)
        await asyncio.wait_for(serving, PATIENCE_SECONDS)
        assert begun == []


async def test_large_results_are_put_where_the_scheduler_wants_them_and_small_ones_are_not() -> (
    None
):
    blobs = Blobs()

    async def use(scheduler: Any, worker: Worker) -> None:
        small = scheduler.assign("echo", '{"text":"short"}', put_url=REF)
        result = await scheduler.hear(wire.Result, f=small.f)
        assert (msgspec.json.decode(result.val), result.ref) == ("short", False)
        large = scheduler.assign("echo", f'{{"text":"{LARGE}"}}', put_url=REF)
        result = await scheduler.hear(wire.Result, f=large.f)
        assert (result.val, result.ref) == (None, True)
        assert msgspec.json.decode(blobs.kept[REF]) == LARGE

    await with_blobs(blobs, use)


async def test_a_large_result_without_a_place_for_it_fails_the_task_for_good() -> None:
    async def use(scheduler: Any, worker: Worker) -> None:
        given = scheduler.assign("echo", f'["{LARGE}"]')
        scheduler.limits = wire.Limits(bytes=9_500, rate=200)
        scheduler.say(wire.Resync())
        await scheduler.hear(wire.Hello)
        await scheduler.hear(wire.Result, f=given.f)
        given = scheduler.assign("echo", f'["{LARGE}"]')
        result = await scheduler.hear(wire.Result, f=given.f)
        assert (result.err.type, result.err.retry) == ("TooLarge", False)

    await with_blobs(Blobs(), use)


# Elsewhere


async def test_on_a_foreign_service_a_worker_is_present_in_its_pool() -> None:
    app = AppSettings(id="1", key="key", secret="secret", client_events=True)
    with BackgroundServer(Settings(port=0, apps=(app,))) as server:
        authorizer = SecretAuthorizer(app.key, app.secret, {"user_id": "scheduler"})
        async with Client(app.key, port=server.port, authorizer=authorizer) as client:
            own = await client.subscribe(WORKER)
            pool = client.channel(POOL)
            joined: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            pool.bind("pusher:member_added", lambda event: joined.set_result(event.data))
            await client.subscribe(POOL)
            worker = quiet_worker(labels={"gpu": True})
            url = f"http://key:secret@127.0.0.1:{server.port}/apps/1"
            serving = asyncio.create_task(worker.serve(url, foreign=True))
            hello = wire.decode_up((await own.get(PATIENCE_SECONDS)).data).m[0]
            assert isinstance(hello, wire.Hello)
            member = msgspec.json.decode(await asyncio.wait_for(joined, PATIENCE_SECONDS))
            assert (hello.w, member["user_id"]) == ("w1", "w1")
            assert member["user_info"]["labels"] == {"gpu": True}
            worker.drain(0.0)
            await asyncio.wait_for(serving, PATIENCE_SECONDS)
