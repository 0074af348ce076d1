"""The calls of the asynchronous client, their answers and their errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from callboard_client.errors import ApiError
from callboard_scheduler import (
    AsyncClient,
    BacklogFull,
    Conflict,
    NoScheduler,
    NotFound,
    Refused,
    TaskClientError,
    Unauthorized,
    Unavailable,
    Unreachable,
    tokens,
)
from callboard_scheduler.client.errors import from_api
from callboard_scheduler.errors import BadToken, NoSuchSchedule, NoSuchTask, SchedulerError
from support.fake_scheduler import KEY, SECRET, FakeScheduler, Refusal

NOW = 1_900_000_000.0
AT = "http://127.0.0.1:1/apps/1"


@pytest.fixture
async def scheduler() -> AsyncIterator[FakeScheduler]:
    async with FakeScheduler() as scheduler:
        yield scheduler


@pytest.fixture
async def client(scheduler: FakeScheduler) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(scheduler.url, clock=lambda: NOW) as client:
        yield client


async def test_a_submitted_task_has_an_id_and_a_state(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit(
        "thumbnail", {"url": "a"}, queue="images", priority=5, retry={"max_attempts": 1}
    )
    assert (task.id, task.state, task.record) == ("t1", "ready", {})
    assert repr(task) == "<AsyncTask t1 ready>"
    assert scheduler.seen[-1] == (
        "POST",
        "tasks",
        {
            "name": "thumbnail",
            "args": {"url": "a"},
            "queue": "images",
            "priority": 5,
            "retry": {"max_attempts": 1},
        },
    )


async def test_more_than_a_thousand_are_submitted_in_several_calls_and_kept_in_order(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    tasks = await client.submit_many({"name": f"n{n}"} for n in range(2_001))
    assert [len(body["batch"]) for _, _, body in scheduler.seen] == [1_000, 1_000, 1]
    assert [scheduler.records[task.id]["name"] for task in tasks] == [f"n{n}" for n in range(2_001)]


async def test_nothing_is_submitted_for_nothing(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    assert await client.submit_many([]) == []
    assert not scheduler.seen


async def test_a_list_goes_over_all_pages(scheduler: FakeScheduler, client: AsyncClient) -> None:
    for n in range(5):
        scheduler.task(queue="a" if n % 2 else "b")
    listed = [task.id async for task in client.list(page_size=2)]
    assert listed == ["t5", "t4", "t3", "t2", "t1"]
    assert scheduler.requests("GET", "tasks") == 3
    chosen = [task async for task in client.list(queue="a", state="ready", name="thumbnail")]
    assert [task.id for task in chosen] == ["t4", "t2"]
    assert chosen[0].record == scheduler.records["t4"]


async def test_a_list_that_is_not_read_to_its_end_asks_for_no_more_pages(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    for _ in range(5):
        scheduler.task()
    async for _task in client.list(page_size=2):
        break
    assert scheduler.requests("GET", "tasks") == 1


async def test_a_task_can_be_changed_by_id_or_by_itself(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")
    await client.update(task.id, priority=9)
    await task.update(delay_ms=0)
    await client.move(task.id, "w2")
    await task.move(labels={"gpu": True})
    await client.move(task.id)
    assert [body for _, path, body in scheduler.seen[1:]] == [
        {"priority": 9},
        {"delay_ms": 0},
        {"target": {"worker": "w2"}},
        {"target": {"labels": {"gpu": True}}},
        {"target": None},
    ]
    cancelled = await client.cancel(task.id)
    assert cancelled.state == "cancelled"
    assert cancelled.record == scheduler.records[task.id]
    assert (await task.requeue()).state == "ready"
    assert (await task.cancel()).state == "cancelled"
    assert (await client.requeue(task.id)).state == "ready"
    assert await client.why(task.id) == await task.why() == scheduler.reasons


async def test_an_id_is_one_segment_whatever_is_in_it(client: AsyncClient) -> None:
    with pytest.raises(NotFound, match=r"Unknown task: 'a/\.\./b%'"):
        await client.get("a/../b%")


async def test_schedules_are_put_looked_up_and_removed(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    put = await client.schedules.put("nightly", cron="0 3 * * *", task={"name": "report"})
    assert put["task"] == {"name": "report"}
    assert await client.schedules.get("nightly") == put
    assert await client.schedules.list() == [put]
    assert (await client.schedules.pause("nightly"))["paused"] is True
    assert (await client.schedules.resume("nightly"))["paused"] is False
    assert len(await client.schedules.preview("nightly", 3)) == 3
    await client.schedules.delete("nightly")
    assert await client.schedules.list() == []
    with pytest.raises(NotFound):
        await client.schedules.get("nightly")


async def test_workers_and_queues(scheduler: FakeScheduler, client: AsyncClient) -> None:
    scheduler.workers = [{"id": "w1", "state": "idle", "slots": 4, "free": 4}]
    assert await client.workers() == scheduler.workers
    await client.pause_queue("mail")
    assert await client.queues() == [{"name": "mail", "paused": True}]
    await client.resume_queue("mail")
    assert await client.queues() == []


# Tokens


def test_a_token_for_a_worker_opens_that_workers_channel(scheduler: FakeScheduler) -> None:
    client = AsyncClient("http://k:s@127.0.0.1:1/apps/1", clock=lambda: NOW)
    token = client.token(worker="w1", queues=["mail"], names=["send"], ttl=60)
    grant = tokens.verify(token, "s", NOW + 59)
    assert isinstance(grant, tokens.WorkerGrant)
    assert (grant.worker, grant.queues, grant.task_names) == ("w1", ("mail",), ("send",))
    with pytest.raises(BadToken):
        tokens.verify(token, "s", NOW + 60)


@pytest.mark.parametrize(
    ("options", "tasks", "queues", "fleet"),
    [
        ({"watch": ["t1", "t2"]}, ("t1", "t2"), (), False),
        ({"watch": "*"}, ("*",), (), False),
        ({"queues": ["mail"], "fleet": True}, (), ("mail",), True),
    ],
)
def test_a_token_for_watching_opens_the_feeds_that_it_names(
    options: dict[str, Any], tasks: tuple[str, ...], queues: tuple[str, ...], fleet: bool
) -> None:
    client = AsyncClient("http://k:s@127.0.0.1:1/apps/1", clock=lambda: NOW)
    grant = tokens.verify(client.token(**options), "s", NOW)
    assert isinstance(grant, tokens.WatchGrant)
    assert (grant.tasks, grant.queues, grant.fleet) == (tasks, queues, fleet)


@pytest.mark.parametrize(
    "options", [{}, {"names": ["a"]}, {"worker": "w", "watch": "*"}, {"worker": "w", "fleet": True}]
)
def test_a_token_is_for_one_of_the_two(options: dict[str, Any]) -> None:
    client = AsyncClient("http://k:s@127.0.0.1:1/apps/1")
    with pytest.raises(ValueError, match=r"a token is for a worker .* or for watching"):
        client.token(**options)


# Errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (401, Unauthorized),
        (409, Conflict),
        (429, BacklogFull),
        (503, Unavailable),
    ],
)
async def test_a_refusal_is_the_error_of_its_status_with_the_schedulers_text(
    scheduler: FakeScheduler, client: AsyncClient, status: int, error: type[Refused]
) -> None:
    scheduler.refusal = Refusal(status, "priority: expected a number, got 'high'")
    for call in (client.submit("a"), client.workers(), client.schedules.delete("s")):
        with pytest.raises(error, match=r"^priority: expected a number, got 'high'$") as caught:
            await call
        assert type(caught.value) is error
        assert caught.value.status == status


@pytest.mark.parametrize("missing", [NoSuchTask("t1"), NoSuchSchedule("t1")])
async def test_what_is_not_there_is_told_from_a_scheduler_that_is_not_there(
    scheduler: FakeScheduler, client: AsyncClient, missing: SchedulerError
) -> None:
    scheduler.refusal = Refusal(404, str(missing))
    with pytest.raises(NotFound, match=r"^Unknown \w+: 't1'$"):
        await client.get("t1")
    at = scheduler.url.replace(f"{KEY}:{SECRET}@", "")
    for text in ("Unknown app_id: '7'", "Not found: /apps/7/tasks", "404: Not Found", "<html>\n"):
        scheduler.refusal = Refusal(404, text)
        with pytest.raises(NoScheduler) as caught:
            await client.get("t1")
        said = "refused with HTTP status 404 and a page" if text.startswith("<") else text
        assert str(caught.value).startswith(f"no scheduler at {at}: {said}")


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, "expected a JSON object, got 'hello'"), (301, ""), (501, "<!DOCTYPE HTML>\n<html>")],
)
def test_an_answer_that_no_scheduler_gives_is_nobodys(status: int, text: str) -> None:
    assert isinstance(from_api(ApiError(status, text), AT), NoScheduler)


def test_a_page_from_a_proxy_whose_scheduler_is_away_is_worth_another_try() -> None:
    away = from_api(ApiError(503, "<html>\n503 Service Unavailable"), AT)
    assert isinstance(away, Unavailable)
    assert "HTTP status 503 and a page" in str(away)


async def test_a_wrong_secret_is_the_first_thing_that_is_said(scheduler: FakeScheduler) -> None:
    async with AsyncClient(scheduler.url.replace(SECRET, "wrong-one"), clock=lambda: NOW) as client:
        with pytest.raises(
            Unauthorized, match=r"^is the secret right\? Invalid signature: "
        ) as caught:
            await client.workers()
    assert "wrong-one" not in str(caught.value)


async def test_other_refusals_of_who_asks_say_what_is_wrong(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.refusal = Refusal(401, "Unknown auth_key")
    with pytest.raises(Unauthorized, match=r"^is the key right\? Unknown auth_key$"):
        await client.workers()
    scheduler.refusal = Refusal(401, "Timestamp expired: Given timestamp")
    with pytest.raises(Unauthorized, match=r"^Timestamp expired"):
        await client.workers()


async def test_a_full_backlog_says_when_to_come_again(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.refusal = Refusal(429, "The backlog is full", **{"Retry-After": "3"})
    with pytest.raises(BacklogFull) as caught:
        await client.submit("a")
    assert caught.value.retry_after_seconds == 3


async def test_a_conflict_shows_what_the_task_is(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.task(id="t1", state="succeeded")
    with pytest.raises(Conflict, match=r"Task t1 has finished \(succeeded\)"):
        await client.cancel("t1")


async def test_a_service_that_is_not_there_is_named_without_the_secret() -> None:
    async with FakeScheduler() as scheduler:
        url = scheduler.url
    async with AsyncClient(url) as client:
        with pytest.raises(Unreachable, match=r"cannot reach http://127\.0\.0\.1:") as caught:
            await client.submit("a")
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


def test_every_error_is_one_of_the_package() -> None:
    for error in (from_api(ApiError(None, "gone"), AT), from_api(ApiError(418, ""), AT)):
        assert isinstance(error, TaskClientError)
        assert isinstance(error, SchedulerError)
    assert str(from_api(ApiError(418, ""), AT)) == "refused with HTTP status 418, without a reason"


def test_a_wrong_url_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="API URL without key and secret"):
        AsyncClient("http://127.0.0.1:6001/apps/1")


async def test_a_client_must_be_entered() -> None:
    with pytest.raises(RuntimeError, match="async with AsyncClient"):
        await AsyncClient("http://k:s@127.0.0.1:1/apps/1").submit("a")


def test_its_name_for_people_has_no_secret() -> None:
    client = AsyncClient("http://k:s3cret@127.0.0.1:1/apps/1")
    assert repr(client) == "<AsyncClient http://127.0.0.1:1/apps/1>"
