"""What a local process costs, read from /proc (Linux).

CPU time comes in ticks of 10 ms, so a window should be seconds long. RSS counts neither kernel
socket buffers nor page tables.
"""

from __future__ import annotations

import math
import os
import resource
from collections import defaultdict
from collections.abc import Iterable, Sequence
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

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)


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


def cpu_if_alive(pid: int) -> Cpu | None:
    """Read the CPU time of a process as :func:`cpu_of` does; None when it has ended."""
    try:
        return cpu_of(pid)
    except OSError:
        return None


def rss_if_alive(pid: int) -> int | None:
    """Read the resident set of a process as :func:`rss_of` does; None when it has ended."""
    try:
        return rss_of(pid)
    except OSError:
        return None


def members_of(group: int) -> list[int]:
    """Return the processes of a group that have not ended, even where nobody waited for them."""
    found = []
    for pid in pids():
        fields = _status(pid)
        if fields and int(fields[2]) == group and fields[0] != "Z":
            found.append(pid)
    return found


def pids() -> list[int]:
    """Return all processes that can be seen."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def with_children(parents: Iterable[int]) -> tuple[int, ...]:
    """Return these processes and all that descend from them.

    This one is never among them, nor what descends through it, even where a server started it.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for pid in pids():
        if fields := _status(pid):
            children[int(fields[1])].append(pid)
    found: dict[int, None] = {}
    waiting = list(parents)
    for pid in waiting:
        if pid not in found and pid != os.getpid():
            found[pid] = None
            waiting.extend(children[pid])
    return tuple(found)


def _status(pid: int) -> list[str]:
    """Return what ``man 5 proc_pid_stat`` has from 3, the state, on; empty if it has ended."""
    try:
        # The command in parentheses may itself hold spaces and parentheses.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


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
    """What a window of time cost: shares are of one core, 1.0 is a core kept busy.

    What the server cost is NaN where nothing is known of its processes.
    """

    seconds: float
    server: Cpu
    server_share: float
    #: The busiest generator.
    generator_share: float
    #: The process of publisher and probe.
    publisher_share: float
    #: Cores kept busy by processes that are not part of the run; NaN where the server's share is.
    others_share: float


class Meter:
    """Samples every process of a run at the beginning and the end of a window.

    A server's process that ends in between counts with nothing; its parent and siblings count on.
    One that begins in between, or has begun since the server listened, counts like the others.
    """

    def __init__(
        self,
        server_pids: Sequence[int],
        generator_pids: Sequence[int],
        publisher_pid: int | None = None,
    ) -> None:
        """Begin a window. The publisher may be the main process: then it needs no id."""
        self._server_pids = tuple(server_pids)
        self._client_pids = [publisher_pid or os.getpid(), *generator_pids]
        self.begin()

    def _read(self) -> tuple[int, float, dict[int, Cpu], list[Cpu]]:
        return (
            monotonic_ns(),
            _machine_busy_seconds(),
            {pid: cpu for pid in self._server_pids if (cpu := cpu_if_alive(pid)) is not None},
            [cpu_of(pid) for pid in self._client_pids],
        )

    def begin(self) -> None:
        """Begin another window."""
        # Many a server starts its workers once it listens, or later.
        self._server_pids = with_children(self._server_pids)
        self._before = self._read()

    def end(self) -> Use:
        """End the window and return what it cost.

        Raises:
            OSError: a client has died, or all of the server.
        """
        then, busy_then, server_then, clients_then = self._before
        now, busy_now, server_now, clients_now = self._read()
        for pid in with_children(server_now):
            if pid not in server_now and (cpu := cpu_if_alive(pid)) is not None:
                server_then[pid], server_now[pid] = Cpu(0.0, 0.0), cpu
        if self._server_pids and not server_now:
            raise ProcessLookupError("no process of the server is left")
        seconds = (now - then) / 1e9
        used = [cpu - server_then[pid] for pid, cpu in server_now.items() if pid in server_then]
        server = sum(used, Cpu(0.0, 0.0)) if self._server_pids else Cpu(math.nan, math.nan)
        clients = [
            (new - old).total / seconds for old, new in zip(clients_then, clients_now, strict=True)
        ]
        share = server.total / seconds
        others = (busy_now - busy_then) / seconds - share - sum(clients)
        if not math.isnan(others):
            others = max(0.0, others)
        return Use(seconds, server, share, max(clients[1:], default=0.0), clients[0], others)
