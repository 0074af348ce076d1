"""taskiq over a Redis stream, ten tasks at a time in one process."""

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

from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["BENCH_BROKER"])


@broker.task
async def noop(number: int) -> None:
    mark(number)


@broker.task
async def hold(number: int) -> None:
    if first(number):
        await asyncio.sleep(3600)


connect, disconnect = broker.startup, broker.shutdown


async def submit(name, number):
    await {"noop": noop, "hold": hold}[name].kiq(number)
"""
)

PROGRAM: Final = Program(
    name="taskiq",
    requirements=("taskiq>=0.12,<1", "taskiq-redis>=1.1,<2"),
    tasks=_TASKS,
    producer=SEVERAL_AT_ONCE,
    worker=(
        *("taskiq", "worker", f"{TASKS}:broker", "-w", "1"),
        *("--max-async-tasks", "10", "--log-level", "WARNING"),
    ),
    concurrency="10 at a time",
    recovery="its defaults",
)
