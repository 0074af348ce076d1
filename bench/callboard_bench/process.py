"""What a local process costs, read from /proc (Linux).

CPU time comes in ticks of 10 ms, so a window should be seconds long. RSS counts neither kernel
socket buffers nor page tables.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callboard_bench.clock import monotonic_ns

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of a process, all its threads together."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system


def cpu_of(pid: int) -> Cpu:
    """Read the CPU time a process has used so far (``man 5 proc_pid_stat``, 14 and 15).

    Raises:
        OSError: there is no such process.
    """
    # The command in parentheses may itself hold spaces and parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Cpu(int(fields[11]) / _TICKS_PER_SECOND, int(fields[12]) / _TICKS_PER_SECOND)


def rss_of(pid: int) -> int:
    """Read a process's resident set in bytes.

    Raises:
        OSError: there is no such process.
    """
    return _memory_of(pid, "VmRSS:")


def peak_rss_of(pid: int) -> int:
    """Read the largest resident set a process has had, in bytes.

    Raises:
        OSError: there is no such process.
    """
    return _memory_of(pid, "VmHWM:")


def _memory_of(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def _machine_busy_seconds() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / _TICKS_PER_SECOND


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass(frozen=True, slots=True)
class Use:
    """What a window of time cost: shares are of one core, 1.0 is a core kept busy."""

    seconds: float
    server: Cpu
    server_share: float
    #: The busiest generator.
    generator_share: float
    #: The main process: publisher and probe.
    publisher_share: float
    #: Cores kept busy by processes that are not part of the run.
    others_share: float


class Meter:
    """Samples every process of a run at the beginning and the end of a window."""

    def __init__(self, server_pid: int, generator_pids: list[int]) -> None:
        self._pids = [server_pid, os.getpid(), *generator_pids]
        self._before = self._read()

    def _read(self) -> tuple[int, float, list[Cpu]]:
        return monotonic_ns(), _machine_busy_seconds(), [cpu_of(pid) for pid in self._pids]

    def begin(self) -> None:
        """Begin a window."""
        self._before = self._read()

    def end(self) -> Use:
        """End the window and return what it cost.

        Raises:
            OSError: one of the processes has died.
        """
        then, busy_then, cpus_then = self._before
        now, busy_now, cpus_now = self._read()
        seconds = (now - then) / 1e9
        used = [
            Cpu(new.user - old.user, new.system - old.system)
            for old, new in zip(cpus_then, cpus_now, strict=True)
        ]
        shares = [cpu.total / seconds for cpu in used]
        others = (busy_now - busy_then) / seconds - sum(shares)
        return Use(seconds, used[0], shares[0], max(shares[2:]), shares[1], max(0.0, others))
