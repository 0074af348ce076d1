"""A worker that writes down what its functions do, and tells it on stdout, line by line.

Run as ``callboard worker support.audited_worker:worker``; ``JOURNAL`` names the file, which
processes that are killed, and those that follow them, only append to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from callboard_scheduler import Context, Worker

worker = Worker(slots=2)
#: Keeps its tasks while its connection is away.
patient = Worker(slots=2, resume=True)


def note(ctx: Context, what: str) -> None:
    """Append a line in one write, which is whole or not there, and say it."""
    line = f"{what} {ctx.task_id} {ctx.fence}\n"
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, line.encode())
    os.close(journal)
    sys.stdout.write(line)
    sys.stdout.flush()


async def quick(ctx: Context) -> int:
    note(ctx, "begin")
    await asyncio.sleep(0)
    note(ctx, "end")
    return ctx.attempt


async def nap(ctx: Context) -> int:
    """Take long enough to be killed meanwhile."""
    note(ctx, "begin")
    await asyncio.sleep(0.01)
    note(ctx, "end")
    return ctx.attempt


async def wait(ctx: Context) -> None:
    note(ctx, "begin")
    await asyncio.Event().wait()


async def wait_once(ctx: Context) -> int:
    """Do not end at the first attempt."""
    note(ctx, "begin")
    try:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        note(ctx, "stopped")
        raise
    note(ctx, "end")
    return ctx.attempt


def gated(ctx: Context, gate: str) -> int:
    """At the first attempt wait until somebody opens the pipe, whatever else happens."""
    note(ctx, "begin")
    if ctx.attempt == 1:
        Path(gate).read_bytes()
    note(ctx, "end")
    return ctx.attempt


def fork_and_wait(ctx: Context) -> int:
    """Leave a child behind that has everything which the worker has."""
    note(ctx, "begin")
    if ctx.attempt == 1:
        if os.fork() == 0:
            signal.pause()
            os._exit(0)
        note(ctx, "left")
        threading.Event().wait()
    note(ctx, "end")
    return ctx.attempt


def start_and_wait(ctx: Context) -> int:
    """Leave a program behind."""
    note(ctx, "begin")
    if ctx.attempt == 1:
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        note(ctx, "left")
        threading.Event().wait()
    note(ctx, "end")
    return ctx.attempt


for each in (worker, patient):
    for function in (quick, nap, wait, wait_once, gated, fork_and_wait, start_and_wait):
        each.task(function)
