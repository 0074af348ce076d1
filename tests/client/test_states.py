"""The client's states: what pusher-js documents of them holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_client.states import TRANSITIONS, Input, State, step

FINAL = (State.FAILED, State.DISCONNECTED)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([Input.OPENED], State.CONNECTING),
        ([Input.OPENED, Input.ESTABLISHED], State.CONNECTED),
        ([Input.OPENED, Input.OVERDUE], State.UNAVAILABLE),
        ([Input.OPENED, Input.OVERDUE, Input.LOST], State.UNAVAILABLE),
        ([Input.OPENED, Input.OVERDUE, Input.ESTABLISHED], State.CONNECTED),
        ([Input.OPENED, Input.ESTABLISHED, Input.LOST], State.CONNECTING),
        ([Input.OPENED, Input.ESTABLISHED, Input.OVERDUE], State.CONNECTED),
        ([Input.OPENED, Input.REFUSED], State.FAILED),
        ([Input.OPENED, Input.ESTABLISHED, Input.REFUSED], State.FAILED),
        ([Input.CLOSED, Input.OPENED], State.DISCONNECTED),
        ([Input.OPENED, Input.REFUSED, Input.CLOSED], State.FAILED),
    ],
)
def test_a_life_ends_where_it_should(inputs: list[Input], expected: State) -> None:
    state = State.INITIALIZED
    for given_input in inputs:
        state = step(state, given_input)
    assert state is expected


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(State)


@given(st.sampled_from(FINAL), st.lists(st.sampled_from(Input)))
def test_nothing_leads_out_of_an_end(state: State, inputs: list[Input]) -> None:
    for given_input in inputs:
        assert step(state, given_input) is state


@given(st.lists(st.sampled_from(Input)))
def test_after_a_close_there_is_always_an_end(inputs: list[Input]) -> None:
    state = State.INITIALIZED
    for given_input in [*inputs, Input.CLOSED]:
        state = step(state, given_input)
    assert state in FINAL
