"""The peers: packages, worker modules, producers and how their workers are started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from callboard_bench.scheduler.program import PROBE

#: The module with a peer's tasks, and the program that submits them.
TASKS: Final = "peer_tasks"
PRODUCER: Final = "peer_producer"

#: Where its Redis is: the environment of its processes.
REDIS: Final = "BENCH_REDIS"


@dataclass(frozen=True, slots=True)
class Program:
    """What makes one peer run; commands are relative to its environment's folder of programs."""

    name: str
    requirements: tuple[str, ...]
    tasks: str
    producer: str
    worker: tuple[str, ...]
    #: Tasks that it runs at a time, for the report.
    concurrency: str


_HUEY_TASKS: Final = (
    PROBE
    + """
from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"], results=False)


@huey.task()
def noop(number):
    mark(number)
"""
)

_SAQ_TASKS: Final = (
    PROBE
    + """
from saq import Queue

queue = Queue.from_url(os.environ["BENCH_REDIS"])


async def noop(ctx, *, number):
    mark(number)


settings = {"queue": queue, "functions": [noop], "concurrency": 10}
"""
)

# "paced COUNT SECONDS" submits tasks that far apart, numbered by the time, and prints the numbers;
# "burst FIRST COUNT" as fast as it can, numbered from FIRST, and prints when it began and ended.
_HUEY_PRODUCER: Final = """
import sys
import time

from peer_tasks import noop

mode, *numbers = sys.argv[1:]
if mode == "paced":
    count, interval = int(numbers[0]), float(numbers[1])
    start = time.monotonic_ns()
    submitted = []
    for n in range(count):
        due = start + int(n * interval * 1e9)
        now = time.monotonic_ns()
        if now < due:
            time.sleep((due - now) / 1e9)
        submitted.append(due if n and now > due else time.monotonic_ns())
        noop(submitted[-1])
    print(*submitted)
else:
    first, count = map(int, numbers)
    began = time.monotonic_ns()
    for number in range(first, first + count):
        noop(number)
    print(began, time.monotonic_ns())
"""

_SAQ_PRODUCER: Final = """
import asyncio
import sys
import time

from peer_tasks import queue


async def paced(count, interval):
    start = time.monotonic_ns()
    submitted = []
    for n in range(count):
        due = start + int(n * interval * 1e9)
        now = time.monotonic_ns()
        if now < due:
            await asyncio.sleep((due - now) / 1e9)
        submitted.append(due if n and now > due else time.monotonic_ns())
        await queue.enqueue("noop", number=submitted[-1])
    print(*submitted)


async def burst(first, count):
    numbers = iter(range(first, first + count))

    async def submit():
        for number in numbers:
            await queue.enqueue("noop", number=number)

    began = time.monotonic_ns()
    await asyncio.gather(*(submit() for _ in range(32)))
    print(began, time.monotonic_ns())


async def main():
    await queue.connect()
    mode, *numbers = sys.argv[1:]
    if mode == "paced":
        await paced(int(numbers[0]), float(numbers[1]))
    else:
        await burst(*map(int, numbers))
    await queue.disconnect()


asyncio.run(main())
"""

PROGRAMS: Final = {
    program.name: program
    for program in (
        Program(
            "huey",
            ("huey>=3,<4", "redis"),
            _HUEY_TASKS,
            _HUEY_PRODUCER,
            ("huey_consumer", f"{TASKS}.huey", "-w", "2", "-k", "thread", "-q"),
            "2 threads",
        ),
        Program(
            "saq",
            ("saq[redis,hiredis]>=0.26,<1", "typing-extensions"),
            _SAQ_TASKS,
            _SAQ_PRODUCER,
            ("saq", f"{TASKS}.settings"),
            "concurrency 10",
        ),
    )
}
