"""W3 and W3b: no-ops as fast as they are taken and run, by one worker with ten slots.

The requests are signed before the clock starts, so that the client leaves the two cores to the
server and the worker.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.caller import Caller
from callboard_bench.scheduler.costs import COSTS, Costs
from callboard_bench.scheduler.stage import staged
from callboard_bench.scheduler.volley import Volley, fire
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

SLOTS: Final = 10

_RUN_SECONDS: Final = 120.0
_WARM_UP: Final = 200
#: Requests at once when each has many tasks.
_BATCHES_IN_FLIGHT: Final = 4


async def run_singles(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of one task a request."""
    return await _run(contender, sizes.tasks, 1, sizes.in_flight)


async def run_batches(contender: Contender, sizes: Sizes) -> Round:
    """Run one round of many tasks a request."""
    return await _run(contender, sizes.tasks, sizes.batch, _BATCHES_IN_FLIGHT)


async def _run(contender: Contender, tasks: int, batch: int, connections: int) -> Round:
    async with staged(contender) as stage:
        await stage.add_workers(1, SLOTS)
        address = stage.server.host, stage.server.port
        warm_up = await fire(*address, requests(stage.caller, 0, _WARM_UP, 1), connections)
        await stage.marks.wait(_WARM_UP, _RUN_SECONDS)
        await stage.until_quiet()
        ready = requests(stage.caller, _WARM_UP, tasks, batch)
        # The CPU times of /proc are those of the last tick.
        await asyncio.sleep(0.05)
        costs = Costs(stage)
        volley = await fire(*address, ready, connections)
        marks = await stage.marks.wait(_WARM_UP + tasks, _RUN_SECONDS)
        await stage.until_quiet()
        values, warnings = costs.end(tasks)
        last = max(mark.at_ns for mark in marks)
        ids = [*ids_of(warm_up), *ids_of(volley)]
        fault = audit.joined(
            audit.starts_fault(range(_WARM_UP + tasks), stage.marks.read()),
            await audit.records_fault(stage.caller, ids),
        )
    seconds = (volley.ended_ns - volley.began_ns) / 1e9
    values["tasks_per_second"] = tasks / ((last - volley.began_ns) / 1e9)
    values["submits_per_second"] = tasks / seconds
    values["tasks"] = float(tasks)
    return Round(values, fault, warnings)


def requests(caller: Caller, first: int, count: int, batch: int) -> list[bytes]:
    """Return signed requests for so many no-ops, numbered from ``first``."""
    if batch == 1:
        return [caller.request("tasks", noop(number)) for number in range(first, first + count)]
    return [
        caller.request(
            "batch_tasks",
            {"batch": [noop(number) for number in range(begin, min(begin + batch, first + count))]},
        )
        for begin in range(first, first + count, batch)
    ]


def noop(number: int) -> dict[str, Any]:
    """Return the body of a submit."""
    return {"name": "noop", "args": {"number": number}}


def ids_of(volley: Volley) -> list[str]:
    """Return the ids that the answers name."""
    ids: list[str] = []
    for answer in map(orjson.loads, volley.answers):
        ids += [each["id"] for each in answer.get("batch", (answer,))]
    return ids


METRICS: Final = (
    Metric("tasks_per_second", "tasks run per second, first submit to last start", 0),
    Metric("submits_per_second", "tasks acknowledged per second, durable", 0),
    *COSTS,
    Metric("tasks", "tasks counted", 0, ratio=False),
)

SINGLES: Final = Workload(
    "W3",
    lambda sizes: (
        f"no-op throughput: {sizes.tasks:,} tasks, one a request, {sizes.in_flight} requests in "
        f"flight, one worker with {SLOTS} slots"
    ),
    METRICS,
    run_singles,
)
BATCHES: Final = Workload(
    "W3b",
    lambda sizes: (
        f"no-op throughput: {sizes.tasks:,} tasks, {sizes.batch} a request, "
        f"{_BATCHES_IN_FLIGHT} requests in flight, one worker with {SLOTS} slots"
    ),
    METRICS,
    run_batches,
)
