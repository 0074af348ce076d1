"""Clients that change channels: each ends its subscription and asks for the next one.

A client is on one channel at a time and goes through all of them, so channels are occupied and
vacated all the time. A change is timed from the moment at which it was due to the answer of the
subscription; the end of the one before has no answer. With a rate, clients change in turn on a
schedule that waits for nobody; without one, a client changes again when it was answered.

After the storm everybody stays where he is: what is published then must reach those, and no
others, whose last subscription it was (:class:`HeardOf`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.api import App
from callboard_bench.audit import Audit, Tally
from callboard_bench.clients.conversation import Clients, Conversation
from callboard_bench.clients.link import Wire
from callboard_bench.clients.pace import arrived, paced, until
from callboard_bench.clients.part import Findings, Parts, Schedule
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import ANSWERED, RECEIVED, Desk, GeneratorFailed
from callboard_bench.recording import Recording
from callboard_bench.stamps import read_stamp

#: What is timed: from the moment at which a change was due to the answer of its subscription.
SUBSCRIBE: Final = "subscribe"


@dataclass(frozen=True, slots=True)
class ChurnSpec:
    """The order for :class:`Churn`: ``rate`` changes a second over all clients, or infinity."""

    wire: Wire
    app: App
    #: The beginning of every channel's name, and how many there are.
    prefix: str
    channels: int
    connections: int
    #: The number of the first client, which decides who begins on which channel.
    first: int
    rate: float

    def part(self, counters: memoryview) -> Churn:
        return Churn(self, counters)

    def channel(self, number: int) -> str:
        """Return a channel's name; every second one is private."""
        place = number % self.channels
        return f"{'private-' if place % 2 else ''}{self.prefix}-{place}"


class Churn:
    """All clients of one generator."""

    def __init__(self, spec: ChurnSpec, counters: memoryview) -> None:
        self.spec = spec
        self.clients = Clients(spec.wire, spec.app, counters)
        self.counters = counters
        self.recording = Recording()
        self.answered = 0
        self.heard = 0
        #: Until when an answer is followed by another change; 0 on a schedule.
        self.closed_until_ns = 0
        self.members: list[Nomad] = []

    async def open(self) -> None:
        spec = self.spec
        self.members = [Nomad(self, spec.first + number) for number in range(spec.connections)]
        await self.clients.open(self.members)

    async def run(self, schedule: Schedule) -> None:
        self.recording = schedule.recording()
        members = self.members
        if math.isinf(self.spec.rate):
            await until(schedule.start_ns)
            self.closed_until_ns = schedule.end_ns
            for member in members:
                member.change(monotonic_ns())
            await until(schedule.end_ns)
        else:
            number = 0
            async for due_ns in paced(schedule, self.spec.rate):
                members[number % len(members)].change(due_ns)
                number += 1
        await arrived(lambda: all(member.settled for member in members), lambda: self.answered)

    def tally(self, published: int) -> Tally:
        """Audit so many messages on the channel of each."""
        tally = Tally()
        for member in self.members:
            tally.add(member.audit, published)
            tally.misrouted += member.misrouted
        return tally

    def close(self) -> None:
        self.clients.close()

    def findings(self) -> Findings:
        unanswered = sum(not member.settled for member in self.members)
        if unanswered:
            self.clients.refused["a subscription was never answered"] += unanswered
        tally = Tally(closed=self.clients.closed)
        return Findings(tally, self.clients.refused, {SUBSCRIBE: self.recording.result()})


class Nomad(Conversation):
    """One client, on one channel at a time."""

    __slots__ = ("_churn", "_due_ns", "_late", "_number", "audit", "channel", "misrouted")

    def __init__(self, churn: Churn, number: int) -> None:
        super().__init__(churn.clients)
        self._churn = churn
        self._number = number
        #: When the change under way was due, 0 when there is none; and those that have to wait.
        self._due_ns = 0
        self._late: deque[int] = deque()
        self.channel = churn.spec.channel(number)
        self.audit = Audit()
        #: Messages of a channel that it is not on.
        self.misrouted = 0

    async def begin(self) -> None:
        await self.enter(self.channel)

    @property
    def settled(self) -> bool:
        """Whether no change is under way or due."""
        return not self._due_ns

    def change(self, due_ns: int) -> None:
        """Leave the channel for the next one; if it is still waiting for that, as soon as not."""
        if not self.connected:
            return
        if self._due_ns:
            self._late.append(due_ns)
            return
        self._due_ns = due_ns
        self.unsubscribe(self.channel)
        self._number += 1
        self.channel = self._churn.spec.channel(self._number)
        self.ask(self.channel)

    def gone(self, reason: str) -> None:
        super().gone(reason)
        self._due_ns = 0
        self._late.clear()

    def subscribed(self, channel: str, data: str) -> None:
        if not self._due_ns or channel != self.channel:
            return
        churn, due_ns, self._due_ns = self._churn, self._due_ns, 0
        now_ns = monotonic_ns()
        take = churn.recording.slot(due_ns)
        if take is not None:
            take((now_ns - due_ns) // 1000)
        churn.answered += 1
        churn.counters[ANSWERED] += 1
        if self._late:
            self.change(self._late.popleft())
        elif now_ns < churn.closed_until_ns:
            self.change(now_ns)

    def event(self, message: dict[str, Any]) -> None:
        self._churn.heard += 1
        self._churn.counters[RECEIVED] += 1
        stamp = read_stamp(str(message.get("data")).encode())
        if message.get("channel") != self.channel or stamp is None:
            self.misrouted += 1
            return
        try:
            self.audit.take(stamp[1])
        except ValueError as error:
            self._clients.refuse(str(error))


def _churn(desk: Desk) -> Churn:
    for part in desk.kept(Parts).all:
        if isinstance(part, Churn):
            return part
    raise GeneratorFailed("nobody changes channels here")


@dataclass(frozen=True, slots=True)
class Held:
    """Which channels the clients are on; answers their names, with how many are on each."""

    async def answer(self, desk: Desk) -> Mapping[str, int]:
        held: dict[str, int] = {}
        for member in _churn(desk).members:
            held[member.channel] = held.get(member.channel, 0) + 1
        return held


@dataclass(frozen=True, slots=True)
class HeardOf:
    """Wait for so many messages on the channel of each; answers their audit, a Tally."""

    published: int

    async def answer(self, desk: Desk) -> Tally:
        churn = _churn(desk)
        await arrived(lambda: not churn.tally(self.published).lost, lambda: churn.heard)
        return churn.tally(self.published)
