"""What a worker's session is made of: its rate, its outbox, its packing, its tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_scheduler.worker.assignments import STAGES, Stage, Step
from callboard_scheduler.worker.bucket import Bucket
from callboard_scheduler.worker.options import Options, default_id
from callboard_scheduler.worker.outbox import Outbox
from callboard_scheduler.worker.packing import ENVELOPE_BYTES, MAX_LOG_LINES, Packer
from callboard_scheduler.worker.phases import PHASES, Phase, Signal, step
from callboard_scheduler.worker.settled import REMEMBERED, Settled


@given(st.sampled_from([1.0, 8.0, 200.0]), st.lists(st.floats(0, 0.7), max_size=200))
def test_no_second_sees_more_than_five_quarters_of_the_rate(
    rate: float, pauses: list[float]
) -> None:
    bucket = Bucket(rate, 0.0)
    now, taken = 0.0, []
    for pause in pauses:
        now += pause
        while bucket.ready(now):
            bucket.take(now)
            taken.append(now)
    for at in taken:
        assert sum(at <= other < at + 1 for other in taken) <= rate * 1.25 + 1


def test_a_bucket_says_when_it_is_ready_and_is_then() -> None:
    bucket = Bucket(10, 5.0)
    while bucket.ready(5.0):
        bucket.take(5.0)
    assert not bucket.ready(bucket.ready_at - 0.001)
    assert bucket.ready(bucket.ready_at)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate must be above 0 events a second, got 0"):
        Bucket(0, 0.0)


def test_the_outbox_keeps_the_order_and_forgets_what_is_recorded() -> None:
    outbox = Outbox()
    for fence in (3, 1, 2):
        outbox.put(f"t{fence}", fence, b"%d" % fence)
    outbox.recorded(9)
    assert outbox.next_due == -math.inf
    assert outbox.take_due(10.0) == [b"3", b"1", b"2"]
    assert outbox.next_due == 11.0
    outbox.recorded(1)
    assert outbox.take_due(10.5) == []
    assert outbox.take_due(11.0) == [b"3", b"2"]
    assert outbox.claims == [("t3", 3), ("t2", 2)]
    outbox.recorded(2)
    outbox.recorded(3)
    assert outbox.next_due == math.inf


def test_what_is_asked_for_is_due_at_once_and_the_rest_is_not() -> None:
    outbox = Outbox()
    outbox.put("a", 1, b"a")
    outbox.put("b", 2, b"b")
    outbox.take_due(0.0)
    outbox.hurry(2, 0.1)
    assert outbox.take_due(0.1) == [b"b"]
    outbox.hurry_all(0.2)
    assert outbox.take_due(0.2) == [b"a", b"b"]


def test_an_event_is_filled_to_its_size_and_what_is_too_large_goes_alone() -> None:
    packer = Packer()
    packer.add([b"x" * 40, b"x" * 40, b"y" * 500, b"z"])
    sizes = []
    while packer:
        sizes.append([len(message) for message in packer.take(ENVELOPE_BYTES + 90)])
    assert sizes == [[40, 40], [500], [1]]


def test_log_lines_take_what_room_is_left_and_the_oldest_are_dropped() -> None:
    packer = Packer()
    for n in range(MAX_LOG_LINES + 3):
        packer.log(b"%d" % n)
    packer.add([b"result"])
    assert packer.take(ENVELOPE_BYTES + 12) == [b"3", b"4", b"result"]
    assert packer.dropped_logs == 3


def test_a_line_that_no_event_can_hold_does_not_stop_those_behind_it() -> None:
    packer = Packer()
    packer.log(b"x" * 1_000)
    packer.log(b"short")
    assert packer.take(ENVELOPE_BYTES + 50) == []
    assert packer.take(ENVELOPE_BYTES + 50) == [b"short"]


def test_what_is_settled_is_known_by_its_fence_and_in_bounded_number() -> None:
    settled = Settled()
    settled.add("t", 5, b"answer")
    settled.add("t", 3)
    assert settled.covers("t", 4)
    assert not settled.covers("t", 6)
    assert (settled.answer("t", 5), settled.answer("t", 4)) == (b"answer", None)
    for n in range(REMEMBERED):
        settled.add(f"u{n}", n)
    assert not settled.covers("t", 4)


def test_every_phase_answers_every_signal_and_left_is_left_for_good() -> None:
    for phase in Phase:
        for signal in Signal:
            assert step(phase, signal) in Phase
    assert PHASES[Phase.LEFT] == {}
    assert all(step(phase, Signal.LEAVE) is Phase.LEFT for phase in Phase)


def test_every_stage_ends_when_its_function_does() -> None:
    for stage in Stage:
        after = STAGES[stage].get(Step.END, stage)
        assert after is Stage.OVER


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"queues": "default"}, "queues must be a list of at least one name, got 'default'"),
        ({"queues": []}, "queues must be a list of at least one name"),
        ({"queues": [""]}, "queues must be a list of names: expected 1 to 100 ASCII letters"),
        (
            {"queues": ["a b"]},
            "queues must be a list of names: .* got 'a b'",
        ),
        ({"queues": [5]}, "queues must be a list of names, got"),
        ({"queues": ["q" * 101]}, "got a string of 101 characters"),
        ({"slots": 0}, "slots must be a whole number of 1 or more, got 0"),
        ({"slots": True}, "slots must be a whole number of 1 or more, got True"),
        ({"namespace": "a.b"}, "namespace must be a name without dots, got 'a.b'"),
        ({"id": "my worker"}, "id 'my worker' cannot be part of a channel's name"),
        ({"id": ""}, "id '' cannot be part of a channel's name"),
        ({"pool": ""}, "pool must be a name"),
        ({"pool": "the pool"}, "pool 'the pool' cannot be part of a channel's name"),
        ({"labels": {"a": object()}}, "labels must be JSON values: "),
    ],
)
def test_an_option_that_no_scheduler_would_take_is_refused(
    options: dict[str, object], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")):
        Options(**options)  # type: ignore[arg-type]


def test_a_default_id_suits_a_channel_whatever_the_host_is_called() -> None:
    for host in ("büro.example/1", "", "x" * 200):
        Options(id=default_id(host, 4_000_000, "abcdef"))
    assert default_id("web-1", 7, "ab") == "web-1-7-ab"
