"""The invariants of :mod:`core_witness`, over any order of whatever can happen.

The network loses, doubles, reorders and delays; workers are killed, frozen and cut off; two
processes have one id; the scheduler crashes between any two of its actions, and the disk keeps
only the beginning of what was not synced; the wall clock jumps; nobody can be heard. After every
step the books are checked (:mod:`core_books`) and so is what has been seen (:mod:`core_witness`).
At the end the network heals, and everything has to come to an end.

``CALLBOARD_TEST_EXAMPLES`` is how many of these lives are tried, 120 if it is not set; with more
they are longer too. Hypothesis remembers all of them, so for thousands it is better to have 500
lives each of several ``--hypothesis-seed``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)

from callboard_scheduler import wire
from callboard_scheduler.core import Instant, Turn, actions, begin, events, step
from callboard_scheduler.core.due import _matters
from callboard_scheduler.errors import SchedulerError
from callboard_scheduler.records import (
    Misfire,
    OnConflict,
    OnDisconnect,
    Overlap,
    Raw,
    Retry,
    Schedule,
    Spec,
    Target,
    Task,
)
from callboard_scheduler.states import State
from callboard_scheduler.stores import Change
from callboard_scheduler.stores.memory import Image
from callboard_scheduler.transports import OWN
from scheduler.core_books import check_books, check_nothing_waits_in_vain
from scheduler.core_network import Network, Process, Up
from scheduler.core_witness import APP, Witness

BEGINNING = 1_700_000_000_000
WORKERS = ("w0", "w1", "w2")
QUEUES = ("a", "b")
LIVES = int(os.environ.get("CALLBOARD_TEST_EXAMPLES", "120"))


class Crash(Exception):
    """The scheduler ends here."""


@dataclass
class Write:
    """Changes that are not on the disk yet, and what waits for that."""

    changes: Sequence[Change]
    gated: list[actions.Action]


spans = st.sampled_from([1, 100, 500, 1_000, 1_500, 3_000, 9_000, 12_000])
run_ats = st.sampled_from([None, None, None, 0, 700, 4_000, 30_000])
start_bys = st.sampled_from([None, None, None, -1_000, 1, 2_000, 30_000])
specs = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "name": st.sampled_from(["x", "y"]),
        "priority": st.integers(0, 2),
    },
    optional={
        "run_at": run_ats,
        "start_by": start_bys,
        "timeout_ms": st.sampled_from([500, 4_000]),
        "retry": st.builds(
            Retry, max_attempts=st.integers(1, 3), initial_ms=st.sampled_from([0, 800])
        ),
        "unique_key": st.sampled_from(["k", "l"]),
        "limit_key": st.sampled_from(["m", "n"]),
        "limit": st.integers(1, 2),
        "target": st.none() | st.builds(Target, worker=st.sampled_from(WORKERS)),
        "on_disconnect": st.sampled_from(OnDisconnect),
        "max_losses": st.integers(0, 3),
    },
)
conflicts = st.sampled_from(OnConflict)
few = st.integers(0, 6)
crashes = st.sampled_from([None, None, None, 0, 1, 2, 3, 5, 8, 13])
afters = st.sampled_from([None, None, None, 0, 1, 2])
caps = st.integers(1, 3)
#: None for success, else whether it may be tried again.
errors = st.none() | st.booleans()
fates = st.sampled_from(
    ["up", "up", "up", "up twice", "up lost", "down", "down", "down", "down twice", "down lost"]
)


class Lives(RuleBasedStateMachine):
    """One app over the lives of its schedulers."""

    def __init__(self) -> None:
        super().__init__()
        self.mono, self.wall = 1_000, BEGINNING
        self.disk = Image()
        self.image = Image()
        self.writes: list[Write] = []
        self.network = Network()
        self.witness = Witness()
        self.heard_on: dict[tuple[str, str], int] = {}
        self.asked: dict[int, tuple[str, str, int]] = {}
        self.ids: list[str] = []
        self.tickets = 0
        self.schedules = 0
        self.put: list[str] = []
        self.crash_in: int | None = None

    # The scheduler's lives

    @initialize(
        caps=st.lists(caps, min_size=3, max_size=3),
        drifts=st.lists(st.sampled_from([0.8, 1.0, 1.2]), min_size=3, max_size=3),
    )
    def start(self, caps: list[int], drifts: list[float]) -> None:
        self.begin()
        for worker, cap, drift in zip(WORKERS, caps, drifts, strict=True):
            self.network.start(worker, cap, list(QUEUES), drift)
        self.calm()
        self.tasks_are_submitted([{}, {"name": "y"}], OnConflict.KEEP, None)

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.wall)

    def begin(self) -> None:
        self.term_kept = False
        self.untold: list[actions.Action] = []
        self.core, turn = begin(APP, OWN, self.disk.copy().load(APP), self.now, max_backlog=10_000)
        self.image = self.disk.copy()
        self.writes = []
        self.heard_on.clear()
        self.asked.clear()
        self.witness.restarted(self.core, self.disk)
        self.carry_out(turn)

    def crash(self, kept: int) -> None:
        """The scheduler ends; of what was not synced the first ``kept`` writes are on the disk."""
        self.crash_in = None
        for write in self.writes[:kept]:
            self.to_disk(write)
        self.begin()

    def happen(self, event: events.Event) -> None:
        # What is due comes first, or it would be seen as the event's doing; but that depends on
        # whether anybody could be heard.
        about_hearing = isinstance(event, events.Deaf | events.Hearing)
        for each in (event,) if about_hearing else (events.Tick(), event):
            before = self.witness.before(self.core, self.now)
            if about_hearing:
                self.witness.hears(self.now, isinstance(each, events.Hearing))
            turn = step(self.core, each, self.now)
            self.witness.after(before, self.core, turn.changes)
            if isinstance(each, events.Tick):
                self.witness.lost_by_time(before, turn.changes, self.now)
            if isinstance(each, events.Heard):
                self.witness.spoke(each, before, self.core)
            self.carry_out(turn)

    def carry_out(self, turn: Turn) -> None:
        self.image.apply(turn.changes)
        gated = [each for each in turn.actions if getattr(each, "after_commit", False)]
        self.writes.append(Write(turn.changes, gated))
        self.check()
        for action in turn.actions:
            if isinstance(action, actions.Tell) and isinstance(action.message, wire.Assign):
                self.witness.decided(action.worker, action.message, self.core, self.now)
        for action in turn.actions:
            if getattr(action, "after_commit", False):
                continue
            if self.term_kept or not isinstance(action, actions.Tell):
                self.act(action)
            else:
                self.untold.append(action)

    def act(self, action: actions.Action) -> None:
        if self.crash_in is not None:
            if self.crash_in == 0:
                raise Crash
            self.crash_in -= 1
        if isinstance(action, actions.Tell):
            if isinstance(action.message, wire.Assign):
                self.witness.assigned(action.worker, action.message, self.core)
            elif isinstance(action.message, wire.Done):
                self.witness.done(action.message, self.image)
            self.network.tell(action.worker, self.core.term, action.message)
        elif isinstance(action, actions.CutOff):
            self.network.cut_off(action.worker)
        elif isinstance(action, actions.Answer):
            self.answered(action)

    def to_disk(self, write: Write) -> None:
        self.witness.committed(write.changes, self.disk)
        self.disk.apply(write.changes)

    def sync(self, n: int) -> None:
        for _ in range(min(n, len(self.writes))):
            write = self.writes.pop(0)
            self.to_disk(write)
            # Nothing is said to a worker before the term is on the disk.
            self.term_kept = True
            said, self.untold = self.untold, []
            for action in (*said, *write.gated):
                self.act(action)

    def check(self) -> None:
        check_books(self.core)
        check_nothing_waits_in_vain(self.core)
        for task in self.core.tasks.values():
            if task.spec.schedule is not None:
                assert task.id == f"{task.spec.schedule}.{task.spec.fire_at}"

    def safely(self, do: Callable[[], None], kept: int = 0) -> None:
        """Do something in which the scheduler may crash."""
        try:
            do()
        except Crash:
            self.crash(kept)

    @rule(n=st.integers(1, 5), kept=few)
    def the_disk_takes_some_writes(self, n: int, kept: int) -> None:
        self.safely(lambda: self.sync(n), kept)

    @rule(kept=few, sockets_too=st.sampled_from([False, False, True]))
    def the_scheduler_crashes(self, kept: int, sockets_too: bool) -> None:
        if sockets_too:
            for process in self.network.processes:
                process.disconnect(told=False)
            self.network.ups.clear()
        self.crash(kept)

    # Time

    @rule(ms=spans, heard=st.sampled_from([True, True, False]), kept=few)
    def time_passes(self, ms: int, heard: bool, kept: int) -> None:
        self.safely(lambda: self.pass_time(ms, heard=heard), kept)

    def pass_time(self, ms: int, *, heard: bool) -> None:
        """Let time pass in steps, so that processes beat in between."""
        left = ms
        while left:
            span = min(left, 500)
            self.mono += span
            self.wall += span
            left -= span
            self.network.tick(self.mono)
            self.happen(events.Tick())
            if heard:
                self.calm()

    @rule(
        what=st.sampled_from(["jump", "deaf", "hear", "hear", "suspend", "resume", "resume"]),
        ms=st.sampled_from([-30_000, -1_000, 1_000, 20_000]),
    )
    def the_scheduler_is_disturbed(self, what: str, ms: int) -> None:
        event: events.Event = events.Tick()
        if what == "jump":
            self.wall += ms
        elif what == "deaf":
            # Noticed late: the loop stood still since.
            event = events.Deaf(self.mono)
            self.witness.hears(self.now, hearing=False)
            self.mono += max(0, ms)
            self.wall += max(0, ms)
        elif what == "hear":
            event = events.Hearing()
        else:
            event = events.Suspend(what == "suspend")
        self.safely(lambda: self.happen(event))

    # The network

    @rule(flights=st.lists(st.tuples(fates, few, few), min_size=1, max_size=8), kept=few)
    def some_messages_meet_their_fate(self, flights: list[tuple[str, int, int]], kept: int) -> None:
        for fate, who, which in flights:
            if fate.startswith("up"):
                self.safely(lambda fate=fate, which=which: self.send_up(fate, which), kept)  # type: ignore[misc]
            else:
                self.send_down(fate, who, which)

    def send_up(self, fate: str, which: int) -> None:
        ups = self.network.ups
        if ups:
            place = which % len(ups)
            up = ups[place] if fate == "up twice" else ups.pop(place)
            if fate != "up lost":
                self.arrive(up)

    def send_down(self, fate: str, who: int, which: int) -> None:
        process = self.one_of([each for each in self.network.processes if each.inbox], who)
        if process is None or (process.frozen and fate != "down lost"):
            return
        place = which % len(process.inbox)
        down = process.inbox[place] if fate == "down twice" else process.inbox.pop(place)
        if fate != "down lost":
            process.hear(down)

    @rule(actions_done=crashes, synced=st.booleans(), kept=few)
    def all_is_calm_for_a_moment(self, actions_done: int | None, synced: bool, kept: int) -> None:
        if actions_done is not None:
            self.crash_in = actions_done
        self.safely(lambda: self.calm(synced=synced), kept)

    def calm(self, *, synced: bool = True) -> None:
        """Deliver everything, in order, until nothing is in flight; the disk may stand still."""
        for _ in range(200):
            if synced:
                self.sync(len(self.writes))
            ups, self.network.ups = self.network.ups, []
            for up in ups:
                self.arrive(up)
            inboxes = [each for each in self.network.processes if each.inbox and not each.frozen]
            for process in inboxes:
                downs, process.inbox = process.inbox, []
                for down in downs:
                    process.hear(down)
            if not ups and not inboxes and not (synced and self.writes):
                return
        raise AssertionError("they never stop talking")

    def arrive(self, up: Up) -> None:
        sender = (up.worker, up.boot)
        if up.message is None:
            # The end of a connection counts for the process that was heard on it last.
            if self.heard_on.get(sender) == up.connection:
                del self.heard_on[sender]
                self.happen(events.Left(up.worker, up.boot))
            return
        self.heard_on[sender] = max(up.connection, self.heard_on.get(sender, 0))
        message = up.message
        self.happen(events.Tick())
        worker = self.core.workers.get(up.worker)
        believed = worker is not None and worker.boot == up.boot
        if believed and isinstance(message, wire.Result | wire.Released | wire.Reject):
            self.witness.ended(up.worker, message.f)
        if isinstance(message, wire.Hello) or (believed and isinstance(message, wire.Heartbeat)):
            self.listed(up, message)
            return
        self.happen(events.Heard(up.worker, up.boot, message))

    def listed(self, up: Up, message: wire.Hello | wire.Heartbeat) -> None:
        """What a worker lists is what it runs, if it is welcome at all."""
        worker = self.core.workers.get(up.worker)
        known = self.witness.outstanding.get(up.worker, set())
        running = up.running & self.witness.fences.keys() - self.witness.over
        # What it lists and does not run has ended; what it does not list may be on its way.
        listed = {fence for _, fence in message.run}
        held = {each.fence for each in (worker.held.values() if worker else ())}
        self.witness.outstanding[up.worker] = (held - listed) | running
        changed = isinstance(message, wire.Heartbeat) and worker and worker.cap != up.cap
        (self.witness.unsure.add if changed else self.witness.unsure.discard)(up.worker)
        if isinstance(message, wire.Hello):
            self.hello(up, message, known, running)
        else:
            self.happen(events.Heard(up.worker, up.boot, message))

    def hello(self, up: Up, message: wire.Hello, known: set[int], running: Set[int]) -> None:
        before = self.core.workers.get(up.worker)
        replaced = before is not None and before.boot != up.boot
        if replaced:
            # What the other process runs is nobody's slot any more.
            self.witness.outstanding[up.worker] = set(running)
        self.happen(events.Heard(up.worker, up.boot, message))
        worker = self.core.workers.get(up.worker)
        if worker is None or worker.boot != up.boot:
            self.witness.outstanding[up.worker] = known

    # Workers

    def one_of(self, processes: list[Process], who: int) -> Process | None:
        return processes[who % len(processes)] if processes else None

    @rule(
        ends=st.lists(st.tuples(few, few, errors), min_size=1, max_size=4),
        calm=st.sampled_from([True, True, False]),
        kept=few,
    )
    def functions_end(
        self, ends: list[tuple[int, int, bool | None]], calm: bool, kept: int
    ) -> None:
        if calm:
            self.safely(self.calm, kept)
        for who, which, retry in ends:
            busy = [each for each in self.network.processes if each.running and not each.frozen]
            process = self.one_of(busy, who)
            if process is not None:
                fence = sorted(process.running)[which % len(process.running)]
                fault = None if retry is None else wire.ResultError("Oops", retry=retry)
                process.finish(fence, fault)

    @rule(
        who=few, word=st.sampled_from(["beat", "repeat", "greet", "progress", "change"]), cap=caps
    )
    def a_process_says_something(self, who: int, word: str, cap: int) -> None:
        process = self.one_of([each for each in self.network.processes if not each.frozen], who)
        if process is None or process.connection is None:
            return
        if word == "greet":
            process.greet()
        elif not process.welcomed:
            return
        elif word == "change":
            process.change(cap)
        elif word != "progress":
            getattr(process, word)()
        elif process.running:
            process.progress(min(process.running))

    @rule(
        what=st.sampled_from(["kill", "double", "freeze", "break", "goodbye"]),
        who=few,
        told=st.booleans(),
        cap=caps,
    )
    def a_process_is_in_trouble(self, what: str, who: int, told: bool, cap: int) -> None:
        process = self.one_of(self.network.processes, who)
        if process is None:
            return
        same = [each for each in self.network.processes if each.worker == process.worker]
        if what == "kill":
            process.die(told=told)
            self.network.start(process.worker, cap, list(QUEUES), process.drift)
        elif what == "double" and len(same) < 2:
            self.network.start(process.worker, cap, list(QUEUES), 1.0)
        elif what == "freeze":
            process.frozen_until = self.mono + (4_000 if told else 14_000)
        elif what == "break":
            process.disconnect(told=told)
        elif what == "goodbye" and process.welcomed and not process.frozen:
            process.leave()
            self.network.start(process.worker, cap, list(QUEUES), process.drift)

    # Requests

    def ask(self, what: str, make: Callable[[int], events.Event], task: str = "") -> None:
        self.tickets += 1
        live = self.core.tasks.get(task)
        self.asked[self.tickets] = (what, task, live.gen if live is not None else 0)
        ticket = self.tickets
        self.safely(lambda: self.happen(make(ticket)), kept=ticket % 3)

    def answered(self, action: actions.Answer) -> None:
        asked = self.asked.pop(action.ticket, None)
        value: Any = action.value
        if asked is None or isinstance(value, SchedulerError):
            return
        what, task_id, gen = asked
        if what == "submit":
            for each, _ in value:
                self.witness.submitted.add(each)
        elif what == "cancel":
            self.witness.cancelled.add((task_id, gen))
        elif isinstance(value, Task):
            self.witness.revs[task_id] = max(value.rev, self.witness.revs.get(task_id, 1))

    def at(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Times as they are from now."""
        moved = dict(fields)
        for name in ("run_at", "start_by"):
            if moved.get(name) is not None:
                moved[name] += self.wall
        return moved

    def task_at(self, which: int) -> str:
        """One of the newest tasks."""
        return self.ids[-1 - which % len(self.ids)] if self.ids else "none"

    @rule(
        fields=st.lists(specs, min_size=1, max_size=4),
        conflict=conflicts,
        after=afters,
    )
    def tasks_are_submitted(
        self, fields: list[dict[str, Any]], conflict: OnConflict, after: int | None
    ) -> None:
        tasks = []
        for each in fields:
            spec = {"queue": "a", "name": "x", **self.at(each)}
            if after is not None and self.ids:
                spec["after"] = (self.task_at(after),)
            self.ids.append(f"t{len(self.ids) + 1}")
            tasks.append(events.NewTask(self.ids[-1], Spec(**spec), conflict))
        self.ask("submit", lambda ticket: events.Submit(ticket, tasks))

    @rule(
        what=st.sampled_from(["cancel", "update", "update", "move", "move", "requeue", "pause"]),
        which=few,
        fields=specs,
        after=afters,
        worker=st.sampled_from([None, *WORKERS]),
    )
    def something_is_asked(
        self, what: str, which: int, fields: dict[str, Any], after: int | None, worker: str | None
    ) -> None:
        task = self.task_at(which)
        if what == "cancel":
            self.ask(what, lambda ticket: events.Cancel(ticket, task), task)
        elif what == "update":
            changes = dict(list(self.at(fields).items())[which % 3 :])
            if after is not None:
                changes["after"] = (self.task_at(after),)
            self.ask(what, lambda ticket: events.Change(ticket, task, changes), task)
        elif what == "move":
            target = Target(worker=worker) if worker else None
            self.ask(what, lambda ticket: events.Move(ticket, task, target), task)
        elif what == "requeue":
            stored = self.image.task(APP, task)
            if stored is not None and task not in self.core.tasks:
                self.ask(what, lambda ticket: events.Requeue(ticket, stored.task), task)
        else:
            queue, paused = fields["queue"], worker is None
            self.ask(what, lambda ticket: events.Pause(ticket, queue, paused))

    @rule(
        every_ms=st.sampled_from([400, 2_500]),
        overlap=st.sampled_from(Overlap),
        misfire=st.sampled_from(Misfire),
        again=st.booleans(),
        paused=st.booleans(),
    )
    def a_schedule_is_put(
        self, every_ms: int, overlap: Overlap, misfire: Misfire, again: bool, paused: bool
    ) -> None:
        if not again or not self.put:
            # Each under an id of its own: one that was dropped may have had the same ticks.
            self.schedules += 1
            self.put.append(f"s{self.schedules}")
        if len(self.put) > 2:
            dropped = self.put.pop(0)
            self.ask("drop", lambda ticket: events.DropSchedule(ticket, dropped))
        schedule = Schedule(
            self.put[-1],
            every_ms=every_ms,
            overlap=overlap,
            misfire=misfire,
            paused=paused,
            task=Raw(b'{"name":"x","queue":"a"}'),
        )
        self.ask("put", lambda ticket: events.PutSchedule(ticket, schedule))

    # The end

    def teardown(self) -> None:
        """With a network that works and a worker that stays, everything ends (19 to 21)."""
        if not hasattr(self, "core"):
            return
        self.crash_in = None
        for process in list(self.network.processes):
            process.die(told=True)
        self.happen(events.Hearing())
        self.happen(events.Suspend(False))
        for schedule in list(self.core.schedules):
            self.happen(events.DropSchedule(0, schedule))
        for queue in QUEUES:
            self.happen(events.Pause(0, queue, False))
        for task in list(self.core.tasks):
            if task in self.core.tasks:
                self.happen(events.Move(0, task, None))
        process = self.network.start("w9", 2, list(QUEUES), 1.0)
        for _ in range(400):
            self.calm()
            for fence in list(process.running):
                process.finish(fence, None)
            self.calm()
            if not self.core.tasks:
                break
            self.pass_time(500, heard=True)
        for _ in range(25):
            # Long enough to miss whoever went without a word.
            self.pass_time(500, heard=True)
            self.calm()
        left = {task.id: task.state.value for task in self.core.tasks.values()}
        assert not left, f"19, 20: these never end: {left}"
        self.leaves_nothing()

    def leaves_nothing(self) -> None:
        """18: what is over has left nothing behind."""
        core = self.core
        for derived in (
            *(core.assignments, core.limits, core.unique, core.blockers, core.dependents),
            *(core.handovers, core.ticks, core.ready.stamps, core.unheard, core.offered),
        ):
            assert not derived
        assert [worker.id for worker in core.workers.values() if worker.connected] == ["w9"]
        worker = core.workers["w9"]
        assert (worker.free, worker.ghosts, worker.elsewhere) == (2, {}, 0)
        core.timers.sweep(lambda timer: _matters(core, timer))
        assert len(core.timers) <= 2
        for task_id in self.witness.submitted:
            stored = self.disk.task(APP, task_id)
            assert stored is not None and stored.task.state not in _LIVE
            assert all(each.outcome is not None for each in stored.attempts), stored.attempts


_LIVE = {State.BLOCKED, State.SCHEDULED, State.READY, State.ASSIGNED, State.RUNNING, State.STOPPING}

TestLives = pytest.mark.timeout(900)(Lives.TestCase)
TestLives.settings = settings(
    max_examples=LIVES,
    stateful_step_count=50 if LIVES <= 120 else 100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
