"""What people are told of a replay."""

from __future__ import annotations

from callboard.traffic.outcome import ANSWERED, MISSING, Difference, Outcome


def told(*differences: Difference) -> list[str]:
    outcome = Outcome()
    outcome.add(differences)
    return str(outcome).split("\n")


def test_what_differs_in_the_same_way_is_told_once_with_how_often() -> None:
    refused = Difference(ANSWERED, "POST /events: 200 before, now 401")
    unknown = Difference(ANSWERED, "POST /events: 200 before, now 404")
    assert told(*[refused] * 30, unknown, *[refused] * 10) == [
        "41 differences:",
        "API: 41 answered",
        "  answered: POST /events: 200 before, now 401 (40 times)",
        "  answered: POST /events: 200 before, now 404",
    ]


def test_of_one_place_the_first_are_shown_and_the_rest_is_counted() -> None:
    events = [Difference(MISSING, f"'e' {number // 2}", 1, "a") for number in range(50)]
    heading, place, *shown, rest = told(*events)
    assert (heading, place) == ("50 differences:", "connection 1, a: 50 missing")
    assert shown == [f"  missing: 'e' {number} (2 times)" for number in range(20)]
    assert rest == "  and 10 more"
