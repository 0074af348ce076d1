"""Whether each task was started as often as it should have been, and has finished once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from callboard_bench.scheduler.caller import Caller
from callboard_bench.scheduler.marks import Mark

_PAGE = "1000"


def starts_fault(submitted: Collection[int], marks: Iterable[Mark], starts: int = 1) -> str | None:
    """Return what is wrong with the starts in words, None if each task had so many."""
    counts = Counter(mark.number for mark in marks)
    unknown = len(counts.keys() - set(submitted))
    fewer = sum(counts[number] < starts for number in submitted)
    more = sum(counts[number] > starts for number in submitted)
    return _in_words(
        (fewer, f"started fewer than {starts} times" if starts > 1 else "never started"),
        (more, f"started more than {starts} times" if starts > 1 else "started twice"),
        (unknown, "started that nobody submitted"),
    )


async def records_fault(caller: Caller, ids: Sequence[str], state: str = "succeeded") -> str | None:
    """Return what is wrong with the records in words, None if each is there once, in ``state``."""
    records = await listed(caller)
    seen = Counter(record["id"] for record in records)
    states = {record["id"]: record["state"] for record in records}
    return _in_words(
        (len(ids) - len(set(ids)), "ids given twice"),
        (sum(seen[id_] == 0 for id_ in ids), "acknowledged and lost"),
        (sum(count > 1 for count in seen.values()), "listed twice"),
        (sum(states.get(id_, state) != state for id_ in ids), f"not {state}"),
    )


async def listed(caller: Caller, **which: str) -> list[Mapping[str, Any]]:
    """Return every record, all pages of it."""
    records: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": _PAGE, **which, **({"cursor": cursor} if cursor else {})}
        page = await caller.get("tasks", **query)
        records += page["tasks"]
        cursor = page["cursor"]
        if cursor is None:
            return records


def joined(*faults: str | None) -> str | None:
    """Return the faults that there are as one text."""
    return ", ".join(filter(None, faults)) or None


def _in_words(*counted: tuple[int, str]) -> str | None:
    return joined(*(f"{count} {words}" for count, words in counted if count))
