"""JSON bodies read into structures, and each fault of one told by field.

msgspec decides what is right. What is wrong is worded here: the path of the field, what the
``description`` in its annotation says is expected, and what was there instead. Wording costs a
second, slower look at the body, which only a body that is refused has to pay.

Values that are passed on as JSON text (arguments, results) are looked through as well: what one
of the languages on the way cannot read must not reach a worker, where it would fail for ever.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
import orjson
from msgspec import Meta, Raw, UnsetType

from callboard_protocol.channels import json_type
from callboard_scheduler.errors import BODY, BadField, TooLarge

#: Bytes of the JSON text of arguments or of a result.
MAX_VALUE_BYTES: Final = 1_048_576
#: Arrays and objects inside one another; PHP reads 512 levels, other parsers some more.
MAX_VALUE_DEPTH: Final = 200
#: Ten years.
MAX_SPAN_MS: Final = 315_360_000_000
#: The end of the year 9999, the last that most calendars can show.
MAX_TIME_MS: Final = 253_402_300_799_999
#: As milliseconds a time in early 1970, as seconds one from 2001 to 2286.
_LOOKS_LIKE_SECONDS: Final = range(1_000_000_000, 10_000_000_000)

_TIME_WORDS: Final = "Unix time in milliseconds, or an ISO 8601 time with its zone"

Time = Annotated[int | str, Meta(description=_TIME_WORDS)]
Span = Annotated[
    int, Meta(ge=0, le=MAX_SPAN_MS, description=f"whole milliseconds from 0 to {MAX_SPAN_MS}")
]
PositiveSpan = Annotated[
    int, Meta(ge=1, le=MAX_SPAN_MS, description=f"whole milliseconds from 1 to {MAX_SPAN_MS}")
]
#: Part of a channel's name, whichever the scheduler's channel.
_IDENTIFIER: Final = r"\A[A-Za-z0-9_\-=@,.;]{1,100}\Z"
_IDENTIFIER_WORDS: Final = "1 to 100 ASCII letters, digits or _ - = @ , . ;"
Identifier = Annotated[str, Meta(pattern=_IDENTIFIER, description=_IDENTIFIER_WORDS)]
Key = Annotated[
    str, Meta(min_length=1, max_length=200, description="a string of 1 to 200 characters")
]

T = TypeVar("T")

#: How msgspec says where; a field's name of the sender's may look so too, but not at the end.
_PLACE = re.compile(r"(.*) - at `\$((?:\.[A-Za-z_]+|\[\d+\])*)`", re.DOTALL)
_STEP = re.compile(r"\.([A-Za-z_]+)|\[(\d+)\]")
_UNKNOWN: Final = "Object contains unknown field `"
_MISSING: Final = "Object missing required field `"


class Body(Generic[T]):
    """Reads one kind of body."""

    def __init__(self, shape: type[T]) -> None:
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)

    def read(self, body: bytes | Raw) -> T:
        """Return what a body says.

        Raises:
            BadField: not JSON, or not of this shape.
        """
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise _fault(self._shape, bytes(body), str(error)) from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _not_json(bytes(body), error) from None
        except RecursionError:
            raise BadField(BODY, "it is nested too deeply") from None


def identifier(field: str, value: str) -> str:
    """Return part of a path that is to be part of a channel's name.

    Raises:
        BadField: it cannot be.
    """
    if re.search(_IDENTIFIER, value) is None:
        raise BadField(field, f"expected {_IDENTIFIER_WORDS}, got {shown(value)}")
    return value


def time_ms(field: str, value: int | str) -> int:
    """Return a time in Unix milliseconds.

    Raises:
        BadField: without a zone, out of range, or seconds.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise BadField(field, f"expected {_TIME_WORDS}, got {shown(value)}") from None
        if moment.tzinfo is None:
            raise BadField(
                field, f"expected a zone behind the time, as in 2030-01-31T08:00Z, got {value!r}"
            )
        # Whole milliseconds have to come out as they went in: no floats.
        since_epoch = moment - _EPOCH
        number = since_epoch.days * 86_400_000 + since_epoch.seconds * 1_000
        number += since_epoch.microseconds // 1_000
    else:
        number = value
    if number in _LOOKS_LIKE_SECONDS:
        raise BadField(field, f"expected milliseconds, got {number}, which looks like seconds")
    if not 0 <= number <= MAX_TIME_MS:
        raise BadField(field, f"expected a time from 1970 to 9999, got {shown(value)}")
    return number


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def json_value(field: str, raw: Raw) -> Raw:
    """Return a value's JSON text, holding on to nothing but itself.

    Raises:
        TooLarge: more than MAX_VALUE_BYTES.
        BadField: JSON that not every reader takes.
    """
    # A view would keep the whole body for as long as there is the task.
    text = bytes(raw)
    if len(text) > MAX_VALUE_BYTES:
        raise TooLarge(
            field,
            f"expected at most {MAX_VALUE_BYTES} bytes of JSON, got {len(text)}: "
            "store it elsewhere and pass where it is",
        )
    try:
        # Unlike msgspec's skipping, this refuses text that is not UTF-8 and half characters.
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadField(field, f"expected JSON that every parser reads: {error}") from None
    if text.count(b"[") + text.count(b"{") > MAX_VALUE_DEPTH and _depth(value) > MAX_VALUE_DEPTH:
        raise BadField(
            field, f"expected at most {MAX_VALUE_DEPTH} arrays and objects inside one another"
        )
    return Raw(text)


