"""SAQ over Redis, ten tasks at a time in one process.

It looks once a minute for tasks that are above their time, ten seconds by default, and aborts
those that may not be retried.
"""

from __future__ import annotations

from typing import Final

from callboard_bench.scheduler.peers.programs.program import (
    PEER_PROBE,
    SEVERAL_AT_ONCE,
    TASKS,
    Program,
)

_TASKS: Final = (
    PEER_PROBE
    + """
import asyncio

from saq import Queue

queue = Queue.from_url(os.environ["BENCH_BROKER"])


async def noop(ctx, *, number):
    mark(number)


async def hold(ctx, *, number):
    if first(number):
        await asyncio.sleep(3600)


settings = {"queue": queue, "functions": [noop, hold], "concurrency": 10}
connect, disconnect = queue.connect, queue.disconnect


async def submit(name, number):
    await queue.enqueue(name, number=number, retries=3)
"""
)

PROGRAM: Final = Program(
    name="saq",
    requirements=("saq[redis,hiredis]>=0.26,<1", "typing-extensions"),
    tasks=_TASKS,
    producer=SEVERAL_AT_ONCE,
    worker=("saq", f"{TASKS}.settings"),
    concurrency="concurrency 10",
    recovery="retries=3",
)
