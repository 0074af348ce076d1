"""The configuration file: TOML, checked against the structures key by key.

Every fault of a file is found at once and named by the key's path, as ``apps[0].key``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from callboard.errors import ConfigurationError
from callboard.fields import Field, fields_of, nearest
from callboard_server.settings import Settings


def read(path: Path) -> dict[str, Any]:
    """Return the file's keys and values, checked to be what Settings expects.

    Raises ConfigurationError if the file cannot be read, is not TOML, or does not fit.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            [f"{path}: cannot read the configuration file: {error.strerror or error}."]
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: not UTF-8 text, and TOML must be."]) from None
    except RecursionError:
        raise ConfigurationError([f"{path}: not usable TOML: nested too deeply."]) from None
    except ValueError as error:  # a TOMLDecodeError, or a number that Python refuses to read
        raise ConfigurationError([f"{path}: not valid TOML: {error}."]) from None
    problems = [f"{path}: {problem}." for problem in faults(document, Settings)]
    if problems:
        raise ConfigurationError(problems)
    return document


def faults(
    table: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str = ""
) -> Iterator[str]:
    """Yield what is wrong in a table of which `struct` says what it should be.

    Each begins with the key's path, which begins with `prefix`.
    """
    fields = fields_of(struct)
    for key in table:
        if key not in fields:
            yield f"{prefix}{_quoted(key)}: unknown key; {_advice(key, fields, prefix)}"
    for name, field in fields.items():
        if name in table:
            yield from _value_faults(table[name], field, prefix + name)
        elif field.required:
            yield f"{prefix}{name}: missing; expected {field.expectation}"


def _value_faults(value: Any, field: Field, path: str) -> Iterator[str]:
    tables = value if field.repeated else [value]
    if field.table and tables and _are_tables(tables):
        for number, table in enumerate(tables):
            where = f"{path}[{number}]." if field.repeated else f"{path}."
            yield from faults(table, field.table, where)
    elif fault := field.fault(value):
        hint = f"; each begins with `[[{path}]]`" if field.table and field.repeated else ""
        yield f"{path}: {fault}{hint}"


def _are_tables(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _advice(key: str, fields: Mapping[str, Field], prefix: str) -> str:
    if prefix and key in fields_of(Settings):
        return f"`{key}` is a setting of the server: write it above the first table"
    return f"the nearest known one is `{nearest(key, fields)}`"


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
