"""Writes the life of a task into docs/scheduler.md: ``python tests/scheduler/scheduler_page.py``.

Diagram and table are made of :data:`~callboard_scheduler.states.TRANSITIONS`; only the words for
what happens are here. They stand between two marks, and the rest of the page is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from callboard_scheduler.states import LIVE, TERMINAL, TRANSITIONS, State, Trigger

PAGE: Final = Path(__file__).parents[2] / "docs" / "scheduler.md"
BEGIN: Final = "<!-- The life of a task: written by `make docs`. -->\n"
END: Final = "<!-- End of what is written by `make docs`. -->\n"

#: What happens, in the words of the table.
WORDS: Final = {
    Trigger.SUBMIT: "it is submitted, or a schedule's time has come",
    Trigger.DEPENDENCIES_MET: "all that it is `after` have succeeded",
    Trigger.DEPENDENCY_FAILED: "one that it is `after` has ended otherwise",
    Trigger.DUE: "its time has come",
    Trigger.ASSIGN: "a worker that fits has a free slot",
    Trigger.HEARD: "the worker has named it",
    Trigger.HANDED_BACK: (
        "the worker rejected it, gave it back or said goodbye; before it was heard of also: it did "
        "not answer, or was lost"
    ),
    Trigger.SUCCEED: "its result has come",
    Trigger.FAIL: "it has failed: it is tried again, or its tries are used up",
    Trigger.LOSE_WORKER: "its worker was lost: it runs again, or was lost too often",
    Trigger.CANCEL: "it is cancelled",
    Trigger.STOP: "it is cancelled or moved, or has run too long: its worker is told to stop",
    Trigger.STOPPED: "its worker has stopped, or was lost, or its time to stop is over",
    Trigger.EXPIRE: "its `start_by` has passed",
    Trigger.UPDATE: "it is updated or moved",
    Trigger.LATE_RESULT: "the attempt given up last has a result, and no other was heard of",
    Trigger.REMEMBER: "a worker still runs it by an assignment that a crash has made forgotten",
    Trigger.REQUEUE: "it is begun anew",
}
#: What is rare, and would hide the rest of the diagram.
_NOT_DRAWN: Final = frozenset(
    {Trigger.UPDATE, Trigger.LATE_RESULT, Trigger.REMEMBER, Trigger.REQUEUE}
)


def life() -> str:
    """Return the diagram and the table."""
    return "\n".join([BEGIN, *_diagram(), "", *_table(), "", END])


def written(page: str) -> str:
    """Return the page with the life of a task as it is by now."""
    before, rest = page.split(BEGIN)
    _, behind = rest.split(END)
    return before + life() + behind


def names(heading: str) -> list[str]:
    """Return what the first cells name of the page's table with this first heading."""
    text = PAGE.read_text("utf-8").split(f"| {heading} |")[1].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in text.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    edges: dict[tuple[str, str], list[str]] = {}
    for before, triggers in TRANSITIONS.items():
        for trigger, ends in triggers.items():
            for after in State:
                if after in ends and trigger not in _NOT_DRAWN:
                    edge = (before.value if before else "[*]", after.value)
                    edges.setdefault(edge, []).append(trigger.value)
    for (source, target), labels in edges.items():
        yield f"    {source} --> {target}: {', '.join(labels)}"
    for state in State:
        if state in TERMINAL:
            yield f"    {state.value} --> [*]"
    yield "```"


def _table() -> Iterator[str]:
    yield "| from | what happens | to |"
    yield "|---|---|---|"
    ends_of = {before: triggers for before, triggers in TRANSITIONS.items() if before in LIVE}
    for before, triggers in [(None, TRANSITIONS[None]), *ends_of.items()]:
        for trigger, ends in triggers.items():
            yield _row(f"`{before.value}`" if before else "", trigger, ends)
    ends = frozenset(state for each in TERMINAL for state in TRANSITIONS[each][Trigger.REQUEUE])
    every = ", ".join(f"`{state.value}`" for state in State if state in TERMINAL)
    yield _row(every, Trigger.REQUEUE, ends)


def _row(source: str, trigger: Trigger, ends: frozenset[State]) -> str:
    targets = ", ".join(f"`{state.value}`" for state in State if state in ends)
    return f"| {source} | {WORDS[trigger]} | {targets} |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text("utf-8")), "utf-8")
