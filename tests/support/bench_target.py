"""Servers that the bench starts, for tests that measure one of them many times, and its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from callboard_bench.clients.part import Findings, Part, Schedule
from callboard_bench.clock import monotonic_ns
from callboard_bench.targets.target import Contender, Target


def opened(contender: Contender) -> Iterator[Target]:
    """Yield a contender's server while it runs: the body of a fixture."""
    opening = contender.open()
    with asyncio.Runner() as runner:
        yield runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))


async def found_in_a_moment(part: Part) -> Findings:
    """Run a part for a tenth of a second, all of which counts, and return what it found."""
    try:
        await part.open()
        start = monotonic_ns()
        await part.run(Schedule(start, start, start + 100_000_000))
        return part.findings()
    finally:
        part.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
