"""How long is waited between two tries."""

from __future__ import annotations

import pytest

from callboard_server.webhooks.backoff import pause


def test_pauses_begin_at_the_first_and_double_up_to_the_longest() -> None:
    pauses = [pause(failures, 1.0, 30.0, 0.5) for failures in range(1, 9)]

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_chance_makes_a_pause_a_quarter_shorter_or_longer(chance: float, seconds: float) -> None:
    assert pause(1, 1.0, 30.0, chance) == seconds


def test_a_receiver_that_is_down_for_months_is_still_asked() -> None:
    assert pause(10_000_000, 1.0, 30.0, 0.5) == 30.0