def shown(value: object) -> str:
    """Return a decoded value as an error names it: itself if it is short, else what it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 10**18 else "a larger number"
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"a string of {len(value)} characters"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return json_type(value)


def choice(words: Sequence[str]) -> str:
    """Return ``a, b or c``, of nothing ``none``."""
    *first, last = words or ("none",)
    return f"{', '.join(first)} or {last}" if first else last


# The wording of faults


def _fault(shape: Any, body: bytes, message: str) -> BadField:
    """Word what msgspec said of a body."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        # What it stumbled over came before this, but nothing else matters now.
        return _not_json(body, error)
    placed = _PLACE.fullmatch(message)
    complaint, place = placed.groups() if placed else (message, "")
    path = ""
    for name, index in _STEP.findall(place):
        path += f"[{index}]" if index else f".{name}"
        shape = _shape_inside(shape, name)
        value = _value_inside(value, name, index)
    if complaint.startswith(_UNKNOWN):
        path += f".{complaint[len(_UNKNOWN) : -1][:100] or repr('')}"
        text = f"unknown field, expected {choice(_field_names(shape))}"
    elif complaint.startswith(_MISSING):
        name = complaint[len(_MISSING) : -1]
        path += f".{name}"
        text = f"missing, expected {_expectation(_shape_inside(shape, name))}"
    else:
        text = f"expected {_expectation(shape)}, got {shown(value)}"
    return BadField(path.removeprefix(".") or BODY, text)


def _not_json(body: bytes, error: Exception) -> BadField:
    if not body:
        return BadField(BODY, "expected a JSON object, got an empty body")
    return BadField(BODY, f"expected a JSON object: {error}")


def _shape_inside(shape: Any, name: str) -> Any:
    """Return the annotation of a field, or of an array's elements if there is no name."""
    for option in _options(shape):
        bare = _bare(option)
        if not name and typing.get_origin(bare) is list:
            return typing.get_args(bare)[0]
        if name and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return typing.get_type_hints(bare, include_extras=True).get(name, Any)
    return Any


def _value_inside(value: Any, name: str, index: str) -> Any:
    if index:
        return value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value.get(name) if isinstance(value, dict) else None


def _field_names(shape: Any) -> tuple[str, ...]:
    for option in _options(shape):
        bare = _bare(option)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return bare.__struct_encode_fields__
    return ()


def _expectation(shape: Any) -> str:
    """Return what an annotation expects, in words that go on behind «expected»."""
    for option in _options(shape):
        for extra in getattr(option, "__metadata__", ()):
            if isinstance(extra, Meta) and extra.description:
                return extra.description
        bare = _bare(option)
        if isinstance(bare, type) and issubclass(bare, enum.Enum):
            return choice([repr(member.value) for member in bare])
        if bare is bool:
            return "true or false"
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return "an object"
        if bare is Raw:
            return "any JSON"
        return f"{getattr(bare, '__name__', bare)}"
    return "nothing"


def _options(shape: Any) -> Iterator[Any]:
    """Yield what an annotation allows besides null and nothing at all."""
    if typing.get_origin(shape) in (typing.Union, types.UnionType):
        for option in typing.get_args(shape):
            if option not in (types.NoneType, UnsetType):
                yield option
    else:
        yield shape


def _bare(shape: Any) -> Any:
    return shape.__origin__ if typing.get_origin(shape) is Annotated else shape


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        inside, depth = waiting.pop()
        if isinstance(inside, dict):
            inside = inside.values()
        elif not isinstance(inside, list):
            continue
        deepest = max(deepest, depth)
        waiting.extend((each, depth + 1) for each in inside)
    return deepest
