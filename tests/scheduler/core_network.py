"""Correct workers behind a network that keeps no promise, for :mod:`test_core_invariants`.

What was said waits in flight, in both directions, until a test delivers it: in any order, twice,
or never. A process is what ``sched/1`` asks of a worker: it accepts, beats, repeats an end until
it is recorded, drops what is of a lower term, and gives up before its lease is over by its own
clock, which may be wrong by a fifth. It can be killed, frozen, thawed and disconnected.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.transports import OWN

GIVE_UP = 0.8


@dataclass
class Up:
    """A message on its way to the scheduler, or the end of a connection if there is none."""

    worker: str
    boot: str
    connection: int
    message: wire.UpMessage | None
    #: The fences that the process really ran when it said this, and its capacity then.
    running: frozenset[int] = frozenset()
    cap: int = 0


@dataclass
class Down:
    """A message on its way to a process."""

    term: int
    message: wire.DownMessage


@dataclass
class Running:
    """An assignment that a process runs."""

    task: str
    rev: int


class Network:
    """What is in flight, and who is connected."""

    def __init__(self) -> None:
        self.ups: list[Up] = []
        self.processes: list[Process] = []
        self.connections = itertools.count(1)
        self.boots = itertools.count(1)
        self.now = 0

    def tell(self, worker: str, term: int, message: wire.DownMessage) -> None:
        """Put a message in flight to whoever is on the worker's channel."""
        for process in self.processes:
            if process.worker == worker and process.connection is not None:
                process.inbox.append(Down(term, message))

    def cut_off(self, worker: str) -> None:
        """Disconnect whoever is on the worker's channel."""
        for process in self.processes:
            if process.worker == worker:
                process.disconnect(told=True)

    def start(self, worker: str, cap: int, queues: list[str], drift: float) -> Process:
        """Start a process of a worker."""
        process = Process(self, worker, f"boot{next(self.boots)}", cap, queues, drift)
        self.processes.append(process)
        process.connect()
        return process

    def tick(self, now: int) -> None:
        """Let every process do what is due by its clock."""
        self.now = now
        for process in list(self.processes):
            process.tick()


