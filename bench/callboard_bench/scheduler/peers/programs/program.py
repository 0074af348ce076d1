"""What makes a peer run: its packages, its tasks, how they are submitted, and its worker.

A peer's module of tasks is run by its worker and imported by its producer. It holds two tasks,
``noop`` and ``hold``, and ``submit(name, number)``, which uses the library's own call for one
task. Where the library is asynchronous so is ``submit``, between ``connect()`` and
``disconnect()``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The module with a peer's tasks, and the program that submits them.
TASKS: Final = "peer_tasks"
PRODUCER: Final = "peer_producer"

#: Where its Redis or PostgreSQL is: the environment of its processes.
BROKER: Final = "BENCH_BROKER"

#: The kinds of it.
REDIS: Final = "Redis"
POSTGRESQL: Final = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Program:
    """One peer. ``{url}`` in a command is where its broker is."""

    #: As PyPI and the command line name it.
    name: str
    requirements: tuple[str, ...]
    tasks: str
    producer: str
    worker: tuple[str, ...]
    #: Tasks that it runs at a time, for the report.
    concurrency: str
    #: What of its settings brings back a task whose worker was lost, for the report.
    recovery: str
    broker: str = REDIS
    #: Run once, before any worker.
    prepare: tuple[str, ...] = ()


#: The probe, and what ``hold`` goes by: peers do not all tell a body which try it is. In place of
#: the process it marks the worker's number, for a worker may fork for each task.
PEER_PROBE: Final = '''
import os
import time

_marks = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND)
_worker = int(os.environ["BENCH_WORKER"])


def mark(number):
    os.write(_marks, b"%d %d %d\\n" % (number, time.monotonic_ns(), _worker))


def first(number):
    """Mark the start of a task; return whether it is the first one."""
    mark(number)
    try:
        os.close(os.open(os.environ["BENCH_MARKS"] + ".%d" % number, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
'''

# "paced COUNT SECONDS" submits tasks that far apart, numbered by the time, and prints the numbers;
# "burst FIRST COUNT" as fast as it can, numbered from FIRST, and prints when it began and ended;
# "hold NUMBER" submits the task that stays at its first try.

#: Submits one after the other.
ONE_BY_ONE: Final = """
import sys
import time

from peer_tasks import submit

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
        submit("noop", submitted[-1])
    print(*submitted)
elif mode == "burst":
    first, count = map(int, numbers)
    began = time.monotonic_ns()
    for number in range(first, first + count):
        submit("noop", number)
    print(began, time.monotonic_ns())
else:
    submit("hold", int(numbers[0]))
"""

#: In a burst, submits 32 at a time.
SEVERAL_AT_ONCE: Final = """
import asyncio
import sys
import time

from peer_tasks import connect, disconnect, submit


async def paced(count, interval):
    start = time.monotonic_ns()
    submitted = []
    for n in range(count):
        due = start + int(n * interval * 1e9)
        now = time.monotonic_ns()
        if now < due:
            await asyncio.sleep((due - now) / 1e9)
        submitted.append(due if n and now > due else time.monotonic_ns())
        await submit("noop", submitted[-1])
    print(*submitted)


async def burst(first, count):
    numbers = iter(range(first, first + count))

    async def submit_some():
        for number in numbers:
            await submit("noop", number)

    began = time.monotonic_ns()
    await asyncio.gather(*(submit_some() for _ in range(32)))
    print(began, time.monotonic_ns())


async def main():
    mode, *numbers = sys.argv[1:]
    await connect()
    if mode == "paced":
        await paced(int(numbers[0]), float(numbers[1]))
    elif mode == "burst":
        await burst(*map(int, numbers))
    else:
        await submit("hold", int(numbers[0]))
    await disconnect()


asyncio.run(main())
"""
