"""The second part: tasks, a worker that is killed, and a task that is moved while it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from callboard.demo.processes import WAIT_SECONDS, Processes
from callboard.demo.screen import watch
from callboard_scheduler import AsyncClient, AsyncTask
from callboard_scheduler.client.async_schedules import Records
from callboard_scheduler.client.updates import Ended, StateChanged

WORKERS: Final = ("ada", "bob", "cleo")
_SCENES: Final = ("harbour", "attic", "market", "bridge", "garden", "cellar", "tower", "stage")
_STEPS: Final = 20
_LONG_STEPS: Final = 40


class _Follower:
    """Follows one task and knows since when it ran where."""

    def __init__(self, task: AsyncTask) -> None:
        self.task = task
        self.ended: Ended | None = None
        #: Worker to when it was first heard running there, by the monotonic clock in seconds.
        self.running: dict[str, float] = {}
        self.changed = asyncio.Event()

    async def follow(self) -> None:
        """Follow it to its end."""
        async for update in self.task.updates():
            match update:
                case StateChanged("running", _, str(worker)):
                    self.running.setdefault(worker, _now())
                case Ended():
                    self.ended = update
            self.changed.set()

    async def until(self, true: Callable[[_Follower], bool], what: str) -> None:
        """Wait until it is as it shall be.

        Raises:
            TimeoutError: it did not come about; the text has ``what``.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not true(self):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise TimeoutError(f"within {WAIT_SECONDS:.0f} s {what} did not come about") from None


@asynccontextmanager
async def _followed(follower: _Follower) -> AsyncIterator[None]:
    """Follow a task to its end, which is behind the block."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.follow())
            yield
    except ExceptionGroup as errors:
        # A step that did not come about is told as what it is.
        raise errors.exceptions[0] from None


async def show_tasks(processes: Processes) -> None:
    """Show them.

    Raises:
        TimeoutError, RuntimeError: a step did not come about.
    """
    began = _now()
    async with AsyncClient(processes.url) as client:
        await _start_workers(processes, client)
        done = await _run_a_batch(client)
        done += [await _kill_a_worker(processes, client), await _move_a_task(client)]
        _sum_up(done, _now() - began)


async def _start_workers(processes: Processes, client: AsyncClient) -> None:
    for name in WORKERS:
        await processes.start_worker(name)
    workers = await _all_there(client)
    slots = sum(worker["slots"] for worker in workers)
    print(f"Three worker processes have said hello: {', '.join(WORKERS)}, {slots} slots\n")


async def _all_there(client: AsyncClient) -> Records:
    """Return the workers once all have said hello."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            workers = await client.workers()
            if len(workers) == len(WORKERS):
                return workers
            await asyncio.sleep(0.02)


async def _run_a_batch(client: AsyncClient) -> list[Ended]:
    tasks = await client.submit_many(
        {"name": "render", "args": {"scene": scene, "steps": _STEPS}} for scene in _SCENES
    )
    print(f"1. A batch of {len(tasks)} tasks, more than there are slots:")
    return [_succeeded(ended) for ended in await watch(dict(zip(_SCENES, tasks, strict=True)))]


async def _kill_a_worker(processes: Processes, client: AsyncClient) -> Ended:
    follower, victim = await _running_task(client, "storm", _LONG_STEPS)
    async with _followed(follower):
        await follower.until(lambda each: victim in each.running, "its start")
        await asyncio.sleep(0.5)
        killed = _now()
        await processes.kill_worker(victim)
        await follower.until(lambda each: len(each.running) > 1, "its start elsewhere")
        new = next(worker for worker in follower.running if worker != victim)
        took = (follower.running[new] - killed) * 1000
        print(f"\n2. Worker {victim} was killed (SIGKILL) in the middle of «storm».")
        print(f"   It runs on {new} {took:.0f} ms later, seen from here.")
    return _ended(follower)


async def _move_a_task(client: AsyncClient) -> Ended:
    follower, old = await _running_task(client, "voyage", _LONG_STEPS)
    async with _followed(follower):
        await follower.until(lambda each: old in each.running, "its start")
        await asyncio.sleep(0.5)
        free = [worker["id"] for worker in await client.workers() if worker["id"] != old]
        asked = _now()
        await follower.task.move(free[0])
        await follower.until(lambda each: free[0] in each.running, "its move")
        took = (follower.running[free[0]] - asked) * 1000
        print(f"\n3. «voyage» was moved from {old} to {free[0]} while it ran: {took:.0f} ms,")
        print("   and carries on at the frame where it was.")
    return _ended(follower)


async def _running_task(client: AsyncClient, scene: str, steps: int) -> tuple[_Follower, str]:
    """Submit a task and return it once a worker runs it, and which."""
    task = await client.submit("render", {"scene": scene, "steps": steps})
    async with asyncio.timeout(WAIT_SECONDS):
        async for update in task.updates():
            match update:
                case StateChanged("running", _, str(worker)):
                    return _Follower(task), worker
    raise RuntimeError(f"«{scene}» never ran")


def _ended(follower: _Follower) -> Ended:
    if follower.ended is None:
        raise RuntimeError("nothing more was heard of a task")
    return _succeeded(follower.ended)


def _succeeded(ended: Ended) -> Ended:
    if ended.state != "succeeded":
        scene = ended.record["args"]["scene"]
        raise RuntimeError(f"«{scene}» is {ended.state}: {ended.record['error']}")
    return ended


def _sum_up(done: list[Ended], seconds: float) -> None:
    for ended in done:
        outcomes = [attempt["outcome"] for attempt in ended.record["attempts"]]
        if outcomes.count("succeeded") != 1:
            raise RuntimeError(f"a task finished not once but as {outcomes}")
    attempts = sum(len(ended.record["attempts"]) for ended in done)
    print(
        f"\n{len(done)} tasks succeeded in {attempts} attempts and {seconds:.0f} s; "
        "none was lost, each finished once:"
    )
    for record in (ended.record for ended in done[-2:]):
        way = " -> ".join(
            f"{attempt['worker']} ({attempt['outcome']})" for attempt in record["attempts"]
        )
        print(f"   «{record['args']['scene']}»: {way}")


def _now() -> float:
    return time.perf_counter()
