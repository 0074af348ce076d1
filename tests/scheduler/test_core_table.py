"""Every row of the table of states happens, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard_scheduler.core import events, model
from callboard_scheduler.core.ending import MOST_UNHEARD
from callboard_scheduler.records import Retry, StopReason
from callboard_scheduler.states import TERMINAL, TRANSITIONS, IllegalMove, State, Trigger, check
from scheduler.core_world import World

Row = tuple[State | None, Trigger, State]

ROWS: list[Row] = [
    (before, trigger, after)
    for before, triggers in TRANSITIONS.items()
    for trigger, ends in triggers.items()
    for after in sorted(ends, key=lambda state: state.value)
]
LATER = 3_600_000


class Story:
    """One task t in a world with what its row needs."""

    def __init__(self) -> None:
        self.world = World()
        self.blocker = self.world.submit(queue="elsewhere")
        self.task = "t"

    def submit(self, **spec: Any) -> None:
        spec = {"start_by": self.world.wall + 2 * LATER, **spec}
        new = self.world.new(retry=Retry(max_attempts=2, initial_ms=0), **spec)
        self.task = self.world.submit_all([new])[0]

    # A task in each state

    def reach(self, state: State | None, trigger: Trigger) -> None:
        world = self.world
        if state is None:
            return
        if state is State.BLOCKED:
            self.submit(after=(self.blocker,))
        elif state is State.SCHEDULED and trigger is Trigger.LATE_RESULT:
            self.reach(State.READY, trigger)
            world.update(self.task, run_at=world.wall + LATER)
        elif state is State.SCHEDULED:
            self.submit(run_at=world.wall + (3 if trigger is Trigger.EXPIRE else 1) * LATER)
        elif state is State.READY and trigger is Trigger.LATE_RESULT:
            self.reach(State.RUNNING, Trigger.HEARD)
            world.passes(10_000)
            world.workers["w1"].hello(run=[], cap=0)
        elif state is State.READY and trigger is Trigger.REMEMBER:
            world.pause()
            self.submit()
            disk = world.image.copy()
            world.worker()
            world.resume()
            world.image = disk
            world.restart()
        elif state is State.READY:
            self.submit()
        elif state is State.ASSIGNED and trigger is Trigger.LATE_RESULT:
            self.reach(State.READY, trigger)
            world.worker("w2")
        elif state is State.ASSIGNED:
            self.submit()
            world.worker()
        elif state is State.RUNNING:
            self.reach(State.ASSIGNED, trigger)
            world.workers["w1"].accepts(self.task)
        elif state is State.STOPPING:
            self.reach(State.RUNNING, trigger)
            world.move(self.task, "elsewhere")
        else:
            self.finish(state)
        assert world.state(self.task) == state.value

    def finish(self, state: State) -> None:
        world = self.world
        if state is State.SUCCEEDED:
            self.reach(State.ASSIGNED, Trigger.ASSIGN)
            world.workers["w1"].succeeds(self.task)
        elif state is State.DEAD:
            self.reach(State.ASSIGNED, Trigger.ASSIGN)
            world.workers["w1"].fails(self.task, retry=False)
        elif state is State.CANCELLED:
            self.submit()
            world.cancel(self.task)
        else:
            self.submit(start_by=world.wall + 10)
            world.passes(10)

    # What happens to it

    def happen(self, before: State | None, trigger: Trigger, after: State) -> None:
        _HAPPENS[trigger](self, after)

    def submitted(self, after: State) -> None:
        fields: dict[State, dict[str, object]] = {
            State.BLOCKED: {"after": (self.blocker,)},
            State.SCHEDULED: {"run_at": self.world.wall + LATER},
            State.READY: {},
        }
        self.submit(**fields[after])

    def met(self, after: State) -> None:
        if after is State.SCHEDULED:
            self.world.update(self.task, run_at=self.world.wall + LATER)
        self.world.worker(q=["elsewhere"]).succeeds(self.blocker)

    def updated(self, after: State) -> None:
        fields: dict[State, dict[str, object]] = {
            State.BLOCKED: {"after": (self.blocker,)},
            State.SCHEDULED: {"after": (), "run_at": self.world.wall + LATER + 1},
            State.READY: {"after": (), "run_at": None},
        }
        self.world.update(self.task, **fields[after])

    def handed_back(self, after: State) -> None:
        if after is State.SCHEDULED:
            # Its time has come once; by a clock that was set back it is still to come.
            self.world.core.tasks[self.task].run_at = self.world.wall
            self.world.jumps(-LATER)
        self.world.workers["w1"].rejects(self.task)

    def failed(self, after: State) -> None:
        worker = self.world.workers["w1"]
        if after is State.DEAD:
            worker.fails(self.task, retry=False)
        else:
            worker.fails(self.task, after_ms=LATER if after is State.SCHEDULED else 0)

    def lost(self, after: State) -> None:
        if self.world.state(self.task) == "assigned":
            for number in range(MOST_UNHEARD - 1):
                self.world.workers["w1"].leaves()
                self.world.worker("w1", f"boot {number}")
        elif after is State.DEAD:
            self.world.update(self.task, max_losses=0)
        self.world.workers["w1"].leaves()

    def late(self, after: State) -> None:
        old = self.world.workers["w1"]
        old.succeeds(self.task)

    def stopped(self, after: State) -> None:
        world = self.world
        if after is State.CANCELLED:
            world.cancel(self.task)
        elif after is State.SCHEDULED:
            world.update(self.task, run_at=world.wall + LATER)
        elif after is State.DEAD:
            world.core.tasks[self.task].stop_reason = StopReason.TIMEOUT
            world.update(self.task, retry=Retry(max_attempts=1))
        world.workers["w1"].releases(self.task)


_HAPPENS: dict[Trigger, Callable[[Story, State], object]] = {
    Trigger.SUBMIT: Story.submitted,
    Trigger.DEPENDENCIES_MET: Story.met,
    Trigger.DEPENDENCY_FAILED: lambda story, _: story.world.cancel(story.blocker),
    Trigger.DUE: lambda story, _: story.world.passes(LATER),
    Trigger.ASSIGN: lambda story, _: story.world.worker(),
    Trigger.HEARD: lambda story, _: story.world.workers["w1"].accepts(story.task),
    Trigger.HANDED_BACK: Story.handed_back,
    Trigger.SUCCEED: lambda story, _: story.world.workers["w1"].succeeds(story.task),
    Trigger.FAIL: Story.failed,
    Trigger.LOSE_WORKER: Story.lost,
    Trigger.CANCEL: lambda story, _: story.world.cancel(story.task),
    Trigger.STOP: lambda story, _: story.world.cancel(story.task),
    Trigger.STOPPED: Story.stopped,
    Trigger.EXPIRE: lambda story, _: story.world.jumps(2 * LATER),
    Trigger.UPDATE: Story.updated,
    Trigger.LATE_RESULT: Story.late,
    Trigger.REMEMBER: lambda story, _: story.world.workers["w1"].hello(
        run=[(story.task, story.world.workers["w1"].fence(story.task))], free=0
    ),
    Trigger.REQUEUE: lambda story, _: story.world.requeue(story.task),
}


def _name(row: Row) -> str:
    before, trigger, after = row
    return f"{before.value if before else 'nothing'}, {trigger.value}: {after.value}"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_every_row_happens(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    before, trigger, after = row
    story = Story()
    story.reach(before, trigger)
    moves: list[Row] = []

    def note(before: State | None, trigger: Trigger, after: State) -> None:
        moves.append((before, trigger, after))
        check(before, trigger, after)

    monkeypatch.setattr(model, "check", note)
    story.happen(before, trigger, after)
    assert row in moves
    stored = story.world.image.task("app", story.task)
    assert stored is not None


def test_what_is_not_in_the_table_is_a_defect() -> None:
    with pytest.raises(IllegalMove, match="'due' does not lead from running to ready"):
        check(State.RUNNING, Trigger.DUE, State.READY)
    with pytest.raises(IllegalMove, match="from nothing"):
        check(None, Trigger.ASSIGN, State.ASSIGNED)


def test_nothing_leads_out_of_an_end_but_a_requeue() -> None:
    for state in TERMINAL:
        assert list(TRANSITIONS[state]) == [Trigger.REQUEUE]


def test_every_trigger_has_an_effect_somewhere() -> None:
    used = {trigger for triggers in TRANSITIONS.values() for trigger in triggers}
    assert used == set(Trigger) == set(_HAPPENS)


def test_a_time_out_leads_to_dead_from_stopping_by_itself() -> None:
    """As the row's story only pretends that its time was over."""
    world = World()
    worker = world.worker(hb=False)
    task = world.submit(timeout_ms=10, retry=Retry(max_attempts=1))
    worker.accepts(task)
    world.passes(10)
    world.happen(events.Tick())
    worker.releases(task)
    assert world.state(task) == "dead"
