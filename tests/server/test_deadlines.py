"""Deadlines: never early, never much late, and the same as the plainest model says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from callboard_server.deadlines import TICK_SECONDS, Deadlines


class Item:
    """Notes when it was told; may set itself a new deadline then."""

    def __init__(self, deadlines: Deadlines, told: list[Item], again: float | None = None) -> None:
        self.due: int | None = None
        self._deadlines = deadlines
        self._told = told
        self._again = again

    def overdue(self) -> None:
        assert self.due is None, "it is no longer set"
        self._told.append(self)
        if self._again is not None:
            self._deadlines.set(self, self._again)


@given(
    began=st.floats(0, 1e6),
    before=st.floats(0, 1e4),
    seconds=st.floats(0, 1e4),
    step=st.floats(0.01, 5),
)
def test_a_deadline_is_never_early_and_two_ticks_late_at_most(
    began: float, before: float, seconds: float, step: float
) -> None:
    deadlines, told = Deadlines(began), list[Item]()
    item = Item(deadlines, told)
    now = began + before
    deadlines.advance(now)
    deadlines.set(item, seconds)
    set_at = now
    # Go near, and then in steps, so that the example stays short.
    for now in (set_at + seconds - step, set_at + seconds):
        deadlines.advance(now)
        assert not told, "early"
    deadlines.advance(set_at + seconds + 2 * TICK_SECONDS + 1e-6)
    assert told == [item]
    assert len(deadlines) == 0


def test_the_oldest_are_told_first() -> None:
    deadlines, told = Deadlines(0.0), list[Item]()
    items = [Item(deadlines, told) for _ in range(5)]
    for place in (3, 0, 4, 1, 2):
        deadlines.set(items[place], place + 1.0)
    deadlines.advance(100.0)
    assert told == items


def test_after_a_long_sleep_everything_is_told_once() -> None:
    deadlines, told = Deadlines(0.0), list[Item]()
    items = [Item(deadlines, told, again=5.0) for _ in range(3)]
    for item in items:
        deadlines.set(item, 1.0)
    deadlines.advance(1e6)
    assert sorted(map(id, told)) == sorted(map(id, items))
    assert len(deadlines) == 3


def test_one_told_may_cancel_or_move_another_of_the_same_moment() -> None:
    deadlines, told = Deadlines(0.0), list[Item]()
    victims = [Item(deadlines, told) for _ in range(20)]
    moved = [Item(deadlines, told) for _ in range(20)]

    class Meddler(Item):
        def overdue(self) -> None:
            super().overdue()
            for victim in victims:
                deadlines.cancel(victim)
            for item in moved:
                deadlines.set(item, 10.0)

    first = Meddler(deadlines, told)
    deadlines.set(first, 0.5)
    for item in (*victims, *moved):
        deadlines.set(item, 1.0)
    deadlines.advance(3.0)
    assert told == [first]
    deadlines.advance(20.0)
    assert len(told) == 21


def test_a_clock_that_stands_or_goes_back_does_no_harm() -> None:
    deadlines, told = Deadlines(100.0), list[Item]()
    item = Item(deadlines, told)
    deadlines.set(item, 1.0)
    for now in (100.0, 100.0, 50.0, 100.5):
        deadlines.advance(now)
    assert not told
    deadlines.advance(102.0)
    assert told == [item]
    tick = deadlines.tick
    deadlines.advance(90.0)
    assert deadlines.tick == tick


def test_seconds_since_counts_whole_ticks() -> None:
    deadlines = Deadlines(0.0)
    noted = deadlines.tick
    deadlines.advance(10.1)
    assert deadlines.seconds_since(noted) == 10.0


class Model(RuleBasedStateMachine):
    """Against a dictionary of due times that is searched in full."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines = Deadlines(0.0)
        self.told: list[Item] = []
        self.items = [Item(self.deadlines, self.told) for _ in range(6)]
        self.ticks = 0
        self.due: dict[Item, int] = {}

    @rule(place=st.integers(0, 5), ticks=st.integers(0, 60))
    def set(self, place: int, ticks: int) -> None:
        item = self.items[place]
        self.deadlines.set(item, ticks * TICK_SECONDS)
        self.due[item] = self.ticks + ticks + 1

    @rule(place=st.integers(0, 5))
    def cancel(self, place: int) -> None:
        self.deadlines.cancel(self.items[place])
        self.due.pop(self.items[place], None)

    @rule(ticks=st.integers(0, 3) | st.integers(0, 200))
    def advance(self, ticks: int) -> None:
        self.told.clear()
        self.ticks += ticks
        self.deadlines.advance(self.ticks * TICK_SECONDS)
        expected = {item for item, due in self.due.items() if due <= self.ticks}
        assert len(self.told) == len(expected)
        assert set(self.told) == expected
        order = [self.due.pop(item) for item in self.told]
        assert order == sorted(order)

    @precondition(lambda self: self.ticks > 10)
    @rule(ticks=st.integers(1, 10))
    def go_back(self, ticks: int) -> None:
        self.told.clear()
        self.deadlines.advance((self.ticks - ticks) * TICK_SECONDS)
        assert not self.told

    @invariant()
    def as_many_are_set(self) -> None:
        assert len(self.deadlines) == len(self.due)
        assert {item for item in self.items if item.due is not None} == set(self.due)


TestModel = Model.TestCase
