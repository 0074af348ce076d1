"""A worker's side of ``sched/1`` without IO: its conversation with the scheduler.

The caller hands in what happened with the time (seconds of one monotonic clock), then takes
:meth:`Session.take_actions` and :meth:`Session.outgoing`, and calls :meth:`Session.tick` no later
than :attr:`Session.deadline`. What is held is :attr:`Session.work`. Rules:

1. ``hello`` is repeated until ``welcome``, at once if it is asked for; it claims all that is
   held, finished or not. ``hb`` lists what runs: what finished takes no slot.
2. A term lower than the highest one heard is ignored. A new subscription forgets it, for the
   scheduler may have been set up anew; a higher term without a welcome is greeted.
3. Without an acknowledged heartbeat for 0.8 of the lease all work is stopped
   (:mod:`signs_of_life`), before the scheduler gives it away.
4. Events are limited to the service's size and rate. What waits for the rate is merged meanwhile;
   log lines are dropped first, results never.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker.actions import Action, Blocked, Drain, Probe, Refuse, Welcomed
from callboard_scheduler.worker.bucket import Bucket
from callboard_scheduler.worker.packing import Packer
from callboard_scheduler.worker.phases import Phase, Signal, step
from callboard_scheduler.worker.pulse import Look, Pulse
from callboard_scheduler.worker.signs_of_life import Greeting, Lease
from callboard_scheduler.worker.work import Work

#: What any service allows, until ``welcome`` says more.
CAUTIOUS: Final = wire.Limits(bytes=9_500, rate=8)

_encode: Final = msgspec.json.Encoder().encode


class Session:
    """One worker, over all its connections.

    ``hello`` is what it says of itself; its ``cap`` tasks run at a time. ``token`` is asked for
    with every greeting. ``jitter`` returns a number from 0 to 1. ``loop_needed`` says that a
    function may need the user's loop, which is then watched.
    """

    def __init__(
        self,
        hello: wire.Hello,
        boot: str,
        now: float,
        *,
        jitter: Callable[[], float],
        token: Callable[[], str | None] = lambda: None,
        loop_needed: bool = False,
    ) -> None:
        self._hello = hello
        self._boot = boot
        self._token = token
        self._actions: list[Action] = []
        self._packer = Packer()
        self.work = Work(hello.cap, hello.names, self._packer, self._actions)
        self.phase = Phase.AWAY
        self._greeting = Greeting(jitter)
        self._lease = Lease(now)
        self._pulse = Pulse(needed=loop_needed)
        self._bucket = Bucket(CAUTIOUS.rate, now)
        self._hello_sent_at = now
        self._events = 0
        self._term = 0
        self._sid = ""
        self._set_limits(CAUTIOUS)

    # What the caller asks

    @property
    def deadline(self) -> float:
        """When :meth:`tick` or :meth:`outgoing` has something to do; inf if only by an input."""
        deadline = self.work.stops_at
        if self.work.runs_something:
            deadline = min(deadline, self._lease.give_up_at)
        if self.work.holds_something:
            deadline = min(deadline, self._pulse.due_at)
        return min(deadline, max(self._speaks_at, self._bucket.ready_at))

    def take_actions(self) -> list[Action]:
        """Return what the caller has to do, in order."""
        actions = self._actions.copy()
        self._actions.clear()
        return actions

    # What happens

    def subscribed(self, now: float) -> None:
        """The worker's channel is subscribed, for the first time or once more."""
        self._term = 0
        self._greet(Signal.SUBSCRIBED, now)

    def lost(self) -> None:
        """The connection is gone, and with it what it had not delivered."""
        self._step(Signal.LOST)
        self._packer.clear()
        self.work.unheard()

    def received(self, data: str, now: float) -> None:
        """Take the data of one ``sched`` event.

        Raises:
            wire.BadEnvelope: it is no such thing; nothing has changed.
        """
        envelope = wire.decode_down(data)
        if envelope.term < self._term:
            return
        newer, self._term = envelope.term > self._term, envelope.term
        if newer and self.phase is Phase.OPEN:
            self._greet(Signal.FORGOTTEN, now)
        for message in envelope.m:
            hear = _HEAR[self.phase].get(type(message))
            if hear is not None:
                hear(self, message, now)

    def tick(self, now: float) -> None:
        """Do what is due by time alone."""
        if self.work.runs_something and now >= self._lease.give_up_at:
            self.work.stop_all("lost", now)
        self.work.abandon_overdue(now)
        if self.work.holds_something and now >= self._pulse.due_at:
            self._look(now)

    def moved(self, now: float) -> None:
        """The loop has answered a :class:`Probe`."""
        self._pulse.answered(now)
        if self.work.blocked:
            self.work.unblock()

    def leave(self, why: str) -> list[str]:
        """Say goodbye: nothing is said or heard after the events that this returns."""
        messages = [_encode(wire.Bye(why))] if self.phase is Phase.OPEN else []
        self._step(Signal.LEAVE)
        return [self._envelope(messages)] if messages else []

    # What it says

    def outgoing(self, now: float) -> list[str]:
        """Return the data of the ``client-sched`` events to send now; they count as sent."""
        events: list[str] = []
        if self.phase is Phase.GREETING:
            if now >= self._greeting.due_at and self._bucket.ready(now):
                events.append(self._say_hello(now))
            return events
        while self.phase is Phase.OPEN and self._bucket.ready(now):
            if not self._packer.holds_messages:
                if now >= self._lease.due_at:
                    self._packer.add([_encode(self._heartbeat(now))])
                self.work.say(now)
            messages = self._packer.take(self.limits.bytes)
            if not messages:
                break
            self._bucket.take(now)
            events.append(self._envelope(messages))
        return events

    @property
    def _speaks_at(self) -> float:
        """When there is something to say, if the rate allows it."""
        if self.phase is Phase.GREETING:
            return self._greeting.due_at
        if self.phase is not Phase.OPEN:
            return math.inf
        return -math.inf if self._packer else min(self._lease.due_at, self.work.speaks_at)

    def _say_hello(self, now: float) -> str:
        self._greeting.said(now)
        self._hello_sent_at = now
        self._bucket.take(now)
        hello = msgspec.structs.replace(
            self._hello,
            cap=self.work.capacity,
            free=self.work.free,
            # What is finished too: it is not lost, its result is here.
            run=self.work.held + self.work.outbox.claims,
            token=self._token(),
        )
        return self._envelope([_encode(hello)])

    def _heartbeat(self, now: float) -> wire.Heartbeat:
        self.work.listed()
        n, work = self._lease.beat(now), self.work
        return wire.Heartbeat(n, work.free, work.held, None, work.revisions)

    def _envelope(self, messages: Sequence[bytes]) -> str:
        self._events += 1
        return wire.encode_up(self._boot, self._events, [Raw(message) for message in messages])

    # What it hears

    def _welcomed(self, welcome: wire.Welcome, now: float) -> None:
        if welcome.boot != self._boot:
            # Another process has this worker's id: which of them stays is not decided here.
            return
        self._set_limits(welcome.lim)
        self._bucket.change(welcome.lim.rate, now)
        self._lease.welcomed(welcome.hb_ms, welcome.lease_ms, self._hello_sent_at)
        self._step(Signal.WELCOMED)
        if welcome.sid != self._sid:
            self._sid = welcome.sid
            self._lease.restart(now)
            self.work.repeat(now)
            self._actions.append(Welcomed())
        for _, fence, verdict in welcome.run:
            if verdict == "stop":
                self.work.disowned(fence, now)

    def _updated(self, update: wire.Update, now: float) -> None:
        if self.work.updated(update):
            # The heartbeat says that it has arrived.
            self._lease.hurry(now)

    def _recorded(self, done: wire.Done, now: float) -> None:
        for _, fence, _ in done.r:
            self.work.outbox.recorded(fence)

    def _acknowledged(self, ack: wire.HeartbeatAck, now: float) -> None:
        self._lease.acknowledged(ack.n)
        for _, fence in ack.stop:
            self.work.disowned(fence, now)
        for task_id, fence in ack.lost:
            self.work.confirm(task_id, fence, now)

    def _asked_to_drain(self, drain: wire.Drain, now: float) -> None:
        self.work.drain()
        self._actions.append(Drain(drain.within_ms))

    def _asked_to_greet(self, resync: wire.Resync, now: float) -> None:
        self._greet(Signal.FORGOTTEN, now)

    def _refused(self, refused: wire.Refused, now: float) -> None:
        if refused.boot not in ("", self._boot):
            # Another process with this worker's id is not to have it.
            return
        self._step(Signal.LEAVE)
        self._actions.append(Refuse(refused.why))

    def _greet(self, signal: Signal, now: float) -> None:
        self._step(signal)
        if self.phase is Phase.GREETING:
            self._packer.clear()
            self._greeting.begin(now)

    def _look(self, now: float) -> None:
        match self._pulse.look(now):
            case Look.ASK:
                self._actions.append(Probe())
            case Look.BLOCKED:
                self._actions.append(Blocked())
                self.work.block()

    def _set_limits(self, limits: wire.Limits) -> None:
        self.limits = limits
        self.work.max_bytes = limits.bytes

    def _step(self, signal: Signal) -> None:
        self.phase = step(self.phase, signal)


_Hear = Callable[[Session, Any, float], None]

#: What is listened to in each phase. Nothing of the work counts before a welcome, for two
#: processes with one id hear each other's; and a refusal is for whoever has not been welcomed.
_HEAR: Final[Mapping[Phase, Mapping[type[wire.DownMessage], _Hear]]] = {
    Phase.AWAY: {},
    Phase.GREETING: {
        wire.Welcome: Session._welcomed,
        wire.Done: Session._recorded,
        wire.Resync: Session._asked_to_greet,
        wire.Refused: Session._refused,
    },
    Phase.OPEN: {
        wire.Welcome: Session._welcomed,
        wire.Assign: lambda session, given, now: session.work.assigned(given, now),
        wire.Update: Session._updated,
        wire.Revoke: lambda session, revoke, now: session.work.revoked(revoke, now),
        wire.Done: Session._recorded,
        wire.HeartbeatAck: Session._acknowledged,
        wire.Drain: Session._asked_to_drain,
        wire.Resync: Session._asked_to_greet,
    },
    Phase.LEFT: {},
}
