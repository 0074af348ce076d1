"""Dramatiq over Redis, with ten threads in one process.

It hands out again what a lost worker had, once that is missing for a minute and a thousandth of
its calls comes upon it: these are its defaults.
"""

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
import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_BROKER"]))


@dramatiq.actor
def noop(number):
    mark(number)


@dramatiq.actor
def hold(number):
    if first(number):
        time.sleep(3600)


def submit(name, number):
    {"noop": noop, "hold": hold}[name].send(number)
"""
)

PROGRAM: Final = Program(
    name="dramatiq",
    requirements=("dramatiq[redis]>=2,<3",),
    tasks=_TASKS,
    producer=ONE_BY_ONE,
    worker=("dramatiq", TASKS, "-p", "1", "-t", "10"),
    concurrency="10 threads",
    recovery="its defaults",
)
