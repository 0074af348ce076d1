"""Where a page of tasks begins and ends, the same for every store.

Tasks are listed by falling ``seq``; a cursor is the ``seq`` that the page behind it stays below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callboard_scheduler.records import Task
from callboard_scheduler.stores import BadCursor, Page

#: Above every ``seq``.
_TOP: Final = 2**63 - 1


def below(cursor: str | None) -> int:
    """Return the ``seq`` that a page's tasks stay below.

    Raises:
        BadCursor: not a cursor of :func:`page_of`.
    """
    if cursor is None:
        return _TOP
    if not (cursor.isascii() and cursor.isdigit() and int(cursor) < _TOP):
        raise BadCursor(f"expected the cursor of a page of tasks, got {cursor!r}")
    return int(cursor)


def page_of(tasks: Sequence[Task], limit: int) -> Page:
    """Return the page of the first ``limit`` tasks, given one more if there is one."""
    if len(tasks) <= limit:
        return Page(tasks, None)
    return Page(tasks[:limit], str(tasks[limit - 1].seq))
