"""arq over Redis, ten tasks at a time in one process. It polls twice a second, by default."""

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

from arq import create_pool
from arq.connections import RedisSettings

redis = RedisSettings.from_dsn(os.environ["BENCH_BROKER"])
quiet = {"version": 1, "loggers": {"arq": {"level": "WARNING"}}}


async def noop(ctx, number):
    mark(number)


async def hold(ctx, number):
    if first(number):
        await asyncio.sleep(3600)


class WorkerSettings:
    functions = [noop, hold]
    redis_settings = redis
    keep_result = 0


async def connect():
    global pool
    pool = await create_pool(redis)


async def disconnect():
    await pool.aclose()


async def submit(name, number):
    await pool.enqueue_job(name, number)
"""
)

PROGRAM: Final = Program(
    name="arq",
    requirements=("arq>=0.26,<1",),
    tasks=_TASKS,
    producer=SEVERAL_AT_ONCE,
    worker=("arq", f"{TASKS}.WorkerSettings", "--custom-log-dict", f"{TASKS}.quiet"),
    concurrency="10 at a time",
    recovery="its defaults",
)
