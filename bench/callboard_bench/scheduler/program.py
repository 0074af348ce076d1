"""The module that the workers run.

It is text and not a module of this package: the bench sees the scheduler from outside only, and
peers run programs of their own with the same probe.
"""

from __future__ import annotations

from typing import Final

MODULE: Final = "bench_tasks"

#: Where its settings are: the environment of the worker's process.
MARKS: Final = "BENCH_MARKS"
STOPS: Final = "BENCH_STOPS"
SLOTS: Final = "BENCH_SLOTS"
WORKER: Final = "BENCH_WORKER"

#: The probe: one line of "number time process" by one write, which appends whole.
PROBE: Final = """
import os
import time

_marks = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND)


def mark(number, file=_marks):
    os.write(file, b"%d %d %d\\n" % (number, time.monotonic_ns(), os.getpid()))
"""

TEXT: Final = (
    PROBE
    + '''
import asyncio
import subprocess

from callboard_scheduler import Context, Worker

_stops = os.open(os.environ["BENCH_STOPS"], os.O_WRONLY | os.O_APPEND)

worker = Worker(id=os.environ["BENCH_WORKER"], slots=int(os.environ["BENCH_SLOTS"]))


@worker.task
async def noop(number: int) -> None:
    mark(number)


@worker.task
async def timed(number: int) -> int:
    """Give a watcher the time to come, and return when it ended."""
    mark(number)
    await asyncio.sleep(0.05)
    return time.monotonic_ns()


@worker.task
async def hold(ctx: Context, number: int) -> None:
    """Stay for ever at the first try; only a second one ends."""
    mark(number)
    if ctx.attempt == 1:
        await asyncio.Event().wait()


@worker.task
async def hold_with_children(ctx: Context, number: int) -> None:
    """The same, leaving a forked child and a program that outlive this process."""
    if ctx.attempt == 1:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        subprocess.Popen(["sleep", "60"])
    mark(number)
    if ctx.attempt == 1:
        await asyncio.Event().wait()


@worker.task
async def wait_for_cancel(number: int) -> None:
    mark(number)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        mark(number, _stops)
        raise


@worker.task
async def tick(ctx: Context) -> None:
    """A schedule's task: its number is the tick in Unix ms, which its id ends with."""
    mark(int(ctx.task_id.rpartition(".")[2]))


@worker.task
async def report(ctx: Context, number: int, reports: int, interval_seconds: float) -> None:
    mark(number)
    loop = asyncio.get_running_loop()
    due = loop.time()
    for n in range(reports):
        await ctx.progress(100 * n / reports, data=[n, time.monotonic_ns()])
        due += interval_seconds
        await asyncio.sleep(due - loop.time())
'''
)
