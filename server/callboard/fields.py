"""The fields of the settings' structures: their names everywhere, and what they expect.

Flags, environment variables, the TOML file and the reference all ask here, and this asks the
structures in :mod:`callboard_server.settings`. A field that is written there appears everywhere.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import inspect

#: Units at the end of a field's name; its flag says them in the help instead.
UNITS = ("seconds", "bytes")

_BOOLEAN_WORDS = {
    "true": True, "1": True, "yes": True, "on": True,
    "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip
_SCALARS = (
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.LiteralType,
    inspect.EnumType,
)
_ARRAYS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)

#: A number with more digits says nothing to a reader (and Python refuses to print the largest).
_PRINTABLE = 10**15


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure."""

    name: str
    #: The annotation, as msgspec converts to it.
    type: Any
    #: What the annotation says, without `None` and without its description.
    info: inspect.Type
    description: str
    required: bool
    #: ``msgspec.NODEFAULT`` if the field is required or its default is made by a function.
    default: Any

    @property
    def scalar(self) -> bool:
        """Whether text can hold the value; only such fields have flags and variables."""
        return isinstance(self.info, _SCALARS)

    @property
    def repeated(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.info, _ARRAYS)

    @property
    def table(self) -> type[msgspec.Struct] | None:
        """The structure of the value, or of each of its elements; None for anything else."""
        info = _bare(self.info.item_type) if isinstance(self.info, _ARRAYS) else self.info
        return info.cls if isinstance(info, inspect.StructType) else None

    @property
    def unit(self) -> str | None:
        """The unit that ends the name, one of UNITS."""
        return next((unit for unit in UNITS if self.name.endswith(f"_{unit}")), None)

    @property
    def flag(self) -> str:
        """The flag, as ``--drain`` for ``drain_seconds``."""
        return "--" + self.name.removesuffix(f"_{self.unit}").replace("_", "-")

    @property
    def switch(self) -> bool:
        """Whether it is on or off, so that its flag takes no value."""
        return isinstance(self.info, inspect.BoolType)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flag, and for a switch the one that puts it off."""
        return (self.flag, f"--no-{self.flag[2:]}") if self.switch else (self.flag,)

    @property
    def default_text(self) -> str:
        """The default as it is written in TOML, "required", or "none"."""
        if self.required:
            return "required"
        if self.default in (None, msgspec.NODEFAULT):
            return "none"
        return json.dumps(self.default, default=str)

    @property
    def expectation(self) -> str:
        """What the value must be, in words that go on after "expected"."""
        return _expectation(self.info)

    def from_text(self, text: str) -> Any:
        """Return what `text` says, or `text` itself if it does not say such a value."""
        try:
            match self.info:
                case inspect.BoolType():
                    return _BOOLEAN_WORDS.get(text.strip().lower(), text)
                case inspect.IntType():
                    return int(text)
                case inspect.FloatType():
                    return float(text)
        except ValueError:
            pass
        return text

    def fault(self, value: Any) -> str | None:
        """Return what was expected and what kind of value came instead; None if it is right.

        Text is never repeated: it may be a secret in the wrong place.
        """
        if _usable(value):
            try:
                msgspec.convert(value, self.type)
            except msgspec.ValidationError:
                pass
            else:
                return None
        return f"expected {self.expectation}, got {_kind(value, self.info)}"


@cache
def fields_of(struct: type[msgspec.Struct]) -> Mapping[str, Field]:
    """Return the fields of a structure by name, in the order in which they are written."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - for the type checker
    found: dict[str, Field] = {}
    for written, field in zip(msgspec.structs.fields(struct), described.fields, strict=True):
        schema = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
        found[field.encode_name] = Field(
            name=field.encode_name,
            type=written.type,
            info=_bare(field.type),
            description=(schema or {}).get("description", ""),
            required=field.required,
            default=field.default,
        )
    return MappingProxyType(found)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of `known` that looks most like `name`."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def _usable(value: Any) -> bool:
    """Tell infinities, not-a-numbers and half characters, which no type refuses, from the rest."""
    if isinstance(value, float):
        return math.isfinite(value)
    # A variable whose bytes are not UTF-8 reaches Python as lone surrogates (PEP 383).
    return not (isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value))


def _bare(info: inspect.Type) -> inspect.Type:
    if isinstance(info, inspect.Metadata):
        return _bare(info.type)
    if isinstance(info, inspect.UnionType):
        rest = [each for each in info.types if not isinstance(each, inspect.NoneType)]
        if len(rest) == 1:
            return _bare(rest[0])
    return info


def _expectation(info: inspect.Type) -> str:
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(info)
        case inspect.FloatType():
            return "a number" + _bounds(info)
        case inspect.StrType(pattern=str() as pattern):
            return f"text that matches `{pattern}`"
        case inspect.StrType():
            return "text" + (" that is not empty" if info.min_length else "")
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f'"{value}"' for value in values)
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(f'"{member.value}"' for member in cls)
        case inspect.StructType() | inspect.DictType():
            return "a table"
        case inspect.ListType() | inspect.VarTupleType():
            item = _bare(info.item_type)
            least = f" (at least {info.min_length})" if info.min_length else ""
            each = "tables" if isinstance(item, inspect.StructType) else _expectation(item)
            return f"a list of {each}{least}"
    raise TypeError(f"no words yet for what {info!r} expects: add them here")


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge} to {info.le}"
    least = f" of at least {info.ge}" if info.ge is not None else ""
    above = f" greater than {info.gt}" if info.gt is not None else ""
    most = f" of at most {info.le}" if info.le is not None else ""
    below = f" less than {info.lt}" if info.lt is not None else ""
    return least + above + most + below


def _kind(value: Any, wanted: inspect.Type) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            numeric = isinstance(wanted, inspect.IntType | inspect.FloatType)
            if numeric and (abs(value) < _PRINTABLE or isinstance(value, float)):
                # Text becomes the number that is wanted, and 601 shall not come back as 601.0.
                whole = isinstance(wanted, inspect.FloatType) and abs(value) < _PRINTABLE
                return str(int(value) if whole and value == int(value) else value)
            return "a number"
        case "":
            return "empty text"
        case str() if not _usable(value):
            return "text that is not UTF-8"
        case str():
            worded = (inspect.StrType, inspect.LiteralType, inspect.EnumType)
            return "other text" if isinstance(wanted, worded) else "text"
        case []:
            return "an empty list"
        case list():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"
