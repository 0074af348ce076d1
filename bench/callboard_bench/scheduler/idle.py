"""W10: what server and workers cost that have nothing to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from callboard_bench.process import Meter, rss_of
from callboard_bench.rounds import Metric, Round, doubts
from callboard_bench.scheduler.stage import staged
from callboard_bench.scheduler.tcp_bytes import carried_bytes
from callboard_bench.scheduler.workload import Sizes, Workload
from callboard_bench.targets.target import Contender

#: What comes of starting and joining is over by then.
_SETTLE_SECONDS: Final = 2.0
_MIB: Final = 2**20


async def run(contender: Contender, sizes: Sizes) -> Round:
    """Run one round."""
    async with staged(contender) as stage:
        workers = await stage.add_workers(sizes.idle_workers, slots=1)
        server = stage.server
        pids = [worker.pid for worker in workers]
        await asyncio.sleep(_SETTLE_SECONDS)
        carried, woken = carried_bytes(server.port), _wakes_of(server.pid)
        meter = Meter([server.pid], pids)
        await asyncio.sleep(sizes.idle_seconds)
        use = meter.end()
        carried, woken = carried_bytes(server.port) - carried, _wakes_of(server.pid) - woken
        rss = rss_of(server.pid), sum(map(rss_of, pids)) / len(pids)
    values = {
        "server_percent": use.server_share * 100,
        "worker_percent": use.generator_share * 100,
        "bytes_per_second": carried / use.seconds,
        "wakes_per_second": woken / use.seconds,
        "server_rss": rss[0] / _MIB,
        "worker_rss": rss[1] / _MIB,
        "seconds": use.seconds,
    }
    # That little CPU was used is what is measured.
    warnings = [text for text in doubts(use) if "other processes" in text]
    return Round(values, warnings=warnings)


def _wakes_of(pid: int) -> int:
    """Return how often the threads of a process have waited for something so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


METRICS: Final = (
    Metric("server_percent", "server's share of a core, %", 2, better="lower"),
    Metric("worker_percent", "busiest worker's share of a core, %", 2, better="lower"),
    Metric("bytes_per_second", "bytes a second to and from the server", 0, better="lower"),
    Metric("wakes_per_second", "times a second that the server wakes", 1, better="lower"),
    Metric("server_rss", "server RSS, MiB", 0),
    Metric("worker_rss", "worker RSS, mean, MiB", 0),
    Metric("seconds", "seconds counted", 0, ratio=False),
)

WORKLOAD: Final = Workload(
    "W10",
    lambda sizes: f"idle: {sizes.idle_workers} workers and no task for {sizes.idle_seconds} s",
    METRICS,
    run,
    quick=False,
)
