"""How long the client waits before it tries again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_client.backoff import Backoff
from callboard_protocol.refusals import RetryAdvice

AT_ONCE, BACK_OFF = RetryAdvice.AT_ONCE, RetryAdvice.BACK_OFF


def _least() -> float:
    return 0.0


def _most() -> float:
    return 1.0


def test_pauses_start_at_a_second_and_double_up_to_the_cap() -> None:
    backoff = Backoff(1, 30, _least)
    assert [backoff.delay(BACK_OFF, 0) for _ in range(7)] == [1, 2, 4, 8, 15, 15, 15]


def test_chance_adds_up_to_as_much_again() -> None:
    backoff = Backoff(1, 30, _most)
    assert [backoff.delay(BACK_OFF, 0) for _ in range(6)] == [2, 4, 8, 16, 30, 30]


def test_at_once_is_at_once() -> None:
    assert Backoff(1, 30, _least).delay(AT_ONCE, 0) == 0


def test_a_service_that_always_says_at_once_is_not_hammered() -> None:
    backoff = Backoff(1, 30, _least)
    assert [backoff.delay(AT_ONCE, 0) for _ in range(4)] == [0, 1, 2, 4]


def test_at_once_into_a_closed_listener_costs_only_the_first_pause() -> None:
    backoff = Backoff(1, 30, _least)
    assert backoff.delay(AT_ONCE, 600) == 0
    assert backoff.delay(BACK_OFF, 0) == 1


def test_a_connection_that_held_makes_a_fresh_start() -> None:
    backoff = Backoff(1, 30, _least)
    assert [backoff.delay(BACK_OFF, 0) for _ in range(3)] == [1, 2, 4]
    assert backoff.delay(BACK_OFF, 60) == 1
    assert backoff.delay(AT_ONCE, 60) == 0
    assert backoff.delay(AT_ONCE, 60) == 0


def test_a_connection_closed_as_soon_as_it_stood_does_not() -> None:
    backoff = Backoff(1, 30, _least)
    assert [backoff.delay(BACK_OFF, 0.1) for _ in range(3)] == [1, 2, 4]


@given(
    st.lists(st.tuples(st.sampled_from((AT_ONCE, BACK_OFF)), st.sampled_from((0.0, 0.5, 5.0)))),
    st.floats(0, 1),
)
def test_no_pause_is_beyond_the_cap_and_back_off_waits_the_first_at_least(
    ends: list[tuple[RetryAdvice, float]], chance: float
) -> None:
    backoff = Backoff(1, 30, lambda: chance)
    for advice, held in ends:
        delay = backoff.delay(advice, held)
        assert delay <= 30
        assert delay >= 1 or advice is AT_ONCE


@pytest.mark.parametrize("tries", [10_000])
def test_trying_for_ever_stays_at_the_cap(tries: int) -> None:
    backoff = Backoff(1, 30, _most)
    assert max(backoff.delay(BACK_OFF, 0) for _ in range(tries)) == 30
