"""What a generator does of a scenario: it opens, keeps to a schedule, and says what it found.

A *spec* is the parent's order, a picklable dataclass; of it the child makes the *part* that
carries it out. Parts of several kinds may run in one generator at the same time. All of them,
in all generators, keep to one :class:`Schedule`, so that what they count falls into the window
in which the parent reads what the server cost. They count on the desk's counters as they go,
which needs no question.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from callboard_bench.audit import Tally
from callboard_bench.generator import Desk
from callboard_bench.recording import Recorded, Recording
from callboard_bench.rounds import Requests


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the load begins, from when on it counts, and when it ends: monotonic time in ns."""

    start_ns: int
    counted_ns: int
    end_ns: int
    #: Is told in the child how latencies are, where they are all of one kind.
    tell: Callable[[int], None] | None = None

    def recording(self) -> Recording:
        """Return what records the latencies of the window."""
        return Recording(self.counted_ns, self.end_ns, self.tell)


@dataclass(slots=True)
class Findings:
    """What a part found in one generator, or in several once they are merged."""

    tally: Tally = field(default_factory=Tally)
    #: What the server refused, in words, and how often.
    refused: Counter[str] = field(default_factory=Counter)
    #: Latencies of the window, by what was timed.
    times: dict[str, Recorded] = field(default_factory=dict)
    #: Messages due in the window that never left, for the server took too long over others.
    unsent: int = 0
    requests: Requests = field(default_factory=Requests)

    def merge(self, other: Findings) -> None:
        """Add what another generator found."""
        self.tally.merge(other.tally)
        self.refused.update(other.refused)
        self.unsent += other.unsent
        self.requests += other.requests
        for name, recorded in other.times.items():
            self.times.setdefault(name, Recorded()).merge(recorded)


class Part(Protocol):
    """Clients that do one kind of thing."""

    async def open(self) -> None:
        """Connect, and get ready to begin.

        Raises:
            OSError, Unexpected: the server does not let them.
        """

    async def run(self, schedule: Schedule) -> None:
        """Put the load on, and return once all has arrived that will."""

    def findings(self) -> Findings:
        """Say what was found, once it has run."""

    def close(self) -> None:
        """Let all clients leave."""


class Spec(Protocol):
    """The order for a part."""

    def part(self, counters: memoryview) -> Part:
        """Make the part, which counts in these cells of :class:`~.generator.Desk`."""


class Parts:
    """The parts of a generator, in the order of their specs."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.all = parts


@dataclass(frozen=True, slots=True)
class Open:
    """Make the parts and open them, one after the other; answers None."""

    specs: Sequence[Spec]

    async def answer(self, desk: Desk) -> None:
        parts = Parts([spec.part(desk.counters) for spec in self.specs])
        desk.keep(parts)
        for part in parts.all:
            await part.open()


@dataclass(frozen=True, slots=True)
class Run:
    """Run the parts at the same time, to the end of the schedule; answers their findings."""

    schedule: Schedule

    async def answer(self, desk: Desk) -> list[Findings]:
        parts, schedule = desk.kept(Parts).all, self.schedule
        if len(parts) == 1:
            schedule = replace(schedule, tell=desk.tell_p99)
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part.run(schedule))
        return [part.findings() for part in parts]
