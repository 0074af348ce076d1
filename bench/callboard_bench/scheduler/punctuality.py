"""W6: a schedule of every second, and how late its tasks start.

A tick is a time of the wall clock; the starts are on the monotonic one. The offset of the two is
read at both ends: a machine whose clock was set meanwhile tells nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from callboard_bench.clock import monotonic_ns, unix_ns
from callboard_bench.rounds import Metric, Round
from callboard_bench.scheduler import audit
from callboard_bench.scheduler.marks import Mark
from callboard_bench.scheduler.stage import staged
from callboard_bench.scheduler.timings import Timings, latency_metrics
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

_SCHEDULE: Final = "schedules/every-second"
_MS: Final = 1_000_000
_SECOND_MS: Final = 1_000
_SET_BY_NS: Final = 1_000_000


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round."""
    async with staged(contender) as stage:
        await stage.add_workers(1, slots=1)
        offset = unix_ns() - monotonic_ns()
        await stage.caller.post(_SCHEDULE, {"cron": "* * * * * *", "task": {"name": "tick"}})
        begin = unix_ns() // _MS + 1
        await asyncio.sleep(sizes.cron_seconds)
        # In the middle between two ticks, so that none is under way.
        await asyncio.sleep((_SECOND_MS * 3 // 2 - unix_ns() // _MS % _SECOND_MS) / _SECOND_MS)
        end = unix_ns() // _MS
        await stage.caller.post(f"{_SCHEDULE}/delete", {})
        await stage.until_quiet()
        drift = abs(unix_ns() - monotonic_ns() - offset)
        marks = list(stage.marks.read())
        records = await audit.listed(stage.caller, name="tick")
        ids = [record["id"] for record in records]
        fault = await audit.records_fault(stage.caller, ids)
    ticks = Counter(mark.number for mark in marks)
    # The first second after the schedule was put, and the last before it was removed.
    expected = range(-(-begin // _SECOND_MS) * _SECOND_MS, end, _SECOND_MS)
    missed = sum(ticks[tick] == 0 for tick in expected)
    doubled = sum(count > 1 for count in ticks.values())
    late = _lateness(marks, offset)
    values = {
        **late.values("late"),
        "missed": float(missed),
        "doubled": float(doubled),
        "ticks": float(len(ticks)),
    }
    warnings = []
    if drift > _SET_BY_NS:
        warnings.append(f"the wall clock moved by {drift / _MS:.1f} ms: the lateness says nothing")
    wrong = f"{missed} ticks missed, {doubled} doubled" if missed or doubled else None
    return Round(values, audit.joined(wrong, fault), warnings, curves={"late": late.latencies()})


def _lateness(marks: list[Mark], offset: int) -> Timings:
    return Timings((mark.number * _MS, mark.at_ns + offset) for mark in marks)


METRICS: Final = (
    *latency_metrics("late", "second to start of its task"),
    Metric("missed", "ticks missed", 0, ratio=False),
    Metric("doubled", "ticks doubled", 0, ratio=False),
    Metric("ticks", "ticks counted", 0, ratio=False),
)

WORKLOAD: Final = Workload(
    "W6",
    lambda sizes: f"cron every second for {sizes.cron_seconds} s, one idle worker",
    METRICS,
    run,
    quick=False,
)
