from __future__ import annotations

import math
import sys
from collections.abc import Iterable

import pytest

from callboard_bench.recording import STEP_SECONDS, Recorded, Recording

START_NS = 5_000_000_000
STEP_NS = int(STEP_SECONDS * 1e9)


def recorded(latencies: Iterable[tuple[int, int]]) -> Recorded:
    """Record latencies in microseconds of messages that were due in these steps."""
    recording = Recording(START_NS, sys.maxsize)
    for step, microseconds in latencies:
        slot = recording.slot(START_NS + step * STEP_NS)
        assert slot is not None
        slot(microseconds)
    return recording.result()


def test_only_what_was_due_in_the_window_is_recorded() -> None:
    recording = Recording(START_NS, START_NS + STEP_NS)

    assert recording.slot(START_NS - 1) is None
    assert recording.slot(START_NS) is not None
    assert recording.slot(START_NS + STEP_NS) is None
    assert Recording().slot(START_NS) is None


def test_a_latency_counts_for_the_step_in_which_its_message_was_due() -> None:
    found = recorded([(0, 100), (0, 200), (2, 900)])

    assert found.per_second() == [2 / STEP_SECONDS, 0, 1 / STEP_SECONDS]
    first, nothing, third = found.p99_ms()
    assert math.isnan(nothing)
    assert first == pytest.approx(0.2, rel=0.04)
    assert third == pytest.approx(0.9, rel=0.04)


@pytest.mark.parametrize("microseconds", [0, 1, 63, 64, 1_000, 123_456, 10_000_000])
def test_steps_keep_a_latency_to_a_few_percent_and_the_whole_keeps_it_exactly(
    microseconds: int,
) -> None:
    found = recorded([(0, microseconds)])

    assert found.latencies.percentile(50) == microseconds
    kept = found.steps[0].percentile(50)
    assert microseconds * (1 - 1 / 32) <= kept <= microseconds


def test_what_several_generators_recorded_is_one() -> None:
    whole = recorded([(0, 100), (1, 300)])
    whole.merge(recorded([(0, 200), (3, 400)]))

    assert len(whole.latencies) == 4
    assert whole.latencies.percentile(100) == 400
    assert whole.per_second() == [count / STEP_SECONDS for count in (2, 1, 0, 1)]


def test_who_looks_on_is_told_of_a_step_as_it_is_followed_by_another() -> None:
    told: list[int] = []
    recording = Recording(START_NS, sys.maxsize, told.append)
    for step, count in ((0, 100), (2, 50_000), (3, 1)):
        for microseconds in range(count):
            slot = recording.slot(START_NS + step * STEP_NS)
            assert slot is not None
            slot(microseconds)

    first, second = told
    assert first == 99
    # Of many, from a sample.
    assert second == pytest.approx(49_500, rel=0.01)


def test_nothing_recorded_is_no_series() -> None:
    assert Recorded().per_second() == []
    assert Recorded().p99_ms() == []
