"""What people type on a command line: durations, times, JSON, labels.

The scheduler checks what the values mean; here only their form is read.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

#: What a number in JSON can be for every reader of it.
_MOST_MS: Final = 2**53 - 1
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")

_KINDS: Final[Mapping[type, str]] = {dict: "an object", list: "an array"}

Command = TypeVar("Command", bound=Callable[..., object])


def duration(text: str) -> int:
    """Read ``250ms``, ``30s``, ``5m``, ``1.5h`` or ``2d``, a bare number being seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(
            f"{text!r} is no duration: expected a number with ms, s, m, h or d, such as 30s."
        )
    ms = float(match[1]) * _UNITS[match[2] or "s"]
    if ms > _MOST_MS:
        raise click.BadParameter(f"{text[:20]!r} is too long: expected at most {_MOST_MS} ms.")
    return round(ms)


def time(text: str) -> int | str:
    """Read an ISO 8601 time with its zone, or Unix time in milliseconds."""
    return int(text) if text.isdecimal() else text


def json_value(*kinds: type) -> Callable[[str], Any]:
    """Return a reader of JSON of these types, of ``@FILE`` and of ``-`` for standard input."""

    def read(text: str) -> Any:
        import orjson

        try:
            found = json.loads(_content(text))
            # It reads what it could not be sent as: half characters, numbers of any length.
            orjson.dumps(found)
        except (OSError, ValueError, RecursionError, orjson.JSONEncodeError) as error:
            raise click.BadParameter(f"{text[:80]!r} is no JSON: {error}.") from None
        if kinds and not isinstance(found, kinds):
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise click.BadParameter(f"expected {expected}, got {text[:80]!r}.")
        return found

    return read


def _content(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    return Path(text[1:]).read_text() if text.startswith("@") else text


def labels(pairs: Iterable[str]) -> dict[str, Any] | None:
    """Read ``KEY=VALUE`` pairs; a value that is JSON is that, and several of a key are a list."""
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{pair!r} is no KEY=VALUE.", param_hint="--label")
        found.setdefault(key, []).append(_scalar(text))
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()} or None


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


_WORKER = click.option("--worker", metavar="ID", help="Only the worker with this id may run it.")
_LABEL = click.option(
    "--label",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only workers with this label may run it. Several of a key: any of the values.",
)


def target_options(command: Command) -> Command:
    """Add ``--worker`` and ``--label``, as :func:`target` reads them."""
    return _WORKER(_LABEL(command))


def wait_timeout_option(command: Command) -> Command:
    """Let a command that waits be told for how long."""
    return click.option(
        "--wait-timeout",
        type=duration,
        metavar="DURATION",
        help="Wait no longer than this; the task goes on.",
    )(command)


def task_options(command: Command) -> Command:
    """Add what a task can be told, as :func:`task_fields` reads it."""
    options = (
        click.option(
            "--args",
            type=json_value(dict, list),
            metavar="JSON",
            help="Arguments: an object by name, or an array by place. @FILE or - reads it.",
        ),
        click.option("--queue", metavar="NAME", help="[default: default]"),
        click.option("--priority", type=int, metavar="N", help="Higher goes first. [default: 0]"),
        click.option("--delay", type=duration, metavar="DURATION", help="Run it that much later."),
        click.option("--run-at", type=time, metavar="TIME", help="Run it then."),
        click.option(
            "--start-by", type=time, metavar="TIME", help="Expire if nobody started it by then."
        ),
        click.option(
            "--timeout", type=duration, metavar="DURATION", help="How long each try may take."
        ),
        click.option("--max-attempts", type=int, metavar="N", help="Tries. [default: 3]"),
        click.option(
            "--retry",
            type=json_value(dict),
            metavar="JSON",
            help="All about tries: max_attempts, initial_ms, factor, max_ms, jitter.",
        ),
        click.option(
            "--unique-key", metavar="KEY", help="At most one unfinished task has this key."
        ),
        click.option(
            "--on-conflict",
            type=click.Choice(["keep", "replace", "error"]),
            help="What if one has it. [default: keep]",
        ),
        _WORKER,
        _LABEL,
        click.option(
            "--after", multiple=True, metavar="ID", help="Run it when this one succeeded."
        ),
        click.option("--limit-key", metavar="KEY", help="Count it under this key."),
        click.option("--limit", type=int, metavar="N", help="At most N of the key run at once."),
        click.option(
            "--on-disconnect",
            type=click.Choice(["auto", "now", "grace", "lease"]),
            help="When its worker counts as lost. [default: auto]",
        ),
        click.option(
            "--max-losses",
            type=int,
            metavar="N",
            help="How many lost workers it survives. [default: 3]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def task_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a submit body that the options of :func:`task_options` set."""
    retry = dict(given["retry"] or {})
    if given["max_attempts"] is not None:
        retry["max_attempts"] = given["max_attempts"]
    fields = {
        "args": given["args"],
        "queue": given["queue"],
        "priority": given["priority"],
        "delay_ms": given["delay"],
        "run_at": given["run_at"],
        "start_by": given["start_by"],
        "timeout_ms": given["timeout"],
        "retry": retry or None,
        "unique_key": given["unique_key"],
        "on_conflict": given["on_conflict"],
        "target": target(given["worker"], given["label"]),
        "after": given["after"] or None,
        "limit_key": given["limit_key"],
        "limit": given["limit"],
        "on_disconnect": given["on_disconnect"],
        "max_losses": given["max_losses"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def target(worker: str | None, pairs: Iterable[str]) -> dict[str, Any] | None:
    """Return which workers may run it, None for any."""
    found = {"worker": worker, "labels": labels(pairs)}
    return {name: value for name, value in found.items() if value is not None} or None
