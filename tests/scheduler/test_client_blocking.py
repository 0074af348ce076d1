"""The client for programs without a loop: it blocks, shares a thread, and leaves nothing behind."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from callboard_scheduler import (
    AsyncClient,
    AsyncTask,
    Client,
    NotFound,
    Progress,
    StateChanged,
    Task,
    TaskFailed,
)
from callboard_scheduler.client.async_schedules import AsyncSchedules
from callboard_scheduler.client.blocking import Schedules
from callboard_scheduler.client.loop_thread import LoopThread
from support.fake_scheduler import FakeScheduler

Scheduler = LoopThread[FakeScheduler]


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """A scheduler on a thread of its own, because this test's thread is what blocks."""
    thread = LoopThread("fake-scheduler", FakeScheduler)
    yield thread
    thread.close()


def url_of(scheduler: Scheduler) -> str:
    async def url(fake: FakeScheduler) -> str:
        return fake.url

    return scheduler.run(url)


@pytest.fixture
def client(scheduler: Scheduler) -> Iterator[Client]:
    with Client(url_of(scheduler)) as client:
        yield client


def test_a_result_is_waited_for(scheduler: Scheduler, client: Client) -> None:
    task = client.submit("thumbnail", {"url": "a"}, priority=1)
    assert (task.id, task.state) == ("t1", "ready")

    async def finish(fake: FakeScheduler) -> None:
        await fake.watched("t1")
        await fake.finish("t1", result={"width": 64})

    with ThreadPoolExecutor() as others:
        finishing = others.submit(scheduler.run, finish)
        assert task.result(timeout=30) == {"width": 64}
        finishing.result()
    assert task.state == "succeeded"
    assert task.record["priority"] == 1


def test_progress_is_a_plain_iterator(scheduler: Scheduler, client: Client) -> None:
    task = client.submit("thumbnail")

    async def work(fake: FakeScheduler) -> None:
        await fake.until(lambda: fake.requests("GET", "tasks/t1") == 2)
        await fake.announce("t1", "progress", {"pct": 50, "msg": "half"})
        await fake.finish("t1", "dead", progress={"pct": 50, "msg": "half"}, error={"type": "E"})

    with ThreadPoolExecutor() as others:
        working = others.submit(scheduler.run, work)
        assert list(task.progress()) == [Progress(50, "half")]
        working.result()
    with pytest.raises(TaskFailed, match=r"task t1 \(thumbnail\) failed: E"):
        task.result()


def test_an_iteration_that_is_given_up_leaves_the_feed(
    scheduler: Scheduler, client: Client
) -> None:
    task = client.submit("thumbnail")

    async def run(fake: FakeScheduler) -> None:
        await fake.until(lambda: fake.requests("GET", "tasks/t1") == 2)
        await fake.state("t1", "running", attempt=1, worker="w1")

    with ThreadPoolExecutor() as others:
        running = others.submit(scheduler.run, run)
        for update in task.updates():
            if update == StateChanged("running", 1, "w1"):
                break
        running.result()
    scheduler.run(lambda fake: fake.until(lambda: not fake.watching))


def test_every_call_has_its_blocking_twin(client: Client) -> None:
    first, second = client.submit_many([{"name": "a"}, {"name": "b"}])
    assert [task.id for task in client.list(page_size=1)] == [second.id, first.id]
    assert client.get(first.id).record == first.refresh().record
    assert client.update(first.id, priority=3).move("w1").update(priority=4).id == first.id
    assert client.move(first.id, labels={"gpu": True}).why() == client.why(first.id)
    assert client.cancel(first.id).requeue().cancel().state == "cancelled"
    assert client.requeue(first.id).state == "ready"
    client.schedules.put("s", every_ms=1_000, task={"name": "a"})
    assert client.schedules.pause("s")["paused"]
    assert not client.schedules.resume("s")["paused"]
    assert client.schedules.list() == [client.schedules.get("s")]
    assert len(client.schedules.preview("s", 2)) == 2
    client.schedules.delete("s")
    client.pause_queue("mail")
    assert client.queues() == [{"name": "mail", "paused": True}]
    client.resume_queue("mail")
    assert client.queues() == client.workers() == []
    assert client.token(watch=["t1"]).startswith("sched-key.")
    with pytest.raises(NotFound):
        client.get("nothing")


