"""What a stretch of work cost the server, one worker and this process."""

from __future__ import annotations

from callboard_bench.process import Meter, Use, rss_of
from callboard_bench.rounds import BUSY_SHARE, STRANGERS_SHARE, Metric
from callboard_bench.scheduler.stage import Stage

_MIB = 2**20


class Costs:
    """Reads CPU and memory; the stage has one worker."""

    def __init__(self, stage: Stage) -> None:
        (worker,) = stage.workers
        self._pids = stage.server.pid, worker.pid
        self._meter = Meter([stage.server.pid], [worker.pid])
        self._meter.begin()

    def end(self, tasks: int) -> tuple[dict[str, float], list[str]]:
        """Return what so many tasks cost, and what makes the figures doubtful."""
        use = self._meter.end()
        server, worker = self._pids
        per_thousand = 1000 / max(1, tasks)
        values = {
            "server_cpu": use.server.total * per_thousand,
            "worker_cpu": use.generator_share * use.seconds * per_thousand,
            "server_percent": use.server_share * 100,
            "worker_percent": use.generator_share * 100,
            "client_percent": use.publisher_share * 100,
            "server_rss": rss_of(server) / _MIB,
            "worker_rss": rss_of(worker) / _MIB,
        }
        return values, _doubts(use)


def _doubts(use: Use) -> list[str]:
    found = []
    if use.publisher_share > BUSY_SHARE:
        found.append(f"the client kept {use.publisher_share:.0%} of a core busy")
    if use.others_share > STRANGERS_SHARE:
        found.append(f"other processes kept {use.others_share:.2f} cores busy meanwhile")
    return found


COSTS = (
    Metric("server_cpu", "server CPU per 1,000 tasks, s", 3),
    Metric("worker_cpu", "worker CPU per 1,000 tasks, s", 3),
    Metric("server_rss", "server RSS, MiB", 0),
    Metric("worker_rss", "worker RSS, MiB", 0),
    Metric("server_percent", "server's share of a core, %", 0, ratio=False),
    Metric("worker_percent", "worker's share of a core, %", 0, ratio=False),
    Metric("client_percent", "client's share of a core, %", 0, ratio=False),
)