@dataclass
class Process:
    """One process of a worker."""

    network: Network
    worker: str
    boot: str
    cap: int
    queues: list[str]
    #: How much faster than the scheduler's its clock goes.
    drift: float
    connection: int | None = None
    #: It does nothing until then.
    frozen_until: int = 0
    welcomed: bool = False
    term: int = 0
    inbox: list[Down] = field(default_factory=list)
    running: dict[int, Running] = field(default_factory=dict)
    #: What is repeated until it is recorded, by fence.
    outbox: dict[int, wire.UpMessage] = field(default_factory=dict)
    #: The highest fence that is over here, by task.
    over: dict[str, int] = field(default_factory=dict)
    heard_at: int = 0
    spoke_at: int = 0
    beats: dict[int, int] = field(default_factory=dict)

    # Its life

    @property
    def frozen(self) -> bool:
        return self.network.now < self.frozen_until

    def connect(self) -> None:
        self.connection = next(self.network.connections)
        self.term = 0
        self.greet()

    def disconnect(self, *, told: bool) -> None:
        """Break the connection; what was on its way down is lost with it."""
        if self.connection is None:
            return
        if told:
            self._send(None)
        self.connection, self.welcomed = None, False
        self.spoke_at = self.network.now
        self.inbox.clear()

    def die(self, *, told: bool) -> None:
        self.disconnect(told=told)
        self.network.processes.remove(self)

    def tick(self) -> None:
        if self.frozen:
            return
        now = self.network.now
        if self.running and (now - self.heard_at) * self.drift >= GIVE_UP * OWN.lease_ms:
            for fence in list(self.running):
                self._stop(fence)
        if self.connection is None:
            if now - self.spoke_at >= 1_000:
                self.connect()
        elif not self.welcomed:
            if now - self.spoke_at >= 1_000:
                self.greet()
        elif now - self.spoke_at >= OWN.hb_ms:
            self.beat()
            self.repeat()

    # What it says

    def greet(self) -> None:
        self.welcomed = False
        self.spoke_at = self.network.now
        self._send(
            wire.Hello(
                self.worker,
                self.cap,
                self.cap - len(self.running),
                self.queues,
                run=self.claims,
                hb=True,
                resume=True,
            )
        )

    def beat(self) -> None:
        self.spoke_at = self.network.now
        n = len(self.beats) + 1
        self.beats[n] = self.network.now
        revs = {run.task: run.rev for run in self.running.values() if run.rev > 1}
        free = self.cap - len(self.running)
        self._send(wire.Heartbeat(n, free, self.claims, None, revs))

    def repeat(self) -> None:
        for message in self.outbox.values():
            self._send(message)

    @property
    def claims(self) -> list[tuple[str, int]]:
        held = [(run.task, fence) for fence, run in self.running.items()]
        return held + [(message.id, message.f) for message in self.outbox.values()]  # type: ignore[union-attr]

    def finish(self, fence: int, error: wire.ResultError | None) -> None:
        """Its function has returned, or raised."""
        task = self.running[fence].task
        value = Raw(b'"%d"' % fence)
        if error is None:
            self._end(fence, wire.Result(task, fence, val=value))
        else:
            self._end(fence, wire.Result(task, fence, ok=False, err=error))

    def progress(self, fence: int) -> None:
        self._send(wire.ProgressReport(self.running[fence].task, fence, self.network.now, 50.0))

    def change(self, cap: int) -> None:
        self.cap = cap
        self._send(wire.Capacity(cap, max(0, cap - len(self.running))))

    def leave(self) -> None:
        self._send(wire.Bye())
        self.die(told=True)

    def _send(self, message: wire.UpMessage | None) -> None:
        if self.connection is not None and not (self.frozen and message is not None):
            sender = (self.worker, self.boot, self.connection)
            self.network.ups.append(Up(*sender, message, frozenset(self.running), self.cap))

    def _say(self, message: wire.UpMessage) -> None:
        if self.welcomed:
            self._send(message)

    def _end(self, fence: int, message: wire.Result | wire.Released) -> None:
        del self.running[fence]
        self.over[message.id] = max(fence, self.over.get(message.id, 0))
        self.outbox[fence] = message
        self._say(message)

    def _stop(self, fence: int) -> None:
        if fence in self.running:
            self._end(fence, wire.Released(self.running[fence].task, fence))

    # What it hears

    def hear(self, down: Down) -> None:
        """Take a message that has arrived."""
        if down.term < self.term or self.connection is None:
            return
        if down.term > self.term:
            self.term = down.term
            if self.welcomed:
                self.greet()
        message = down.message
        if isinstance(message, wire.Welcome):
            self._welcomed(message)
        elif isinstance(message, wire.Assign):
            self._assigned(message)
        elif isinstance(message, wire.Update):
            run = self.running.get(message.f)
            if run is not None:
                run.rev = max(run.rev, message.rev)
        elif isinstance(message, wire.Revoke):
            self._revoked(message)
        elif isinstance(message, wire.Done):
            for _, fence, _ in message.r:
                self.outbox.pop(fence, None)
        elif isinstance(message, wire.HeartbeatAck):
            self.heard_at = max(self.heard_at, self.beats.get(message.n, 0))
            for _, fence in message.stop:
                self._stop(fence)
            for task, fence in message.lost:
                self._confirm(task, fence)
        elif isinstance(message, wire.Resync):
            self.greet()
        elif isinstance(message, wire.Refused) and message.boot == self.boot:
            # It stops its work, as it is not the worker, and tries again.
            self.welcomed = False
            for fence in list(self.running):
                self._stop(fence)

    def _welcomed(self, welcome: wire.Welcome) -> None:
        if welcome.boot != self.boot:
            return
        self.welcomed = True
        self.heard_at = max(self.heard_at, self.spoke_at)
        for _, fence, verdict in welcome.run:
            if verdict == "stop":
                self._stop(fence)
        self.repeat()

    def _assigned(self, given: wire.Assign) -> None:
        if not self.welcomed:
            return
        if given.f in self.running or given.f <= self.over.get(given.id, 0):
            self._confirm(given.id, given.f)
            return
        for fence in [fence for fence, run in self.running.items() if run.task == given.id]:
            self._stop(fence)
        if len(self.running) >= self.cap:
            self.over[given.id] = given.f
            self._say(wire.Reject(given.id, given.f, "busy"))
            return
        self.running[given.f] = Running(given.id, given.rev)
        self._say(wire.Accept(given.id, given.f))

    def _confirm(self, task: str, fence: int) -> None:
        if fence in self.running:
            self._say(wire.Accept(task, fence))
        elif fence in self.outbox:
            self._say(self.outbox[fence])
        elif fence <= self.over.get(task, 0):
            self._say(wire.Reject(task, fence, "busy"))

    def _revoked(self, revoke: wire.Revoke) -> None:
        if revoke.f in self.running:
            self._stop(revoke.f)
        elif revoke.f in self.outbox:
            self._say(self.outbox[revoke.f])
        elif revoke.f > self.over.get(revoke.id, 0):
            self.over[revoke.id] = revoke.f
            self.outbox[revoke.f] = wire.Released(revoke.id, revoke.f)
            self._say(self.outbox[revoke.f])
