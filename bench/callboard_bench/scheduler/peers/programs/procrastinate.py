"""procrastinate over PostgreSQL, ten tasks at a time in one process.

A task whose worker was lost is brought back by a periodic task that its documentation gives,
every ten minutes.
"""

from __future__ import annotations

from typing import Final

from callboard_bench.scheduler.peers.programs.program import (
    PEER_PROBE,
    POSTGRESQL,
    SEVERAL_AT_ONCE,
    TASKS,
    Program,
)

_TASKS: Final = (
    PEER_PROBE
    + """
import asyncio

import procrastinate

connector = procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_BROKER"])
app = procrastinate.App(connector=connector, import_paths=["peer_tasks"])


@app.task(name="noop")
async def noop(number):
    mark(number)


@app.task(name="hold", retry=2)
async def hold(number):
    if first(number):
        await asyncio.sleep(3600)


@app.periodic(cron="*/10 * * * *")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context, timestamp):
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


connect, disconnect = app.open_async, app.close_async


async def submit(name, number):
    await {"noop": noop, "hold": hold}[name].defer_async(number=number)
"""
)

_COMMAND: Final = ("procrastinate", f"--app={TASKS}.app", "--log-level", "warning")

PROGRAM: Final = Program(
    name="procrastinate",
    requirements=("procrastinate>=3.5,<4", "psycopg[binary,pool]"),
    tasks=_TASKS,
    producer=SEVERAL_AT_ONCE,
    worker=(*_COMMAND, "worker", "--concurrency", "10"),
    concurrency="concurrency 10",
    recovery="its documented task, every ten minutes",
    broker=POSTGRESQL,
    prepare=(*_COMMAND, "schema", "--apply"),
)
