"""What a task's arguments become, and what is said of those that do not suit the function."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Callable
from typing import Any, Literal, Self

import msgspec
import pytest

from callboard_scheduler import Context
from callboard_scheduler.worker.arguments import Arguments
from callboard_scheduler.worker.errors import BadArguments
from callboard_scheduler.worker.handlers import Handler


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: int = 0


@dataclasses.dataclass
class Size:
    width: int
    names: list[str]


class Model:
    """Validates as pydantic's models do, and is no type that msgspec knows."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def model_validate(cls, value: Any) -> Self:
        if not isinstance(value, dict):
            raise ValueError("a model wants an object")
        return cls(value)


def bind(function: Callable[..., Any], args: object) -> tuple[list[Any], dict[str, Any]]:
    return Arguments(function, "work").bind(json.dumps(args).encode())


def fault(function: Callable[..., Any], args: object) -> str:
    with pytest.raises(BadArguments) as caught:
        bind(function, args)
    return str(caught.value)


def plain(url: str, size: int = 1, *, quick: bool = False) -> None: ...
def typed(
    when: datetime.datetime,
    colour: Colour,
    point: Point,
    size: Size,
    mode: Literal["a", "b"] | None,
    table: dict[int, float],
) -> None: ...
def with_model(model: Model, models: list[Model]) -> None: ...
def untyped(anything, whatever: Any = None) -> None: ...  # type: ignore[no-untyped-def]
def by_place(first: int, second: int = 2, /, third: int = 3) -> None: ...
def of_all(first: int, *rest: int, **named: str) -> None: ...
def nothing() -> None: ...


def test_an_object_is_keyword_arguments_and_an_array_positional_ones() -> None:
    assert bind(plain, {"url": "u", "quick": True}) == ([], {"url": "u", "quick": True})
    assert bind(plain, ["u", 2]) == (["u", 2], {})
    assert bind(nothing, {}) == bind(nothing, []) == ([], {})


def test_values_become_what_the_annotations_say() -> None:
    _, values = bind(
        typed,
        {
            "when": "2026-01-02T03:04:05Z",
            "colour": "red",
            "point": {"x": 1},
            "size": {"width": 2, "names": ["n"]},
            "mode": None,
            "table": {"7": 1},
        },
    )
    assert values == {
        "when": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "colour": Colour.RED,
        "point": Point(1),
        "size": Size(2, ["n"]),
        "mode": None,
        "table": {7: 1.0},
    }


def test_models_validate_for_themselves_at_any_depth() -> None:
    _, values = bind(with_model, {"model": {"a": 1}, "models": [{"b": 2}]})
    assert values["model"].value == {"a": 1}
    assert values["models"][0].value == {"b": 2}


def test_without_annotations_the_json_value_is_handed_over() -> None:
    assert bind(untyped, {"anything": [1, {"a": None}]}) == ([], {"anything": [1, {"a": None}]})


def test_positional_only_parameters_are_filled_by_name_too() -> None:
    assert bind(by_place, {"first": 1, "third": 9}) == ([1, 2], {"third": 9})


def test_whoever_takes_any_number_gets_them_converted() -> None:
    assert bind(of_all, [1, 2, 3]) == ([1, 2, 3], {})
    assert bind(of_all, {"first": 1, "other": "x"}) == ([], {"first": 1, "other": "x"})
    assert "argument '[1]': expected int, got str" in fault(of_all, [1, "x"])


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (plain, {"url": 1}, "argument 'url': expected str, got int"),
        (plain, ["u", "x"], "argument 'size': expected int, got str"),
        (plain, {}, "argument 'url': missing (expected str): task 'work' takes url, size, quick"),
        (plain, [], "argument 'url': missing"),
        (plain, {"url": "u", "x": 1}, "argument 'x': unexpected: task 'work' takes url, size, qui"),
        (plain, ["u", 1, True], "expected at most 2 in the array, got 3"),
        (nothing, {"x": 1}, "argument 'x': unexpected: task 'work' takes no arguments"),
        (plain, "text", "expected an object or an array, got 'text'"),
        (with_model, {"model": {}, "models": [1]}, "argument 'models[0]': a model wants an object"),
        (with_model, {"model": 1, "models": []}, "argument 'model': expected Model: a model wants"),
    ],
)
def test_the_error_names_the_argument_and_what_was_expected(
    function: Callable[..., Any], args: object, expected: str
) -> None:
    assert fault(function, args).startswith(expected)


def test_the_error_names_the_place_inside_of_a_value() -> None:
    given = {"when": "2026-01-02T03:04:05Z", "colour": "red", "point": {"x": "1"}}
    assert fault(typed, given) == "argument 'point.x': expected int, got str"
    given["colour"] = "blue"
    assert fault(typed, given) == "argument 'colour': invalid enum value 'blue'"


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(BadArguments, match="the arguments are not JSON"):
        Arguments(plain, "work").bind(b"{")


def with_context(ctx: Context, url: str) -> None: ...
def with_unannotated_context(ctx, url: str) -> None: ...  # type: ignore[no-untyped-def]
def with_context_behind(url: str, ctx: str) -> None: ...


def test_the_context_is_the_first_parameter_by_its_type_or_its_name() -> None:
    assert Arguments(with_context, "work").takes_context
    assert Arguments(with_unannotated_context, "work").takes_context
    assert not Arguments(with_context_behind, "work").takes_context
    assert bind(with_context_behind, {"url": "u", "ctx": "c"}) == ([], {"url": "u", "ctx": "c"})
    assert "unexpected" in fault(with_context, {"url": "u", "ctx": "c"})


def test_an_annotation_that_cannot_be_looked_up_is_said_at_the_start() -> None:
    def lost(value: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="'Missing' of 'value' cannot be looked up"):
        Arguments(lost, "work")


def no_json(value: dict[tuple[int, int], list[int] | set[int]]) -> None: ...


def test_a_type_that_no_json_value_can_have_is_said_at_the_start() -> None:
    with pytest.raises(TypeError, match="no argument can be of the type of 'value'"):
        Arguments(no_json, "work")


async def coroutine() -> None: ...
def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


class CallableObject:
    async def __call__(self, x: int) -> int:
        return x


def test_a_function_is_a_coroutines_or_a_threads() -> None:
    assert Handler("work", coroutine).is_async
    assert Handler("work", CallableObject()).is_async
    assert not Handler("work", plain).is_async


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_generator_is_refused_with_what_to_do_instead(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"a task has one result.*ctx\.progress"):
        Handler("work", function)
