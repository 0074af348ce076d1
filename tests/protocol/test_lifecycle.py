"""The table of a connection's life: complete, and never back from the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol.lifecycle import TRANSITIONS, Event, State, step


def test_every_state_answers_every_event_and_nothing_else() -> None:
    assert set(TRANSITIONS) == set(State)
    for answers in TRANSITIONS.values():
        assert set(answers) == set(Event)
        assert set(answers.values()) <= set(State)


@pytest.mark.parametrize(
    ("state", "event", "following"),
    [
        (State.OPEN, Event.HEARD, State.OPEN),
        (State.OPEN, Event.QUIET, State.PINGED),
        (State.PINGED, Event.HEARD, State.OPEN),
        (State.PINGED, Event.QUIET, State.CLOSING),
        (State.CLOSING, Event.HEARD, State.CLOSING),
        (State.CLOSING, Event.QUIET, State.CLOSED),
    ],
)
def test_silence_is_asked_about_once_and_then_ends_it(
    state: State, event: Event, following: State
) -> None:
    assert step(state, event) is following


@pytest.mark.parametrize("state", State)
def test_a_lost_transport_is_the_end(state: State) -> None:
    assert step(state, Event.LOST) is State.CLOSED


@pytest.mark.parametrize("state", State)
def test_silence_ends_every_state_in_three_steps(state: State) -> None:
    for _ in range(3):
        state = step(state, Event.QUIET)
    assert state is State.CLOSED


@given(st.lists(st.sampled_from(Event)))
def test_what_is_ending_never_comes_back(events: list[Event]) -> None:
    order = [State.OPEN, State.PINGED, State.CLOSING, State.CLOSED]
    state = State.OPEN
    for event in events:
        following = step(state, event)
        if state in (State.CLOSING, State.CLOSED):
            assert order.index(following) >= order.index(state)
        state = following
