"""Huey over Redis, with ten threads. It takes a task off its list before it runs it."""

from __future__ import annotations

from typing import Final

from callboard_bench.scheduler.peers.programs.program import (
    ONE_BY_ONE,
    PEER_PROBE,
    TASKS,
    Program,
)

_TASKS: Final = (
    PEER_PROBE
    + """
from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_BROKER"], results=False)


@huey.task(retries=2)
def noop(number):
    mark(number)


@huey.task(retries=2)
def hold(number):
    if first(number):
        time.sleep(3600)


def submit(name, number):
    {"noop": noop, "hold": hold}[name](number)
"""
)

PROGRAM: Final = Program(
    name="huey",
    requirements=("huey>=3,<4", "redis"),
    tasks=_TASKS,
    producer=ONE_BY_ONE,
    worker=("huey_consumer", f"{TASKS}.huey", "-w", "10", "-k", "thread", "-q"),
    concurrency="10 threads",
    recovery="retries=2",
)
