"""A worker's session under whatever network, scheduler and functions may do, in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker.phases import Phase
from callboard_scheduler.worker.work import STOP_SECONDS
from support.worker_session import Harness, only

SLOTS = 3
LIMITS = wire.Limits(bytes=2_000, rate=8)
#: Longest time that anything due may be held up by the rate.
PATIENCE_SECONDS = 5.0
chances = st.integers(0, 1_000)


class WorkerSession(RuleBasedStateMachine):
    """The scheduler is played by the rules: it repeats, forgets and contradicts itself."""

    @initialize()
    def begin(self) -> None:
        self.worker = Harness(SLOTS)
        self.worker.open(lim=LIMITS)
        #: Every assignment there was, and those whose functions run, by fence.
        self.given: list[wire.Assign] = []
        self.started: set[int] = set()
        self.runs: dict[int, wire.Assign] = {}
        self.stopping: dict[int, float] = {}
        #: Reported fences that the scheduler has not recorded, and those it has.
        self.reported: set[int] = set()
        self.recorded: set[int] = set()

    # The network

    @rule(back=st.booleans())
    def lose(self, back: bool) -> None:
        self.worker.session.lost()
        if back:
            self.worker.session.subscribed(self.worker.now)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.05, 0.6, 2.0, 9.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.note(self.worker.skip(seconds))

    # The scheduler

    @rule(same_session=st.booleans(), verdict=st.sampled_from(["go", "stop"]), chance=chances)
    def welcome(self, same_session: bool, verdict: str, chance: int) -> None:
        if self.worker.session.phase is Phase.AWAY:
            self.worker.session.subscribed(self.worker.now)
        run = [(given.id, given.f, verdict) for given in self.pick(chance)]
        sid = "s" if same_session else f"s{chance}"
        self.hear(self.worker.welcome(sid=sid, run=run, lim=LIMITS))

    @rule(task=st.sampled_from("abcd"), prog_ms=st.sampled_from([0, 100]))
    def assign(self, task: str, prog_ms: int) -> None:
        self.worker.fence += 1
        given = wire.Assign(task, self.worker.fence, 1, "work", prog_ms=prog_ms)
        self.given.append(given)
        self.hear(given)

    @precondition(lambda self: self.given)
    @rule(chance=chances)
    def assign_again(self, chance: int) -> None:
        self.hear(*self.pick(chance))

    @precondition(lambda self: self.given)
    @rule(chance=chances, within_ms=st.sampled_from([0, 500, 2_000]))
    def revoke(self, chance: int, within_ms: int) -> None:
        for given in self.pick(chance):
            self.hear(wire.Revoke(given.id, given.f, "cancelled", within_ms))

    @rule(chance=chances)
    def record(self, chance: int) -> None:
        # Only what was said can be recorded.
        picked = [given for given in self.pick(chance) if given.f in self.reported]
        self.hear(wire.Done([(given.id, given.f, "recorded") for given in picked]))
        if self.worker.session.phase in (Phase.OPEN, Phase.GREETING):
            self.recorded |= {given.f for given in picked}

    @rule(n=st.integers(0, 9), stop=chances, lost=chances)
    def acknowledge(self, n: int, stop: int, lost: int) -> None:
        self.hear(
            wire.HeartbeatAck(
                n,
                [(given.id, given.f) for given in self.pick(stop)],
                [(given.id, given.f) for given in self.pick(lost)],
            )
        )

    @rule(term=st.integers(1, 3))
    def resync(self, term: int) -> None:
        self.worker.term = term
        self.hear(wire.Resync())

    # The functions

    @precondition(lambda self: self.begun)
    @rule(chance=chances, value=st.sampled_from(["null", '"' + "x" * 3_000 + '"']))
    def succeed(self, chance: int, value: str) -> None:
        fence = self.pick_running(chance)
        self.end(fence)
        self.worker.work.succeeded(fence, Raw(value.encode()), False, self.worker.now)

    @precondition(lambda self: self.begun)
    @rule(chance=chances)
    def fail(self, chance: int) -> None:
        fence = self.pick_running(chance)
        self.end(fence)
        self.worker.work.failed(fence, wire.ResultError(), self.worker.now)

    @precondition(lambda self: self.begun)
    @rule(chance=chances, count=st.integers(1, 30))
    def report(self, chance: int, count: int) -> None:
        fence = self.pick_running(chance)
        for n in range(count):
            self.worker.work.progressed(fence, n, "x" * 50, None)
            self.worker.work.logged(fence, "info", "x" * 150)
        self.worker.work.saved(fence, Raw(b"1"))

    # Their loop

    @rule(noticed=st.booleans())
    def block(self, noticed: bool) -> None:
        self.worker.blocked = True
        if noticed and not self.worker.work.blocked:
            self.worker.work.block()
            self.note([])

    @precondition(lambda self: self.worker.blocked)
    @rule()
    def move(self) -> None:
        self.worker.move()

    # What must hold

    @invariant()
    def no_more_runs_than_there_are_slots(self) -> None:
        assert len(self.runs) <= SLOTS
        work, begun = self.worker.work, len(self.begun)
        if work.blocked:
            assert (work.capacity, work.free) == (0, 0)
            return
        # What is sent and has not begun is counted by the scheduler alone.
        assert work.free == SLOTS - begun
        # What the scheduler must not give: the slots of those that would not stop.
        assert work.capacity == SLOTS - begun + len(work.held)

    @invariant()
    def what_waits_for_its_loop_is_not_claimed_and_none_waits_for_one_that_is_blocked(
        self,
    ) -> None:
        assert not {fence for _, fence in self.worker.work.held}.intersection(self.worker.waiting)
        assert not (self.worker.work.blocked and self.worker.waiting)

    @invariant()
    def what_was_told_to_stop_is_reported_in_time(self) -> None:
        for fence, since in self.stopping.items():
            if self.worker.now > since + STOP_SECONDS:
                assert fence in self.worker.work.outbox or fence in self.recorded

    @invariant()
    def events_keep_to_size_and_rate(self) -> None:
        sent = self.worker.sent[-100:]
        assert all(size <= LIMITS.bytes for _, size in sent)
        most = LIMITS.rate * 1.25 + 1
        for at, _ in sent:
            assert sum(at <= other < at + 1 for other, _ in sent) <= most

    def teardown(self) -> None:
        """Whatever happened, a scheduler that listens hears of every end until it records it."""
        if not hasattr(self, "worker"):
            return
        self.worker.move()
        for fence in self.begun:
            self.end(fence)
            self.worker.work.failed(fence, wire.ResultError(), self.worker.now)
        self.worker.term = 9
        self.worker.session.lost()
        self.worker.session.subscribed(self.worker.now)
        self.hear(self.worker.welcome(sid="last", lim=LIMITS))
        waiting = {fence for _, fence in self.worker.work.outbox.claims}
        said = self.worker.skip(PATIENCE_SECONDS)
        ends: list[wire.Result | wire.Released] = [
            *only(wire.Result, said),
            *only(wire.Released, said),
        ]
        assert waiting <= {message.f for message in ends}
        self.hear(wire.Done([(message.id, message.f, "recorded") for message in ends]))
        assert self.worker.work.idle
        assert not only(wire.Result, self.worker.skip(60))

    # Steps of it

    def hear(self, *messages: wire.DownMessage) -> None:
        self.worker.hear(*messages)
        self.note([])

    @property
    def begun(self) -> list[int]:
        """The fences of the functions that run, in order."""
        return sorted(self.runs.keys() - set(self.worker.waiting))

    def note(self, said: list[wire.UpMessage]) -> None:
        for fence in self.worker.started:
            assert fence not in self.started, "started twice"
            self.started.add(fence)
            self.runs[fence] = next(given for given in self.given if given.f == fence)
        for fence, _ in self.worker.stopped:
            self.stopping[fence] = self.worker.now
        for fence in self.worker.dropped:
            self.end(fence)
        self.worker.dropped.clear()
        self.reported |= {message.f for message in only(wire.Result, said)}
        self.reported |= {message.f for message in only(wire.Released, said)}

    def pick(self, chance: int) -> list[wire.Assign]:
        """Return up to two of the assignments there were, of which the newest count most."""
        return [
            self.given[-1 - part] for part in {chance % 7, chance % 3} if part < len(self.given)
        ]

    def pick_running(self, chance: int) -> int:
        return self.begun[chance % len(self.begun)]

    def end(self, fence: int) -> None:
        del self.runs[fence]
        self.stopping.pop(fence, None)


TestWorkerSession = WorkerSession.TestCase
TestWorkerSession.settings = settings(stateful_step_count=80, deadline=None)
