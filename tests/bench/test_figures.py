from __future__ import annotations

import math

import pytest

from callboard_bench.figures import Latencies, Spread, ratios, spread


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, 1), (1, 1), (50, 50), (50.1, 51), (99, 99), (99.1, 100), (100, 100)],
)
def test_a_percentile_is_the_smallest_value_that_covers_it(percent: float, expected: float) -> None:
    assert Latencies(range(100, 0, -1)).percentile(percent) == expected


def test_a_rare_slow_one_shows_in_the_tail_only() -> None:
    latencies = Latencies([10] * 98 + [500] * 2)

    assert latencies.percentile(98) == 10
    assert latencies.percentile(99) == 500


def test_merging_is_the_same_as_having_seen_all() -> None:
    merged = Latencies([1, 2, 3])
    merged.merge(Latencies([3, 4, 5, 6]))

    assert len(merged) == 7
    assert merged.percentile(50) == Latencies([1, 2, 3, 3, 4, 5, 6]).percentile(50) == 3


def test_no_latencies_have_no_percentile() -> None:
    assert math.isnan(Latencies().percentile(50))


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_a_percentile_outside_0_to_100_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        Latencies([1]).percentile(percent)


def test_spread_over_rounds() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=3.0)
    assert spread([3.0, math.nan]) == Spread(3.0, 3.0, 3.0)
    assert math.isnan(spread([math.nan]).median)


def test_ratios_are_taken_within_a_round() -> None:
    # A machine that slows down by half changes every value and no ratio.
    assert ratios([12.0, 24.0], [10.0, 20.0]) == [1.2, 1.2]
    assert math.isnan(ratios([1.0], [0.0])[0])
