"""Arguments of a task, checked against the annotations of the function that gets them.

1. An object gives keyword arguments, an array positional ones.
2. Each value is converted by msgspec to the annotated type: numbers, strings, dates, enums,
   dataclasses, TypedDicts, msgspec structs and containers of them. A class with
   ``model_validate`` (pydantic's) converts for itself. Without an annotation, or with ``Any``, the
   decoded JSON value is handed over.
3. What is wrong fails the task for good (:class:`BadArguments`): the same arguments would be
   wrong again.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from callboard_scheduler.records import Raw
from callboard_scheduler.worker.context import Context
from callboard_scheduler.worker.errors import BadArguments

_PLACE: Final = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_EMPTY: Final = inspect.Parameter.empty
_SHOWN_CHARACTERS: Final = 300

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    type: Any
    default: Any
    keyword_only: bool
    positional_only: bool

    @property
    def required(self) -> bool:
        return self.default is _EMPTY


class Arguments:
    """The parameters of one function, without the context it may take first.

    Raises:
        TypeError: an annotation cannot be looked up, or no JSON value can be of its type.
    """

    def __init__(self, function: Callable[..., object], task: str) -> None:
        self._task = task
        self.takes_context = False
        self._parameters: dict[str, _Parameter] = {}
        self._rest_positional: Any = _EMPTY
        self._rest_keyword: Any = _EMPTY
        try:
            signature = inspect.signature(function)
        except ValueError as error:
            raise TypeError(f"task {task!r}: {function!r} does not tell its parameters") from error
        for place, parameter in enumerate(signature.parameters.values()):
            kind = _annotation(function, parameter, task)
            if place == 0 and (kind is Context or (kind is Any and parameter.name == "ctx")):
                self.takes_context = True
            elif parameter.kind is parameter.VAR_POSITIONAL:
                self._rest_positional = kind
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._rest_keyword = kind
            else:
                self._parameters[parameter.name] = _Parameter(
                    parameter.name,
                    kind,
                    parameter.default,
                    parameter.kind is parameter.KEYWORD_ONLY,
                    parameter.kind is parameter.POSITIONAL_ONLY,
                )

    def bind(self, text: Raw | bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and keyword arguments for the function.

        Raises:
            BadArguments: the first thing that is wrong, with the argument's name.
        """
        try:
            given = _decode(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise BadArguments("", f"the arguments are not JSON: {error}") from None
        if isinstance(given, dict):
            return self._bind_object(given)
        if isinstance(given, list):
            return self._bind_array(given)
        raise BadArguments("", f"expected an object or an array, got {_shown(given)}")

    def _bind_object(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        keyword: dict[str, Any] = {}
        parameters = self._parameters
        for name, value in given.items():
            parameter = parameters.get(name)
            if parameter is not None:
                keyword[name] = _convert(name, value, parameter.type)
            elif self._rest_keyword is _EMPTY:
                raise BadArguments(name, f"unexpected: task {self._task!r} takes {self._takes()}")
            else:
                keyword[name] = _convert(name, value, self._rest_keyword)
        for parameter in parameters.values():
            if parameter.required and parameter.name not in keyword:
                self._missing(parameter)
        positional = [
            keyword.pop(parameter.name, parameter.default)
            for parameter in parameters.values()
            if parameter.positional_only
        ]
        return positional, keyword

    def _bind_array(self, given: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        places = [one for one in self._parameters.values() if not one.keyword_only]
        if len(given) > len(places) and self._rest_positional is _EMPTY:
            raise BadArguments(
                "",
                f"expected at most {len(places)} in the array, got {len(given)}: "
                f"task {self._task!r} takes {self._takes()}",
            )
        filled = places[: len(given)]
        for parameter in self._parameters.values():
            if parameter.required and parameter not in filled:
                self._missing(parameter)
        positional = [
            _convert(parameter.name, value, parameter.type)
            for parameter, value in zip(filled, given, strict=False)
        ]
        positional.extend(
            _convert(f"[{place}]", given[place], self._rest_positional)
            for place in range(len(places), len(given))
        )
        return positional, {}

    def _missing(self, parameter: _Parameter) -> None:
        expected = "" if parameter.type is Any else f" (expected {_type_name(parameter.type)})"
        raise BadArguments(
            parameter.name, f"missing{expected}: task {self._task!r} takes {self._takes()}"
        )

    def _takes(self) -> str:
        names = [*self._parameters]
        if self._rest_positional is not _EMPTY:
            names.append("more by place")
        if self._rest_keyword is not _EMPTY:
            names.append("any others by name")
        return ", ".join(names) or "no arguments"


def _annotation(function: Callable[..., object], parameter: inspect.Parameter, task: str) -> Any:
    """Return the type of a parameter, Any without an annotation."""
    if parameter.annotation is _EMPTY:
        return Any
    plain = inspect.unwrap(function)
    plain = getattr(plain, "func", plain)
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = getattr(plain, "__globals__", {})
    try:
        kind = typing.get_type_hints(holder, names, include_extras=True)[parameter.name]
    except Exception as error:
        raise TypeError(
            f"task {task!r}: the annotation {parameter.annotation!r} of {parameter.name!r} cannot "
            f"be looked up ({error}): import its type at run time, at the top of the module"
        ) from error
    if kind is not Context and not _has_model_validate(kind):
        try:
            # Says at the start what no value could ever satisfy.
            msgspec.json.Decoder(kind, dec_hook=_convert_other)
        except TypeError as error:
            raise TypeError(
                f"task {task!r}: no argument can be of the type of {parameter.name!r}: {error}"
            ) from None
    return kind


def _convert(name: str, value: Any, kind: Any) -> Any:
    if kind is Any:
        return value
    try:
        if _has_model_validate(kind):
            return kind.model_validate(value)
        return msgspec.convert(value, kind, str_keys=True, dec_hook=_convert_other)
    except msgspec.ValidationError as error:
        text = str(error)
        path = ""
        if place := _PLACE.search(text):
            text, path = text[: place.start()], place["path"]
        text = (text[:1].lower() + text[1:]).replace("`", "")
        raise BadArguments(f"{name}{path}", text) from None
    except Exception as error:
        # A model's own validation: whatever it raises says what it wants.
        raise BadArguments(name, f"expected {_type_name(kind)}: {error}") from error


def _convert_other(kind: type, value: Any) -> Any:
    if _has_model_validate(kind):
        return kind.model_validate(value)  # type: ignore[attr-defined]
    if isinstance(value, kind):
        return value
    raise msgspec.ValidationError(f"Expected `{_type_name(kind)}`, got {_shown(value)}")


def _has_model_validate(kind: Any) -> bool:
    return isinstance(kind, type) and callable(getattr(kind, "model_validate", None))


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
