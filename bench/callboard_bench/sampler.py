"""What a server costs from moment to moment: for the timelines, and for the eye.

The figures of a round come from :class:`~callboard_bench.process.Meter`, which reads twice. This
reads twice a second, which is fine enough to see a pause and too rare to cost anything.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from callboard_bench.clock import monotonic_ns
from callboard_bench.process import cpu_if_alive, rss_if_alive, with_children
from callboard_bench.recording import STEP_SECONDS

CPU: Final = "server_cpu_percent"
RSS: Final = "server_rss_mib"

_STEP_NS: Final = int(STEP_SECONDS * 1e9)
_MIB: Final = 2**20


class Sampler:
    """Reads CPU and memory of a server's processes every half second until it is stopped.

    Each value of CPU is the share of one core, in percent, over the step that ended; memory is
    what was resident then, in MiB, shared pages once per process. Both are NaN where nothing is
    known of the processes.
    """

    def __init__(
        self, pids: Sequence[int], sample: Callable[[str, float], None] | None = None
    ) -> None:
        """Begin.

        Args:
            sample: is told each value as it is read, such as ``watch.sample``.
        """
        # As with a meter: many a server starts its workers once it listens.
        self._pids = with_children(pids)
        self._sample = sample
        self._series: dict[str, list[float]] = {CPU: [], RSS: []}
        self._read_at = monotonic_ns()
        self._seconds_used = self._cpu()
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> dict[str, list[float]]:
        """Stop, and return the series that :class:`~callboard_bench.rounds.Timeline` holds."""
        self._task.cancel()
        return self._series

    async def _run(self) -> None:
        due = self._read_at
        while True:
            due += _STEP_NS
            await asyncio.sleep(max(0.0, (due - monotonic_ns()) / 1e9))
            self._read()

    def _read(self) -> None:
        now, used = monotonic_ns(), self._cpu()
        share = 100 * sum(
            (used[pid] - before) / ((now - self._read_at) / 1e9)
            for pid, before in self._seconds_used.items()
            if pid in used
        )
        resident = [rss for pid in self._pids if (rss := rss_if_alive(pid)) is not None]
        self._read_at, self._seconds_used = now, used
        self._add(CPU, share if used else math.nan)
        self._add(RSS, sum(resident) / _MIB if resident else math.nan)

    def _cpu(self) -> dict[int, float]:
        return {pid: cpu.total for pid in self._pids if (cpu := cpu_if_alive(pid)) is not None}

    def _add(self, name: str, value: float) -> None:
        self._series[name].append(value)
        if self._sample is not None:
            self._sample(name, value)
