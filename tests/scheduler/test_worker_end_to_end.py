"""Python workers, the real scheduler in a server, and a client: each is the others' proof."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from callboard.scheduling import Scheduling
from callboard_scheduler import AsyncClient, Context, Retry, TaskCancelled, TaskFailed, Worker
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.client.updates import LogLine, Progress
from callboard_scheduler.stores.memory import MemoryStore
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings
from support.scripted_scheduler import PATIENCE_SECONDS

APP = AppSettings(id="1", key="key", secret="secret")


class Service:
    """A server with a scheduler, which can be started again on its port with what it knew."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self._port = 0
        self._server: Server | None = None
        self._stack = AsyncExitStack()
        self._workers: dict[str, tuple[Worker, asyncio.Task[None]]] = {}
        self.client: AsyncClient

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"http://{APP.key}:{APP.secret}@127.0.0.1:{self._port}/apps/{APP.id}"

    async def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        extension = Scheduling(lambda: self._store)
        self._server = Server(Settings(apps=(APP,)), [listener], extensions=[extension])
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0.0)

    async def open(self) -> None:
        await self.start()
        self.client = await self._stack.enter_async_context(AsyncClient(self.url))

    async def close(self) -> None:
        for worker_id in list(self._workers):
            await self.end(worker_id)
        await self._stack.aclose()
        await self.stop()

    async def run(self, worker: Worker, url: str | None = None, **options: Any) -> str:
        """Let a worker serve until the end of the test; return its id once it is welcomed."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            worker.serve(url or self.url, on_ready=ready.set_result, **options)
        )
        done, _ = await asyncio.wait(
            (serving, ready), timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if serving in done:
            serving.result()
        worker_id = ready.result()
        self._workers[worker_id] = (worker, serving)
        return worker_id

    async def end(self, worker_id: str) -> None:
        worker, serving = self._workers.pop(worker_id)
        worker.drain(0.0)
        await asyncio.wait_for(serving, PATIENCE_SECONDS)

    async def submit(self, name: str, *args: Any, **options: Any) -> AsyncTask:
        return await self.client.submit(name, list(args), **options)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    await service.open()
    yield service
    await service.close()


async def happened(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)


async def test_a_task_runs_and_is_seen_live_from_progress_to_result(service: Service) -> None:
    worker = Worker(slots=2)
    watched = asyncio.Event()

    @worker.task("count")
    async def count(ctx: Context, to: int) -> dict[str, int]:
        await watched.wait()
        await ctx.progress(50, "half")
        await ctx.log("nearly there")
        return {"counted": to}

    await service.run(worker)
    task = await service.submit("count", 3)
    seen = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for update in task.updates():
            watched.set()
            seen.append(update)
    assert any(isinstance(each, Progress) and each.message == "half" for each in seen)
    assert any(isinstance(each, LogLine) and each.text == "nearly there" for each in seen)
    assert await task.result(PATIENCE_SECONDS) == {"counted": 3}


async def test_a_hundred_tasks_at_once_each_run_once(service: Service) -> None:
    ran: list[int] = []
    for slots in (1, 8):
        worker = Worker(slots=slots)

        @worker.task("note")
        async def note(number: int) -> int:
            ran.append(number)
            return number

        await service.run(worker)
    tasks = await service.client.submit_many([{"name": "note", "args": [n]} for n in range(100)])
    found = await asyncio.gather(*(task.result(PATIENCE_SECONDS) for task in tasks))
    assert found == list(range(100))
    assert sorted(ran) == list(range(100))


async def test_a_worker_whose_loop_is_blocked_keeps_no_task_from_the_others(
    service: Service,
) -> None:
    begun, let_go = threading.Event(), threading.Event()
    blocked = Worker(id="blocked", slots=4)

    @blocked.task("block")
    async def block() -> None:
        begun.set()
        let_go.wait()

    @blocked.task("name")
    async def name_blocked() -> str:
        return "blocked"

    thread = threading.Thread(target=blocked.run, args=(service.url,))
    thread.start()
    try:
        blocks = await service.submit("block")
        assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        other = Worker(id="other", slots=1)

        @other.task("name")
        async def name_other() -> str:
            return "other"

        await service.run(other)
        tasks = await service.client.submit_many([{"name": "name"} for _ in range(12)])
        found = await asyncio.gather(*(task.result(PATIENCE_SECONDS) for task in tasks))
        assert found == ["other"] * 12
        records = {record["id"]: record for record in await service.client.workers()}
        assert records["blocked"]["free"] == 0
        let_go.set()
        await blocks.result(PATIENCE_SECONDS)
    finally:
        let_go.set()
        blocked.drain(0.0)
        await asyncio.to_thread(thread.join)


async def test_wrong_arguments_end_the_task_at_its_first_try(service: Service) -> None:
    worker = Worker()

    @worker.task("resize")
    def resize(width: int) -> None: ...

    await service.run(worker)
    task = await service.client.submit("resize", {"width": "wide"})
    with pytest.raises(TaskFailed, match="argument 'width': expected int, got str"):
        await task.result(PATIENCE_SECONDS)
    assert len((await task.refresh()).record["attempts"]) == 1


async def test_a_function_decides_when_it_is_tried_again(service: Service) -> None:
    worker = Worker()

    @worker.task("flaky")
    async def flaky(ctx: Context) -> int:
        if ctx.attempt < 3:
            await ctx.checkpoint(ctx.attempt)
            raise Retry("not yet", after_ms=1)
        return int(ctx.last_checkpoint)

    await service.run(worker)
    task = await service.submit("flaky")
    assert await task.result(PATIENCE_SECONDS) == 2


async def test_a_cancelled_coroutine_and_a_thread_that_looks_are_cancelled(
    service: Service,
) -> None:
    worker = Worker(slots=2)
    begun = [asyncio.Event(), asyncio.Event()]
    loop = asyncio.get_running_loop()

    @worker.task("coroutine")
    async def coroutine() -> None:
        begun[0].set()
        await asyncio.Event().wait()

    @worker.task("thread")
    def thread(ctx: Context) -> None:
        loop.call_soon_threadsafe(begun[1].set)
        ctx.wait_cancelled()
        ctx.raise_if_cancelled()

    await service.run(worker)
    for name, event in zip(("coroutine", "thread"), begun, strict=True):
        task = await service.submit(name)
        await happened(event)
        await task.cancel()
        with pytest.raises(TaskCancelled):
            await task.result(PATIENCE_SECONDS)


async def test_a_thread_that_does_not_look_is_cancelled_and_its_slot_stays_taken(
    service: Service,
) -> None:
    worker = Worker(slots=1)
    begun, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @worker.task("stubborn")
    def stubborn() -> None:
        loop.call_soon_threadsafe(begun.set)
        let_go.wait()

    @worker.task("next")
    async def following() -> bool:
        return let_go.is_set()

    worker_id = await service.run(worker)
    try:
        task = await service.submit("stubborn")
        await happened(begun)
        await task.cancel()
        with pytest.raises(TaskCancelled):
            await task.result(PATIENCE_SECONDS)
        (record,) = await service.client.workers()
        assert (record["id"], record["free"]) == (worker_id, 0)
        waiting = await service.submit("next")
    finally:
        let_go.set()
    assert await waiting.result(PATIENCE_SECONDS) is True


async def test_a_running_task_moves_and_goes_on_from_its_checkpoint(service: Service) -> None:
    begun = asyncio.Event()
    for name in ("from", "to"):
        worker = Worker(id=name)

        @worker.task("pages")
        async def pages(ctx: Context, here: str = name) -> Any:
            if ctx.last_checkpoint is not None:
                return ctx.last_checkpoint
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                ctx.checkpoint({"page": 7, "reason": ctx.cancel_reason})

        await service.run(worker)
    task = await service.client.submit("pages", {}, target={"worker": "from"})
    await happened(begun)
    await task.move("to")
    assert await task.result(PATIENCE_SECONDS) == {"page": 7, "reason": "moved"}
    attempts = (await task.refresh()).record["attempts"]
    assert [attempt["worker"] for attempt in attempts] == ["from", "to"]


async def test_large_arguments_and_results_take_the_way_over_http(service: Service) -> None:
    worker = Worker()

    @worker.task("double")
    async def double(text: str) -> str:
        return text + text

    await service.run(worker)
    task = await service.submit("double", "x" * 200_000)
    assert await task.result(PATIENCE_SECONDS) == "x" * 400_000


async def test_a_token_makes_a_worker_of_those_queues_only(service: Service) -> None:
    worker = Worker(id="guest", queues=["open", "closed"])

    @worker.task("where")
    async def where() -> str:
        return "here"

    token = service.client.token(worker="guest", queues=["open"])
    await service.run(worker, service.base, token=token)
    (record,) = await service.client.workers()
    assert (record["id"], record["queues"]) == ("guest", ["open"])
    task = await service.submit("where", queue="open")
    assert await task.result(PATIENCE_SECONDS) == "here"


async def test_a_worker_that_leaves_hands_its_task_to_another(service: Service) -> None:
    begun = asyncio.Event()
    for name in ("first", "second"):
        worker = Worker(id=name)

        @worker.task("work")
        async def work(ctx: Context, here: str = name) -> str:
            if ctx.attempt == 1:
                begun.set()
                await asyncio.Event().wait()
            return here

        await service.run(worker)
        if name == "first":
            task = await service.submit("work")
            await happened(begun)
    await service.end("first")
    assert await task.result(PATIENCE_SECONDS) == "second"


async def test_a_task_goes_on_while_its_server_is_started_again(service: Service) -> None:
    worker = Worker(resume=True)
    begun, go_on = asyncio.Event(), asyncio.Event()
    attempts = []

    @worker.task("work")
    async def work(ctx: Context) -> str:
        attempts.append(ctx.attempt)
        begun.set()
        await go_on.wait()
        return "finished"

    await service.run(worker)
    task = await service.submit("work")
    await happened(begun)
    await service.stop()
    await service.start()
    go_on.set()
    assert await task.result(PATIENCE_SECONDS) == "finished"
    assert attempts == [1]