@pytest.mark.parametrize(
    ("blocking", "twin"), [(Client, AsyncClient), (Task, AsyncTask), (Schedules, AsyncSchedules)]
)
def test_both_clients_take_the_same(blocking: type, twin: type) -> None:
    def calls(cls: type) -> dict[str, inspect.Signature]:
        return {
            name: inspect.signature(member).replace(return_annotation=None)
            for name, member in vars(cls).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }

    theirs = calls(blocking)
    closes = theirs.pop("close", None)
    assert (closes is not None) == (blocking is Client)
    assert theirs == calls(twin)
    assert all(getattr(blocking, name).__doc__ == getattr(twin, name).__doc__ for name in theirs)


def test_threads_share_a_client(scheduler: Scheduler, client: Client) -> None:
    async def finish_twenty(fake: FakeScheduler) -> None:
        for n in range(1, 21):
            await fake.watched(f"t{n}")
            await fake.finish(f"t{n}", result=f"result of t{n}")

    def submit_and_wait(_: int) -> bool:
        task = client.submit("echo")
        return bool(task.result(30) == f"result of {task.id}")

    with ThreadPoolExecutor(20) as pool, ThreadPoolExecutor() as others:
        finishing = others.submit(scheduler.run, finish_twenty)
        assert all(pool.map(submit_and_wait, range(20)))
        finishing.result()
        assert sum(thread.name == "callboard-client" for thread in threading.enumerate()) == 1


def test_ctrl_c_ends_the_waiting_and_only_that(scheduler: Scheduler, client: Client) -> None:
    task = client.submit("thumbnail")
    main = threading.main_thread().ident
    assert main is not None

    async def interrupt(fake: FakeScheduler) -> None:
        await fake.watched("t1")
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor() as others:
        interrupting = others.submit(scheduler.run, interrupt)
        with pytest.raises(KeyboardInterrupt):
            task.result()
            interrupting.result()
    scheduler.run(lambda fake: fake.until(lambda: not fake.watching))
    assert task.refresh().state == "ready"


def test_no_thread_is_started_before_the_first_call_and_none_is_left(scheduler: Scheduler) -> None:
    url = url_of(scheduler)
    before = set(threading.enumerate())
    client = Client(url)
    assert client.token(worker="w1")
    assert set(threading.enumerate()) <= before
    client.workers()
    assert len(set(threading.enumerate()) - before) == 1
    client.close()
    client.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.workers()


def test_a_client_that_is_dropped_closes_itself(scheduler: Scheduler) -> None:
    url = url_of(scheduler)
    before = set(threading.enumerate())
    client = Client(url)
    client.workers()
    del client
    assert set(threading.enumerate()) <= before


def test_what_a_client_has_given_works_without_a_name_for_the_client(scheduler: Scheduler) -> None:
    url = url_of(scheduler)
    task = Client(url).submit("thumbnail")
    assert task.refresh().state == "ready"
    assert [each.id for each in Client(url).list()] == [task.id]
    assert Client(url).schedules.list() == []
    del task
    assert "callboard-client" not in {thread.name for thread in threading.enumerate()}


def test_a_wrong_url_is_an_error_of_the_line_that_has_it() -> None:
    with pytest.raises(ValueError, match="API URL without http or https"):
        Client("127.0.0.1:6001")
    assert repr(Client("http://k:s3cret@h/apps/1")) == "<Client http://h/apps/1>"


PROGRAM = """
import os, sys
from callboard_scheduler import Client
client = Client(sys.argv[1])
client.submit("before")
"""

FORKING = """
pid = os.fork()
client.submit("behind")
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("more", ["", FORKING, "client.get('t1').updates().__next__()"])
def test_a_program_may_end_or_fork_without_closing(scheduler: Scheduler, more: str) -> None:
    # Not the whole development mode: its loops complain of a machine that is slow.
    command = [sys.executable, "-W", "default", "-c", PROGRAM + more, url_of(scheduler)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=environment
    )
    assert (ended.returncode, ended.stderr) == (0, "")

    async def submitted(fake: FakeScheduler) -> int:
        return len(fake.records)

    assert scheduler.run(submitted) == (3 if more is FORKING else 1)
