"""The queries of the API's questions; a parameter that is not known is refused like a field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from callboard_scheduler.errors import BadField
from callboard_scheduler.fields import choice, shown
from callboard_scheduler.states import State
from callboard_scheduler.stores import TaskFilter

MAX_LISTED: Final = 1_000
DEFAULT_LISTED: Final = 100
MAX_PREVIEWED: Final = 1_000
DEFAULT_PREVIEWED: Final = 10

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def parse_listing(query: Mapping[str, str]) -> tuple[TaskFilter, int, str | None]:
    """Read the query of ``GET tasks``: which, how many at most, and the cursor.

    ``state`` may name several, with commas between.

    Raises:
        BadField: naming the parameter.
    """
    _refuse_unknown(query, ("state", "queue", "name", "schedule", "cursor", "limit"))
    states = [_state(word.strip()) for word in query.get("state", "").split(",") if word.strip()]
    which = TaskFilter(
        states=frozenset(states) or None,
        queue=query.get("queue") or None,
        name=query.get("name") or None,
        schedule=query.get("schedule") or None,
    )
    limit = _number(query, "limit", DEFAULT_LISTED, MAX_LISTED)
    return which, limit, query.get("cursor") or None


def parse_preview(query: Mapping[str, str]) -> int:
    """Read the query of ``GET schedules/{id}/preview``: how many runs.

    Raises:
        BadField: naming the parameter.
    """
    _refuse_unknown(query, ("n",))
    return _number(query, "n", DEFAULT_PREVIEWED, MAX_PREVIEWED)


def parse_no_query(query: Mapping[str, str]) -> None:
    """Check the query of a call that takes none.

    Raises:
        BadField: there is one.
    """
    _refuse_unknown(query, ())


def _refuse_unknown(query: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name in query:
        if name not in known:
            raise BadField(name[:100], f"unknown parameter, expected {choice(known)}")


def _state(word: str) -> State:
    try:
        return State(word)
    except ValueError:
        words = choice([state.value for state in State])
        raise BadField("state", f"expected {words}, got {shown(word)}") from None


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if _NUMBER.fullmatch(text) is None or not 1 <= int(text) <= most:
        raise BadField(name, f"expected a whole number from 1 to {most}, got {shown(text)}")
    return int(text)
