from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from callboard_bench.audit import Audit, Tally


def audit_of(sequences: Iterable[int]) -> Audit:
    audit = Audit()
    for sequence in sequences:
        audit.take(sequence)
    return audit


def summary(audit: Audit, published: int) -> tuple[int, int, int, int]:
    return audit.received, audit.lost(published), audit.duplicates, audit.reordered


@pytest.mark.parametrize(
    ("sequences", "published", "expected"),
    [
        pytest.param([], 0, (0, 0, 0, 0), id="nothing published"),
        pytest.param([0, 1, 2], 3, (3, 0, 0, 0), id="all, in order"),
        pytest.param([], 3, (0, 3, 0, 0), id="nothing came"),
        pytest.param([0, 1], 3, (2, 1, 0, 0), id="the last lost"),
        pytest.param([1, 2], 3, (2, 1, 0, 0), id="the first lost"),
        pytest.param([0, 4], 5, (2, 3, 0, 0), id="a gap"),
        pytest.param([0, 0, 1], 2, (3, 0, 1, 0), id="a duplicate at once"),
        pytest.param([0, 1, 2, 0], 3, (4, 0, 1, 0), id="a duplicate later"),
        pytest.param([1, 0], 2, (2, 0, 0, 1), id="two swapped: one is late, none lost"),
        pytest.param([2, 0, 1], 3, (3, 0, 0, 2), id="one overtook two"),
        pytest.param([1, 0, 0], 2, (3, 0, 1, 1), id="late, then again"),
        pytest.param([2, 1, 2], 4, (3, 2, 1, 1), id="everything at once"),
    ],
)
def test_tells_loss_duplicates_and_order_apart(
    sequences: list[int], published: int, expected: tuple[int, int, int, int]
) -> None:
    assert summary(audit_of(sequences), published) == expected


@pytest.mark.parametrize(
    "runs", [[(0, 3), (4, 4)], [(0, 1), (3, 4)], [(2, 4), (0, 1)], [(0, 4), (3, 4)]]
)
def test_a_run_counts_as_its_messages_one_by_one(runs: list[tuple[int, int]]) -> None:
    by_run = Audit()
    for first, last in runs:
        by_run.take_run(first, last)
    one_by_one = audit_of(number for first, last in runs for number in range(first, last + 1))

    assert summary(by_run, 5) == summary(one_by_one, 5)


def test_a_number_nobody_sent_is_an_error_not_a_million_losses() -> None:
    with pytest.raises(ValueError, match="message 9999999999 was never sent, 1 was expected"):
        audit_of([0, 9_999_999_999])


def test_a_tally_of_several_generators_tells_every_kind_of_fault() -> None:
    tally = Tally()
    tally.add(audit_of([0, 1, 2]), 3)
    assert (tally.faults(), tally.audited().fault()) == (None, None)

    tally.add(audit_of([1, 0, 0]), 3)
    other = Tally(misrouted=2, closed=Counter({"closed with 4200": 2, "no word": 1}))
    other.add(audit_of([]), 3)
    tally.merge(other)

    assert (tally.expected, tally.received) == (9, 6)
    assert tally.audited().fault() == "4 of 9 lost, 1 of 9 duplicated, 1 of 9 out of order"
    assert tally.faults() == (
        "2 messages of a channel that was not subscribed to, "
        "3 connections ended early: closed with 4200, and 1 times something else"
    )
