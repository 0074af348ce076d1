"""A storm of joins and leaves on presence channels whose other members all hear of it.

All members join first. Half of them are residents, who stay; of the others one leaves in each
turn, the one who has been there longest, and one who left earlier comes back, so a channel at
the server's limit never exceeds it. What a member hears is audited by :mod:`roster`: of a
resident to the last, of the others until they leave, for nobody can know whether what they have
not heard by then was still under way.

The number of a join travels in the ``user_info`` that the client signs. A channel belongs to one
generator, which therefore knows all who come and go.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.api import App
from callboard_bench.audit import Tally
from callboard_bench.clients.conversation import Clients, Conversation
from callboard_bench.clients.link import Wire
from callboard_bench.clients.member_events import (
    ADDED,
    OTHER,
    MemberEvent,
    read_event,
    read_roster,
)
from callboard_bench.clients.pace import arrived, paced, until
from callboard_bench.clients.part import Findings, Schedule
from callboard_bench.clients.roster import Ledger, Roster
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import ANSWERED, RECEIVED
from callboard_bench.recording import Recording

#: Turns of a channel under way at once, where each waits for the one before.
_AT_ONCE: Final = 8

#: What is timed: until a join was answered, and until the last of the others has heard of it.
JOIN: Final = "join"
SEEN: Final = "seen"


@dataclass(frozen=True, slots=True)
class PresenceSpec:
    """The order for :class:`Presence`: ``rate`` turns a second over all channels, or infinity."""

    wire: Wire
    app: App
    channels: Sequence[str]
    #: Members of each channel, 4 at least.
    members: int
    rate: float

    def part(self, counters: memoryview) -> Presence:
        return Presence(self, counters)


class Presence:
    """The members of all channels of one generator."""

    def __init__(self, spec: PresenceSpec, counters: memoryview) -> None:
        self._spec = spec
        self.clients = Clients(spec.wire, spec.app, counters)
        self.tally = Tally()
        #: Answers and member events so far.
        self.heard = 0
        self._schedule = Schedule(0, 0, 0)
        self._channels: list[Channel] = []

    async def open(self) -> None:
        self._channels = [Channel(self, name, self._spec.members) for name in self._spec.channels]
        await self.clients.open([member for each in self._channels for member in each.members])

    async def run(self, schedule: Schedule) -> None:
        closed_loop = math.isinf(self._spec.rate)
        at_once = min(_AT_ONCE, self._spec.members // 4) if closed_loop else 1
        for channel in self._channels:
            channel.make_room(at_once)
        if closed_loop:
            await until(schedule.start_ns)
            for channel in self._channels:
                channel.take_turns(at_once, schedule.end_ns)
            await until(schedule.end_ns)
        else:
            number = 0
            async for due_ns in paced(schedule, self._spec.rate):
                self._channels[number % len(self._channels)].turn(due_ns)
                number += 1
        self._schedule = schedule
        await arrived(lambda: all(each.settled for each in self._channels), lambda: self.heard)

    def close(self) -> None:
        self.clients.close()

    def findings(self) -> Findings:
        tally, refused = self.tally, self.clients.refused
        joins, seen = self._schedule.recording(), self._schedule.recording()
        for channel in self._channels:
            for member in channel.members:
                member.end(settled=True)
            if missing := channel.unanswered:
                refused[f"joins of {channel.name!r} that were never answered"] += missing
            channel.record(channel.answered_ns, joins)
            channel.record(channel.seen_ns, seen)
        tally.closed = self.clients.closed
        return Findings(tally, refused, {JOIN: joins.result(), SEEN: seen.result()})


class Channel:
    """One presence channel: who is there, whose turn it is, and what was read last."""

    def __init__(self, presence: Presence, name: str, members: int) -> None:
        self.name = name
        self.presence = presence
        self.ledger = Ledger(members)
        self.members = [Member(self, user) for user in range(members)]
        #: Of those who do not stay: who has been there longest comes first, and who has been away.
        self._present: deque[Member] = deque()
        self._absent: deque[Member] = deque()
        #: Turns that were due while nobody was there to leave.
        self._late: deque[int] = deque()
        self._closed_until_ns = 0
        #: By number of the join: when it was due, was answered, and was last heard of; 0: not yet.
        self.due_ns = array("Q")
        self.answered_ns = array("Q")
        self.seen_ns = array("Q")
        self._read: Sequence[bytes] = ()
        self._events: list[MemberEvent] = []

    def start(self, user: int, due_ns: int) -> int:
        """Record that a user asks to join; return the number of the join."""
        self.due_ns.append(due_ns)
        self.answered_ns.append(0)
        self.seen_ns.append(0)
        return self.ledger.start(user)

    def joined(self, member: Member, number: int, now_ns: int) -> None:
        """Record that a join was answered; a turn that waited for it begins."""
        self.answered_ns[number] = now_ns
        if member.user < len(self.members) // 2:
            return
        self._present.append(member)
        if self._late:
            self.turn(self._late.popleft())
        elif now_ns < self._closed_until_ns:
            self.turn(now_ns)

    def lose(self, member: Member) -> None:
        """Record that a member's connection is over, which ends its stay and its turns."""
        member.end(settled=False)
        if self.ledger.started[member.user] > self.ledger.left[member.user]:
            self.ledger.leave(member.user)
        for line in (self._present, self._absent):
            if member in line:
                line.remove(member)

    def make_room(self, count: int) -> None:
        """Let the first few leave."""
        for _ in range(min(count, len(self._present))):
            self._leave()

    def take_turns(self, count: int, end_ns: int) -> None:
        """Begin turns, each of which begins another when it was answered, until the end."""
        self._closed_until_ns = end_ns
        for _ in range(count):
            self.turn(monotonic_ns())

    def turn(self, due_ns: int) -> None:
        """Let one leave and another come back."""
        if not self._present:
            self._late.append(due_ns)
            return
        self._leave()
        self._absent.popleft().join(due_ns)

    def _leave(self) -> None:
        member = self._present.popleft()
        member.leave()
        self._absent.append(member)

    @property
    def unanswered(self) -> int:
        """How many joins still wait for their answer, and turns for somebody to leave."""
        return self.answered_ns.count(0) + len(self._late)

    @property
    def settled(self) -> bool:
        """Whether everybody there has heard all there is to hear."""
        return not self.unanswered and all(
            member.roster is None or not member.roster.outstanding for member in self.members
        )

    def record(self, moments_ns: Sequence[int], recording: Recording) -> None:
        """Record how long after they were due the joins came to such a moment."""
        for due_ns, moment_ns in zip(self.due_ns, moments_ns, strict=True):
            take = recording.slot(due_ns)
            if moment_ns and take is not None:
                take((moment_ns - due_ns) // 1000)

    def events(self, messages: Sequence[bytes]) -> list[MemberEvent]:
        """Return what a read held, message by message."""
        # Most members read what another one just has; the messages are then the same objects.
        if messages != self._read:
            self._read, self._events = (
                messages,
                [read_event(message, self.ledger) for message in messages],
            )
        return self._events


class Member(Conversation):
    """One client that joins and leaves one channel under a user id of its own."""

    __slots__ = ("_answered", "_channel", "_number", "roster", "user")

    def __init__(self, channel: Channel, user: int) -> None:
        super().__init__(channel.presence.clients)
        self._channel = channel
        self._number = -1
        self._answered: list[int] = []
        self.user = user
        #: What it hears of the others, while it is there.
        self.roster: Roster | None = None

    async def begin(self) -> None:
        await self.enter(self._channel.name, self._card(monotonic_ns()))

    def join(self, due_ns: int) -> None:
        """Ask to join."""
        self.ask(self._channel.name, self._card(due_ns))

    def _card(self, due_ns: int) -> str:
        """Record that it asks to join; return the ``channel_data`` that says so."""
        self._number = self._channel.start(self.user, due_ns)
        self._answered = self._channel.ledger.answered.copy()
        return f'{{"user_id":"{self.user}","user_info":{{"join":{self._number}}}}}'

    def leave(self) -> None:
        """Leave the channel; what is still under way to it no longer matters."""
        self.end(settled=False)
        self._channel.ledger.leave(self.user)
        self.unsubscribe(self._channel.name)

    def end(self, *, settled: bool) -> None:
        """End the audit of what it hears, if it is there."""
        roster, self.roster = self.roster, None
        if roster is not None:
            roster.end(settled=settled)
            roster.add_to(self._channel.presence.tally)

    def gone(self, reason: str) -> None:
        super().gone(reason)
        self._channel.lose(self)

    def subscribed(self, channel: str, data: str) -> None:
        now_ns = monotonic_ns()
        ledger = self._channel.ledger
        try:
            present = read_roster(data, ledger)
        except (LookupError, TypeError, ValueError, AttributeError):
            self._clients.refuse(f"a roster with others than the members of this run: {data[:200]}")
            return
        ledger.answer(self.user)
        self.roster = Roster(ledger, self.user, self._answered, present)
        self._channel.presence.heard += 1
        self._clients.counters[ANSWERED] += 1
        self._channel.joined(self, self._number, now_ns)

    def event(self, message: dict[str, Any]) -> None:
        self._clients.refuse(f"an event that nobody of this run has caused: {message}"[:300])

    def heard(self, messages: Sequence[bytes]) -> None:
        self.heard_count += 1
        channel = self._channel
        events = 0
        for kind, value, message in channel.events(messages):
            if kind == OTHER:
                self.take(message)
                continue
            roster = self.roster
            if roster is None:
                continue
            events += 1
            if kind == ADDED:
                channel.seen_ns[value] = monotonic_ns()
                roster.added(value)
            else:
                roster.removed(value)
        channel.presence.heard += events
        self._clients.counters[RECEIVED] += events
