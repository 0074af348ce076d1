"""What a process costs together with all that it has started.

Workers that fork, and PostgreSQL with a process for each connection, are trees. CPU time holds
that of children that have ended and were waited for; memory is the proportional set, which counts
what several processes share once.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from callboard_bench.process import peak_rss_of, with_children

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a tree has used so far, 0 if it has ended."""
    ticks = 0
    for member in with_children([pid]):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        # utime, stime, cutime and cstime of ``man 5 proc_pid_stat``, 14 to 17.
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_SECOND


def memory_bytes(pid: int) -> int:
    """Return the proportional set of a tree."""
    total = 0
    for member in with_children([pid]):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def peak_bytes(pid: int) -> int | None:
    """Return the largest resident set that a process had; None for a tree, whose peak is unknown.

    Raises:
        OSError: there is no such process.
    """
    return peak_rss_of(pid) if len(with_children([pid])) == 1 else None


def kill(pid: int) -> None:
    """Kill a tree, also those of it who are in a group of their own."""
    members = with_children([pid])
    for member in members:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            pass
