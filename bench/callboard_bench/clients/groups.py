"""Groups of sockets that send client events to one another, each group on a channel of its own.

An event carries its number among those of its sender, so every socket audits each of the others
of its group apart. Its data is an object, as pusher-js sends it: some servers relay that as it
is, others as JSON in a string, and the stamp in it reads the same. Nobody hears itself.

With a rate, the sockets send in turn on a schedule that waits for nobody. Without one, a socket
sends its next event when the last one was heard by all the others.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from callboard_bench.api import App
from callboard_bench.audit import Audit, Tally
from callboard_bench.clients.conversation import Clients, Conversation
from callboard_bench.clients.link import Wire
from callboard_bench.clients.pace import arrived, paced, until
from callboard_bench.clients.part import Findings, Schedule
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import RECEIVED
from callboard_bench.recording import Recording
from callboard_bench.stamps import EVENT, read_stamp, stamped_data
from callboard_bench.websocket import Unexpected

#: What is timed: from the moment at which an event was due until another socket has read it.
LATENCY: Final = "latency"
#: By how much a message is longer than one with the stamp as its data's string.
WRAPPING: Final = len(f'client-{{"{EVENT}":}}')

_TRIED_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class GroupsSpec:
    """The order for :class:`Groups`: ``rate`` events a second of each socket, or infinity."""

    wire: Wire
    app: App
    channels: Sequence[str]
    sockets: int
    rate: float
    message_bytes: int

    def part(self, counters: memoryview) -> Groups:
        return Groups(self, counters)


class Groups:
    """All groups of one generator."""

    def __init__(self, spec: GroupsSpec, counters: memoryview) -> None:
        self.spec = spec
        self.clients = Clients(spec.wire, spec.app, counters)
        self.counters = counters
        self.recording = Recording()
        self.heard = 0
        #: Until when an event that all have heard is followed by another; 0 on a schedule.
        self.closed_until_ns = 0
        #: In the order in which they send: the first of each group, then the second of each.
        self._sockets: list[Socket] = []

    async def open(self) -> None:
        spec = self.spec
        groups = [
            [Socket(self, channel, number * spec.sockets, place) for place in range(spec.sockets)]
            for number, channel in enumerate(spec.channels)
        ]
        for group in groups:
            for socket in group:
                socket.group = group
        self._sockets = [group[place] for place in range(spec.sockets) for group in groups]
        await self.clients.open(self._sockets)
        await self._try()

    async def _try(self) -> None:
        """Send one event, for some servers that relay none say nothing about it.

        Raises:
            Unexpected: it was refused, or nobody heard it.
        """
        self._sockets[0].send_event(monotonic_ns())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TRIED_SECONDS
        while self.heard < self.spec.sockets - 1:
            for words in (*self.clients.refused, *self.clients.closed):
                raise Unexpected(words)
            if loop.time() > deadline:
                raise Unexpected(
                    f"a client event was neither relayed nor refused in {_TRIED_SECONDS:g} s"
                )
            await asyncio.sleep(0.01)

    async def run(self, schedule: Schedule) -> None:
        self.recording = schedule.recording()
        if math.isinf(self.spec.rate):
            await until(schedule.start_ns)
            self.closed_until_ns = schedule.end_ns
            for socket in self._sockets:
                socket.send_event(monotonic_ns())
            await until(schedule.end_ns)
        else:
            sockets = self._sockets
            number = 0
            async for due_ns in paced(schedule, self.spec.rate * len(sockets)):
                sockets[number % len(sockets)].send_event(due_ns)
                number += 1
        await arrived(self._complete, lambda: self.heard)

    def _complete(self) -> bool:
        expected = sum(socket.sent for socket in self._sockets) * (self.spec.sockets - 1)
        # Those heard twice count among the heard, so enough need not be all.
        return self.heard >= expected and not self._tally().lost

    def _tally(self) -> Tally:
        tally = Tally(closed=self.clients.closed)
        for socket in self._sockets:
            tally.misrouted += socket.misrouted
            tally.duplicates += socket.echoes
            for sender, audit in zip(socket.group, socket.audits, strict=True):
                if sender is not socket:
                    tally.add(audit, sender.sent)
        return tally

    def close(self) -> None:
        self.clients.close()

    def findings(self) -> Findings:
        times = {LATENCY: self.recording.result()}
        return Findings(self._tally(), self.clients.refused, times)


class Socket(Conversation):
    """One socket of a group."""

    __slots__ = (
        "_base",
        "_channel",
        "_groups",
        "_head",
        "_place",
        "_unheard",
        "audits",
        "echoes",
        "group",
        "misrouted",
        "sent",
    )

    def __init__(self, groups: Groups, channel: str, base: int, place: int) -> None:
        """Begin; the sockets of a group have the numbers from ``base``, this one its place."""
        super().__init__(groups.clients)
        self._groups = groups
        self._channel = channel
        self._base = base
        self._place = place
        self._head = f'{{"event":"client-{EVENT}","channel":"{channel}","data":{{"{EVENT}":"'
        #: How many have yet to hear the last event.
        self._unheard = 0
        self.group: Sequence[Socket] = ()
        #: What it heard of each of its group.
        self.audits = [Audit() for _ in range(groups.spec.sockets)]
        self.sent = 0
        #: Events that it has sent itself, and those of another group.
        self.echoes = 0
        self.misrouted = 0

    async def begin(self) -> None:
        await self.enter(self._channel)

    def send_event(self, due_ns: int) -> None:
        """Send the next event, which was due at that time; nothing without a connection."""
        if not self.connected:
            return
        spec = self._groups.spec
        stream = self._base + self._place
        stamp = stamped_data(
            self.sent, due_ns, self._channel, spec.message_bytes - WRAPPING, stream
        )
        self.sent += 1
        self._unheard = spec.sockets - 1
        self.send(f'{self._head}{stamp}"}}}}'.encode())

    def heard(self, messages: Sequence[bytes]) -> None:
        self.heard_count += 1
        groups = self._groups
        now_ns = monotonic_ns()
        events = 0
        for message in messages:
            stamp = read_stamp(message)
            if stamp is None:
                self.take(message)
                continue
            events += 1
            stream, number, due_ns = stamp
            place = stream - self._base
            if not 0 <= place < len(self.audits):
                self.misrouted += 1
                continue
            if place == self._place:
                self.echoes += 1
                continue
            try:
                self.audits[place].take(number)
            except ValueError as error:
                self._clients.refuse(str(error))
            take = groups.recording.slot(due_ns)
            if take is not None:
                take((now_ns - due_ns) // 1000)
            if groups.closed_until_ns:
                self.group[place].heard_by_another(number, now_ns)
        groups.heard += events
        groups.counters[RECEIVED] += events

    def heard_by_another(self, number: int, now_ns: int) -> None:
        """Learn that one more has heard an event; send the next when that were all of them."""
        if number != self.sent - 1:
            return
        self._unheard -= 1
        if not self._unheard and now_ns < self._groups.closed_until_ns:
            self.send_event(now_ns)

    def event(self, message: dict[str, Any]) -> None:
        self._clients.refuse(f"an event that nobody of this run has sent: {message}"[:300])
