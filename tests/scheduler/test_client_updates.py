"""What is known of a task, from its record and whatever a feed may bring."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callboard_scheduler.client.updates import (
    ENDED,
    Ended,
    Following,
    LogLine,
    Moved,
    Progress,
    StateChanged,
)
from callboard_scheduler.states import State

STATES = [state.value for state in State]


def record(state: str, **fields: Any) -> dict[str, Any]:
    return {"id": "t1", "state": state, **fields}


def following(state: str = "running", **fields: Any) -> Following:
    known = Following()
    known.read(record(state, **fields))
    return known


def hear(known: Following, event: str, **data: Any) -> list[Any]:
    return known.heard(event, json.dumps(data))


def test_the_record_comes_first() -> None:
    known = Following()
    assert known.stale
    assert hear(known, "state", state="running") == []
    assert known.read(record("ready")) == [StateChanged("ready")]
    assert not known.stale


def test_an_end_is_believed_only_from_the_record() -> None:
    for event in ("state", "result"):
        known = following()
        assert hear(known, event, state="succeeded", result=1) == []
        assert known.stale
        assert not known.ended
        # Requeued in between: it goes on.
        assert known.read(record("ready")) == [StateChanged("ready")]
        assert not known.stale


def test_what_was_heard_before_a_reading_is_in_the_record_except_for_lines_and_moves() -> None:
    known = following("running", attempt=2, worker="w2")
    known.missed()
    assert hear(known, "state", state="ready") == []
    assert hear(known, "progress", pct=1) == []
    assert hear(known, "log", txt="hello") == [LogLine("info", "hello")]
    assert hear(known, "moved", **{"from": "w1", "why": "lost"}) == [Moved("w1", None, "lost")]
    assert known.read(record("running", attempt=2, worker="w2")) == []


def test_the_worker_of_a_task_that_waits_is_history() -> None:
    known = following("running", attempt=1, worker="w1")
    assert hear(known, "state", state="scheduled", attempt=1, worker="w1") == [
        StateChanged("scheduled", 1)
    ]


def test_a_state_may_come_with_the_progress_so_far() -> None:
    known = following("assigned", attempt=1, worker="w1")
    said = {"state": "running", "attempt": 1, "worker": "w1", "progress": {"pct": 5}}
    assert hear(known, "state", **said) == [StateChanged("running", 1, "w1"), Progress(5)]
    assert hear(known, "state", **said) == []


def test_progress_that_says_nothing_is_none() -> None:
    known = following(progress={"pct": None, "msg": None, "data": None})
    assert hear(known, "progress") == []
    assert hear(known, "progress", pct=True, msg=3) == []
    assert hear(known, "progress", pct=0) == [Progress(0)]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.sampled_from(STATES)),
            st.tuples(st.just("missed"), st.none()),
            st.tuples(
                st.sampled_from(["state", "progress", "log", "moved", "result", "client-state"]),
                st.one_of(
                    st.text(max_size=20),
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "state": st.one_of(st.sampled_from(STATES), st.integers()),
                            "pct": st.one_of(st.floats(), st.text()),
                            "msg": st.one_of(st.none(), st.text()),
                            "attempt": st.one_of(st.integers(), st.text()),
                            "from": st.one_of(st.none(), st.integers()),
                            "ms": st.one_of(st.floats(), st.text()),
                        },
                    ).map(json.dumps),
                ),
            ),
        )
    )
)
def test_whatever_comes_it_ends_exactly_when_the_record_says_so(
    steps: list[tuple[str, Any]],
) -> None:
    known = Following()
    for kind, content in steps:
        if kind == "read":
            updates = known.read(record(content))
            assert known.ended == (content in ENDED)
            ends = [place for place, each in enumerate(updates) if isinstance(each, Ended)]
            assert ends == ([len(updates) - 1] if known.ended else [])
            assert not known.stale
        elif kind == "missed":
            known.missed()
            assert known.stale
        else:
            stale = known.stale
            for update in known.heard(kind, content):
                assert not isinstance(update, Ended)
                assert not stale or isinstance(update, LogLine | Moved)
        if known.ended:
            break
