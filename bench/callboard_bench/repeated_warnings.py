"""Warnings of several rounds, each said once.

Two that differ in their numbers alone are the same warning, and a number that is not the same in
all of them is said as a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

#: A number on its own: no part of a name such as p99 or 127.0.0.1.
_NUMBER: Final = re.compile(r"(?<![\w.:])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.:]*\w)")


def said_once(warnings: Sequence[Sequence[str]]) -> list[str]:
    """Return the warnings of one contender's rounds, with the rounds that each belongs to.

    Such as ``rounds 1–3: other processes kept 1.20–1.60 cores busy meanwhile``.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for number, texts in enumerate(warnings, 1):
        for text in texts:
            found.setdefault(_NUMBER.sub("0", text), []).append((number, text))
    return [
        f"{_rounds([number for number, _ in said])}: {_ranged([text for _, text in said])}"
        for said in found.values()
    ]


def _rounds(numbers: Iterable[int]) -> str:
    """Return ``round 2``, or ``rounds 1–3, 5``."""
    numbers = sorted(set(numbers))
    # Less its place, a number is the same throughout a run of successive ones.
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda each: each[1] - each[0])
    ]
    spans = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return f"round{'s' if len(numbers) > 1 else ''} {', '.join(spans)}"


def _ranged(texts: Sequence[str]) -> str:
    """Return the text of all, with ranges for their numbers."""
    ranges = iter([_range(each) for each in zip(*map(_NUMBER.findall, texts), strict=True)])
    return _NUMBER.sub(lambda _: next(ranges), texts[0])


def _range(written: Sequence[str]) -> str:
    values = sorted(set(written), key=lambda each: float(each.replace(",", "")))
    return values[0] if len(values) == 1 else f"{values[0]}–{values[-1]}"
