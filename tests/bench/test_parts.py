"""What a round says of a window, of what the parts have found, and of what was refused."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest

from callboard_bench.audit import Tally
from callboard_bench.clients.part import Findings
from callboard_bench.figures import Latencies
from callboard_bench.generator import Counts
from callboard_bench.process import Cpu, Use
from callboard_bench.recording import Recorded
from callboard_bench.rounds import Requests
from callboard_bench.scenarios import client_events, presence
from callboard_bench.scenarios.parts import Advice, Window, as_round, percentiles, run_name

SET_MORE = Advice(re.compile(r"\bn(o|ever)\b"), "set more")


def window(*findings: Findings) -> Window:
    use = Use(5.0, Cpu(0.75, 0.25), 0.2, 0.1, 0.0, 0.0)
    series: dict[str, list[float]] = {"deliveries_per_second": [1.0]}
    return Window(use, Counts(0, 1000, 0, 0), findings, series, [SET_MORE])


def test_cost_is_cpu_time_over_what_was_heard() -> None:
    one = window()

    assert one.per(one.counts.received) == 1000
    assert one.per(one.counts.received, "user") == 750
    assert math.isnan(one.per(0))


def test_the_audits_of_all_parts_are_one() -> None:
    first = Findings(Tally(expected=10, received=9, lost=1))
    second = Findings(Tally(expected=5, received=6, duplicates=1))
    audit = as_round(window(first, second), {}).audit

    assert audit is not None
    assert audit.fault() == "1 of 15 lost, 1 of 15 duplicated"


def test_a_refusal_is_a_fault_with_its_number_its_words_and_what_to_set() -> None:
    found = Findings(refused=Counter({"the server said no": 3}))

    assert as_round(window(found), {}).fault == "3 times the server said no; set more"


def test_what_to_set_is_told_only_where_the_server_speaks_of_it() -> None:
    found = Findings(Tally(closed=Counter({"the server closed with 4200 Restart": 2})))

    assert as_round(window(found), {}).fault == (
        "2 connections ended early: the server closed with 4200 Restart"
    )


@pytest.mark.parametrize(
    ("advice", "said", "fits"),
    [
        (presence.ADVICE, "the server said Account over quota (4004)", True),
        (presence.ADVICE, "the server closed with 4100 Server is over capacity", True),
        (presence.ADVICE, "the server said Presence channel presence-a is full", True),
        (presence.ADVICE, "the server closed with 4200 Please reconnect", False),
        (presence.ADVICE, "the server ended the stream before it was full", False),
        (client_events.ADVICE, "the server said Too many (4301)", True),
        (client_events.ADVICE, "a client event was neither relayed nor refused in 5 s", True),
        (client_events.ADVICE, "the server closed with 4200 Please reconnect", False),
    ],
)
def test_advice_fits_what_is_about_its_limit(advice: Advice, said: str, fits: bool) -> None:
    assert bool(advice.fits.search(said)) is fits


def test_refused_requests_of_all_parts_are_one_share() -> None:
    found = Findings(requests=Requests(90))
    found.merge(Findings(requests=Requests(10, 2, "503 b'busy'")))

    assert as_round(window(found), {}).fault_beyond() == (
        "2 of 100 requests refused (2 %), the first with 503 b'busy'"
    )


def test_of_many_refusals_the_most_frequent_is_quoted() -> None:
    found = Findings(refused=Counter({"no": 3, "never": 2, "not now": 1}))

    assert as_round(window(found), {}).fault == "3 times no, and 3 times something else; set more"


def test_faults_of_connections_and_of_the_scenario_are_told_too() -> None:
    fault = as_round(window(Findings(Tally(closed=Counter(gone=2)))), {}, ["a leak"]).fault

    assert fault == "a leak; 2 connections ended early: gone"


def test_what_never_left_is_a_warning_with_its_number() -> None:
    found = Findings(unsent=3)
    found.merge(Findings(unsent=4))

    assert as_round(window(found), {}).warnings == [
        "7 messages never left in their time, and have no latency"
    ]
    assert as_round(window(Findings()), {}).warnings == []


def test_nothing_wrong_is_no_fault() -> None:
    assert as_round(window(Findings()), {}).fault is None


def test_values_come_with_the_shares_of_a_core() -> None:
    values = as_round(window(Findings()), {"joins": 3.0}).values

    assert values["joins"] == 3.0
    assert values["server_core_percent"] == 20


def test_curves_are_the_latencies_of_all_that_was_timed() -> None:
    first = Findings(times={"join": Recorded(Latencies([1000]))})
    second = Findings(times={"join": Recorded(Latencies([3000]))})
    first.merge(second)

    assert as_round(window(first), {}).curves["join"].percentile(100) == 3000


@pytest.mark.parametrize(("name", "key"), [("join", "join_p99_ms"), ("", "p99_ms")])
def test_percentiles_are_in_milliseconds(name: str, key: str) -> None:
    assert percentiles(name, Recorded(Latencies([1500])))[key] == 1.5


def test_no_two_runs_use_the_same_names() -> None:
    assert run_name() != run_name()
