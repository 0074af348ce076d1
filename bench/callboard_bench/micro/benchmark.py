"""A benchmark: one operation, and how to do it many times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any

#: Takes this many turns of the loop that is timed.
Body = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One line of the table."""

    #: What is typed, such as ``frame-encode``.
    name: str
    #: What one operation is.
    title: str
    #: Makes what the body needs, gives the body, and cleans up.
    prepare: Callable[[], AbstractContextManager[Body]]
    #: Operations in one turn of the body.
    operations: int = 1
    #: Whether it waits, as for a disk, so that CPU time would say too little.
    waits: bool = False


def repeated(function: Callable[..., object], *arguments: Any) -> Body:
    """Return a body that calls ``function`` with the same arguments each time.

    The loop and the call itself are in the figure: some 50 ns.
    """

    def body(turns: int) -> None:
        for _ in repeat(None, turns):
            function(*arguments)

    return body


def calling(
    name: str, title: str, function: Callable[..., object], *arguments: Any, gives: object = None
) -> Benchmark:
    """Return the benchmark of a function that needs nothing but its arguments.

    ``gives`` is what it returns if it does what is meant to be timed; None if that is not known.
    """

    @contextmanager
    def prepare() -> Iterator[Body]:
        found = function(*arguments)
        if gives is not None and found != gives:
            raise AssertionError(f"{name} is to return {gives!r}, not {found!r}")
        yield repeated(function, *arguments)

    return Benchmark(name, title, prepare)
