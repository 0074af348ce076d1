"""The bodies of submit, batch, update and move: what they mean, and what is told of each fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_scheduler.errors import BadField, TooLarge
from callboard_scheduler.records import OnConflict, OnDisconnect, Retry, Spec, Target
from callboard_scheduler.submission import (
    Submission,
    parse_batch,
    parse_move,
    parse_nothing,
    parse_submit,
    parse_update,
)

NOW = 1_700_000_000_000
TASK: dict[str, Any] = {"name": "thumbnail"}
EVERYTHING: dict[str, Any] = {
    "name": "thumbnail",
    "args": {"url": "https://example.com/ä.png"},
    "queue": "fast",
    "priority": -3,
    "run_at": NOW + 5_000,
    "start_by": NOW + 9_000,
    "timeout_ms": 30_000,
    "retry": {"max_attempts": 5, "initial_ms": 10, "factor": 1, "max_ms": 20, "jitter": 0.5},
    "unique_key": "thumbnail/1",
    "on_conflict": "replace",
    "target": {"labels": {"gpu": True, "zone": ["a", "b"]}},
    "after": ["t1", "t2", "t1"],
    "limit_key": "customer 7",
    "limit": 2,
    "on_disconnect": "lease",
    "max_losses": 0,
}


def encode(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def submit(body: object) -> Submission:
    return parse_submit(encode(body), NOW)


def spec(**fields: Any) -> Spec:
    return submit({**TASK, **fields}).spec


def fault(body: object) -> str:
    with pytest.raises(BadField) as refusal:
        submit(body)
    return str(refusal.value)


# Submit


def test_a_name_is_enough() -> None:
    submission = submit(TASK)
    assert submission == Submission(Spec("thumbnail", submission.spec.args), OnConflict.KEEP)
    assert bytes(submission.spec.args) == b"{}"


def test_everything_that_a_task_can_be_asked() -> None:
    submission = submit(EVERYTHING)
    asked = submission.spec
    assert submission.on_conflict is OnConflict.REPLACE
    assert asked == Spec(
        name="thumbnail",
        args=asked.args,
        queue="fast",
        priority=-3,
        run_at=NOW + 5_000,
        start_by=NOW + 9_000,
        timeout_ms=30_000,
        retry=Retry(5, 10, 1.0, 20, 0.5),
        unique_key="thumbnail/1",
        target=Target(None, {"gpu": True, "zone": ["a", "b"]}),
        # Waiting twice for the same is waiting once.
        after=("t1", "t2"),
        limit_key="customer 7",
        limit=2,
        on_disconnect=OnDisconnect.LEASE,
        max_losses=0,
    )
    assert json.loads(bytes(asked.args)) == EVERYTHING["args"]


@pytest.mark.parametrize("args", [{}, [], {"a": None}, [1, "two", {"three": 3.5}]])
def test_arguments_are_an_object_or_an_array(args: object) -> None:
    assert json.loads(bytes(spec(args=args).args)) == args


def test_arguments_stay_the_text_that_was_sent() -> None:
    body = b'{"name": "n", "args": {"big": 12345678901234567890, "pi": 3.140, "e": "\\u00e9"}}'
    args = parse_submit(body, NOW).spec.args
    assert bytes(args) == b'{"big": 12345678901234567890, "pi": 3.140, "e": "\\u00e9"}'


def test_null_is_as_good_as_leaving_a_field_out() -> None:
    nulls = dict.fromkeys(set(EVERYTHING) - {"name", "args"} | {"delay_ms"})
    assert submit({**TASK, **nulls, "args": {}}).spec == submit({**TASK, "args": {}}).spec


def test_a_delay_counts_from_now_and_none_at_all_is_now() -> None:
    assert spec(delay_ms=1_500).run_at == NOW + 1_500
    assert spec(delay_ms=0).run_at is None


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        (0, 0),
        (NOW, NOW),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.000+00:00", NOW),
        ("2023-11-15T00:13:20.250+02:00", NOW + 250),
        ("20231114T221320Z", NOW),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
@pytest.mark.parametrize("field", ["run_at", "start_by"])
def test_a_time_is_unix_milliseconds_or_iso_8601(
    field: str, written: object, milliseconds: int
) -> None:
    assert getattr(spec(**{field: written}), field) == milliseconds


def test_a_name_has_1_to_200_characters_whatever_they_are() -> None:
    for name in ("x", "bilder/größe ändern 🖼", "🖼" * 200):
        assert submit({"name": name}).spec.name == name
    assert fault({"name": ""}) == "name: expected a string of 1 to 200 characters, got ''"
    assert fault({"name": "🖼" * 201}) == (
        "name: expected a string of 1 to 200 characters, got a string of 201 characters"
    )


# Faults


WHOLE_NUMBER = "a whole number from -2147483648 to 2147483647"
SPAN = "whole milliseconds from 0 to 315360000000"
POSITIVE_SPAN = "whole milliseconds from 1 to 315360000000"
TIME = "Unix time in milliseconds, or an ISO 8601 time with its zone"
IDENTIFIER = "1 to 100 ASCII letters, digits or _ - = @ , . ;"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", None, "name: expected a string of 1 to 200 characters, got null"),
        ("name", 7, "name: expected a string of 1 to 200 characters, got 7"),
        ("args", None, "args: expected an object (keyword arguments) or an array, got null"),
        ("args", "x", "args: expected an object (keyword arguments) or an array, got 'x'"),
        ("args", 7, "args: expected an object (keyword arguments) or an array, got 7"),
        ("queue", "", f"queue: expected {IDENTIFIER}, got ''"),
        ("queue", "fast lane", f"queue: expected {IDENTIFIER}, got 'fast lane'"),
        ("queue", "fast\n", f"queue: expected {IDENTIFIER}, got 'fast\\n'"),
        ("queue", ["fast"], f"queue: expected {IDENTIFIER}, got an array of 1"),
        ("priority", "high", f"priority: expected {WHOLE_NUMBER}, got 'high'"),
        ("priority", 1.5, f"priority: expected {WHOLE_NUMBER}, got 1.5"),
        ("priority", True, f"priority: expected {WHOLE_NUMBER}, got true"),
        ("priority", 2**31, f"priority: expected {WHOLE_NUMBER}, got 2147483648"),
        ("priority", 10**30, f"priority: expected {WHOLE_NUMBER}, got a larger number"),
        ("delay_ms", -1, f"delay_ms: expected {SPAN}, got -1"),
        ("delay_ms", "soon", f"delay_ms: expected {SPAN}, got 'soon'"),
        ("timeout_ms", 0, f"timeout_ms: expected {POSITIVE_SPAN}, got 0"),
        ("run_at", "tomorrow", f"run_at: expected {TIME}, got 'tomorrow'"),
        ("run_at", "", f"run_at: expected {TIME}, got ''"),
        ("run_at", 1.5, f"run_at: expected {TIME}, got 1.5"),
        ("run_at", -1, "run_at: expected a time from 1970 to 9999, got -1"),
        (
            "run_at",
            "2030-01-31T08:00",
            (
                "run_at: expected a zone behind the time, as in 2030-01-31T08:00Z, "
                "got '2030-01-31T08:00'"
            ),
        ),
        (
            "start_by",
            1_700_000_000,
            "start_by: expected milliseconds, got 1700000000, which looks like seconds",
        ),
        ("retry", 3, "retry: expected an object, got 3"),
        (
            "retry",
            {"max_attempts": 0},
            "retry.max_attempts: expected a whole number from 1 to 10000, got 0",
        ),
        ("retry", {"factor": 0.5}, "retry.factor: expected a number from 1 to 100, got 0.5"),
        ("retry", {"jitter": 2}, "retry.jitter: expected a number from 0 to 1, got 2"),
        (
            "retry",
            {"attempts": 3},
            (
                "retry.attempts: unknown field, "
                "expected max_attempts, initial_ms, factor, max_ms or jitter"
            ),
        ),
        ("unique_key", "", "unique_key: expected a string of 1 to 200 characters, got ''"),
        ("on_conflict", "ask", "on_conflict: expected 'keep', 'replace' or 'error', got 'ask'"),
        ("target", "w1", "target: expected an object, got 'w1'"),
        ("target", {}, "target: expected either worker or labels, got neither"),
        (
            "target",
            {"worker": "w1", "labels": {"a": 1}},
            "target: expected either worker or labels, got both",
        ),
        ("target", {"worker": "w 1"}, f"target.worker: expected {IDENTIFIER}, got 'w 1'"),
        (
            "target",
            {"labels": {}},
            "target.labels: expected an object with 1 to 50 labels, got an object",
        ),
        (
            "target",
            {"labels": {"gpu": {}}},
            (
                "target.labels.gpu: expected a string, a number, a boolean, or a list of them, "
                "got an object"
            ),
        ),
        (
            "target",
            {"labels": {"gpu": []}},
            "target.labels.gpu: expected a list of 1 to 100 values, got 0",
        ),
        (
            "target",
            {"labels": {"gpu": "x" * 201}},
            "target.labels.gpu: expected a string of at most 200 characters, got 201",
        ),
        (
            "target",
            {"labels": {"": 1}},
            "target.labels: expected names of 1 to 100 characters, got 0",
        ),
        ("after", "t1", "after: expected an array of at most 1000 ids of tasks, got 't1'"),
        ("after", ["t1", "t 2"], f"after[1]: expected {IDENTIFIER}, got 't 2'"),
        ("after", ["t1", 2], f"after[1]: expected {IDENTIFIER}, got 2"),
        ("limit", 0, "limit: expected a whole number from 1 to 1000000, got 0"),
        (
            "on_disconnect",
            "never",
            "on_disconnect: expected 'auto', 'now', 'grace' or 'lease', got 'never'",
        ),
        ("max_losses", -1, "max_losses: expected a whole number from 0 to 10000, got -1"),
    ],
)
def test_a_refusal_names_the_field_what_was_expected_and_what_came(
    field: str, value: object, told: str
) -> None:
    assert fault({**TASK, field: value}) == told


def test_an_unknown_field_is_refused_with_those_that_there_are() -> None:
    told = fault({**TASK, "delay": 5})
    assert told.startswith("delay: unknown field, expected name, args, queue, priority, delay_ms")
    # Whatever a field is called, it is named.
    for name in ("a.b", "`", "x - at `$.priority`", "ä[0]"):
        assert fault({**TASK, name: 1}).startswith(f"{name}: unknown field")
        inside = fault({**TASK, "retry": {name: 1}})
        assert inside.startswith(f"retry.{name}: unknown field, expected max_attempts")
    assert fault({**TASK, "": 1}).startswith("'': unknown field")


def test_a_task_without_a_name_is_told_so() -> None:
    assert fault({}) == "name: missing, expected a string of 1 to 200 characters"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "body: expected a JSON object, got an empty body"),
        (b"{", "body: expected a JSON object: "),
        (b'{"name": "x",}', "body: expected a JSON object: "),
        (b'{"name": 7, "x"', "body: expected a JSON object: "),
        (b'{"name": "\xff"}', "body: expected a JSON object: "),
        (b"[]", "body: expected an object, got an array of 0"),
        (b"7", "body: expected an object, got 7"),
        (b"null", "body: expected an object, got null"),
        (b'{"name": "x", "args": ' + b"[" * 100_000, "body: it is nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_so(body: bytes, told: str) -> None:
    assert fault(body).startswith(told)


def test_delay_and_time_exclude_each_other_even_if_the_delay_is_nothing() -> None:
    told = "run_at: expected either delay_ms or run_at, got both"
    assert fault({**TASK, "delay_ms": 0, "run_at": NOW}) == told
    assert spec(delay_ms=None, run_at=NOW).run_at == NOW


def test_the_schedulers_own_names_and_queues_cannot_be_taken() -> None:
    for field in ("name", "queue"):
        assert fault({**TASK, field: "callboard.events"}) == (
            f"{field}: expected one that does not begin with 'callboard.', got 'callboard.events'"
        )
    assert spec(queue="callboards").queue == "callboards"


# Arguments that not every worker could read


def test_arguments_have_at_most_a_mebibyte() -> None:
    largest = json.dumps(["x" * (1_048_576 - 4)])
    assert len(largest) == 1_048_576
    assert len(bytes(parse_submit(b'{"name":"n","args":%s}' % largest.encode(), NOW).spec.args))
    with pytest.raises(TooLarge, match="args: expected at most 1048576 bytes of JSON, got 1048577"):
        submit({**TASK, "args": ["x" * (1_048_576 - 3)]})


def test_arguments_that_a_worker_could_not_parse_never_reach_one() -> None:
    assert fault(b'{"name": "n", "args": {"a": "\xff"}}').startswith(
        "args: expected JSON that every parser reads: "
    )
    for half in (b'["\\ud800"]', b'["\\udc00 x"]'):
        with pytest.raises(BadField):
            parse_submit(b'{"name": "n", "args": %s}' % half, NOW)


def test_arguments_may_be_nested_as_deep_as_every_parser_goes() -> None:
    assert spec(args=json.loads("[" * 200 + "]" * 200))
    told = "args: expected at most 200 arrays and objects inside one another"
    assert fault({**TASK, "args": json.loads("[" * 201 + "]" * 201)}) == told
    # Many that are not inside one another are no matter.
    assert spec(args=[{} for _ in range(1_000)])


def test_a_task_does_not_keep_the_body_that_it_came_in() -> None:
    body = b'{"batch": [{"name": "n", "args": [1]}, {"name": "n", "args": ["%s"]}]}' % (b"x" * 99)
    first = parse_batch(body, NOW)[0].spec.args
    assert memoryview(first).obj is not body
    assert len(memoryview(first)) == 3


# Batches


def test_a_batch_is_one_to_a_thousand_tasks_in_order() -> None:
    names = [f"n{n}" for n in range(1_000)]
    batch = parse_batch(encode({"batch": [{"name": name} for name in names]}), NOW)
    assert [submission.spec.name for submission in batch] == names


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"batch": []}, "batch: expected an array of 1 to 1000 tasks, got an array of 0"),
        (
            {"batch": [TASK] * 1_001},
            "batch: expected an array of 1 to 1000 tasks, got an array of 1001",
        ),
        ({"batch": TASK}, "batch: expected an array of 1 to 1000 tasks, got an object"),
        ({}, "batch: missing, expected an array of 1 to 1000 tasks"),
        (TASK, "name: unknown field, expected batch"),
        ({"batch": [TASK, {}]}, "batch[1].name: missing, expected a string of 1 to 200 characters"),
        ({"batch": [TASK, 7]}, "batch[1]: expected an object, got 7"),
        (
            {"batch": [TASK, {**TASK, "retry": {"factor": 0}}]},
            "batch[1].retry.factor: expected a number from 1 to 100, got 0",
        ),
        (
            {"batch": [TASK, TASK, {**TASK, "args": 7}]},
            "batch[2].args: expected an object (keyword arguments) or an array, got 7",
        ),
        (
            {"batch": [{**TASK, "target": {}}]},
            "batch[0].target: expected either worker or labels, got neither",
        ),
    ],
)
def test_a_fault_in_a_batch_names_the_place(body: object, told: str) -> None:
    with pytest.raises(BadField) as refusal:
        parse_batch(encode(body), NOW)
    assert str(refusal.value) == told


# Updates


def test_an_update_has_only_what_changes() -> None:
    changes = parse_update(encode({"priority": 7, "delay_ms": 100, "queue": "fast"}), NOW)
    assert changes == {"priority": 7, "run_at": NOW + 100, "queue": "fast"}


def test_a_delay_of_nothing_in_an_update_means_now() -> None:
    assert parse_update(b'{"delay_ms": 0}', NOW) == {"run_at": None}
    assert parse_update(b'{"run_at": null}', NOW) == {"run_at": None}


def test_null_in_an_update_brings_the_default_back() -> None:
    nullable = sorted(set(EVERYTHING) - {"name", "args", "on_conflict"})
    changes = parse_update(encode(dict.fromkeys(nullable)), NOW)
    default = Spec("n")
    assert changes == {name: getattr(default, name) for name in nullable}


def test_an_update_takes_every_field_of_a_submit() -> None:
    changes = parse_update(encode({**EVERYTHING, "on_conflict": "error"}), NOW)
    asked = submit(EVERYTHING).spec
    assert {**changes, "args": None} == {
        name: getattr(asked, name) if name != "args" else None
        for name in set(EVERYTHING) - {"on_conflict"}
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "body: expected at least one field to change, got none"),
        ({"on_conflict": "error"}, "body: expected at least one field to change, got none"),
        ({"on_conflict": "keep", "priority": 1}, "on_conflict: expected 'error' in an update"),
        ({"state": "ready"}, "state: unknown field, expected name, args"),
        ({"priority": "x"}, "priority: expected a whole number"),
        ({"name": None}, "name: expected a string of 1 to 200 characters, got null"),
        ({"name": "callboard.publish"}, "name: expected one that does not begin with"),
    ],
)
def test_a_fault_in_an_update_is_told_like_one_in_a_submit(body: object, told: str) -> None:
    with pytest.raises(BadField) as refusal:
        parse_update(encode(body), NOW)
    assert str(refusal.value).startswith(told)


# Moves, and calls that take nothing


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"target": {"worker": "w2"}}, Target("w2")),
        ({"worker": "w2"}, Target("w2")),
        ({"target": {"labels": {"gpu": 1}}}, Target(None, {"gpu": 1})),
        ({"labels": {"gpu": 1}}, Target(None, {"gpu": 1})),
        ({"target": None}, None),
    ],
)
def test_a_task_is_moved_to_a_target(body: object, target: Target | None) -> None:
    assert parse_move(encode(body)) == target


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "target: missing, expected an object with worker or labels, or null"),
        ({"target": {}}, "target: expected either worker or labels, got neither"),
        ({"worker": "a", "labels": {"b": 1}}, "body: expected either worker or labels, got both"),
        ({"worker": "a", "target": None}, "target: expected either target, or worker or labels"),
        ({"worker": None}, "worker: expected 1 to 100 ASCII letters"),
        ({"labels": {"b": None}}, "labels.b: expected a string, a number, a boolean"),
        ({"to": "w2"}, "to: unknown field, expected target, worker or labels"),
    ],
)
def test_a_move_without_one_target_is_refused(body: object, told: str) -> None:
    with pytest.raises(BadField) as refusal:
        parse_move(encode(body))
    assert str(refusal.value).startswith(told)


def test_calls_that_take_nothing_take_what_sdks_send_for_it() -> None:
    parse_nothing(b"")
    parse_nothing(b"{}")
    with pytest.raises(BadField, match="why: unknown field, expected none"):
        parse_nothing(b'{"why": "so"}')
    with pytest.raises(BadField, match="body: expected an object, got an array of 0"):
        parse_nothing(b"[]")


# Whatever is sent


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["2030-01-31T08:00Z", "keep", "now", "w1", "2030-01-31", "0001-01-01T00:00+14"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["worker", "labels", "factor", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
BODIES = JSON | st.dictionaries(st.sampled_from([*EVERYTHING, "delay_ms", "x"]), JSON, max_size=8)


@given(BODIES)
def test_any_json_is_taken_or_refused_by_field(value: object) -> None:
    for body in (encode(value), encode({"batch": [{**TASK, "args": []}, value]})):
        for parse in (
            lambda body: parse_submit(body, NOW),
            lambda body: parse_batch(body, NOW),
            lambda body: parse_update(body, NOW),
            parse_move,
            parse_nothing,
        ):
            try:
                parse(body)
            except BadField as refusal:
                assert refusal.field and refusal.text


@given(
    st.binary(max_size=60)
    | BODIES.map(encode).flatmap(lambda body: st.integers(0, len(body)).map(lambda end: body[:end]))
)
def test_any_bytes_are_taken_or_refused_by_field(body: bytes) -> None:
    for wrapped in (body, b'{"name":"n","args":' + body + b"}"):
        try:
            parse_submit(wrapped, NOW)
        except BadField as refusal:
            assert refusal.field and refusal.text


@given(st.dictionaries(st.sampled_from(sorted(EVERYTHING)), st.none() | JSON, max_size=6))
def test_what_an_update_takes_a_submit_takes_too(fields: dict[str, Any]) -> None:
    fields.pop("on_conflict", None)
    try:
        changes = parse_update(encode(fields), NOW)
    except BadField:
        return
    asked = submit({**TASK, **fields}).spec
    assert {name: getattr(asked, name) for name in changes if name != "args"} == {
        name: value for name, value in changes.items() if name != "args"
    }
