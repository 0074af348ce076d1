"""Writes docs/compatibility.md from the tests: ``python tests/compatibility/page.py PATH``.

A row is a test's ``@pytest.mark.documented(area, behaviour)``; the same behaviour on several
tests, or several on one, is fine. ``@pytest.mark.deviation(name)`` ties a test to a deviation of
page.toml, where the areas stand in order too. What would let the page say more than the tests
prove is an error: an unknown area or deviation, a deviation that no test shows, a test that does
not run.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = "https://pusher.com/docs/channels/"
INTRODUCTION: Final = """\
# Compatibility with hosted Pusher

<!-- Written by `make docs` from the tests marked `documented`; see tests/compatibility. -->

What hosted Pusher documents, what its service was seen to do where the documentation is silent,
and the tests that show Callboard doing the same over real sockets. Where it does otherwise, the
reason is below, under [Deviations](#deviations).
"""


class PageError(Exception):
    """The page cannot be written; ``str()`` says which mark or entry is wrong."""


@dataclass(frozen=True)
class Area:
    """A heading of the page, and where Pusher's documentation writes of it."""

    name: str
    page: str | None = None


@dataclass(frozen=True)
class Deviation:
    """What is otherwise, and why; an ``absent`` thing is not there, so no test can show it."""

    name: str
    hosted: str
    here: str
    reason: str
    absent: bool = False


@dataclass(frozen=True)
class Entries:
    """What stands in page.toml."""

    areas: Sequence[Area]
    deviations: Sequence[Deviation]


@dataclass
class Marks:
    """The cases of tests, by area and behaviour and by deviation, in the order of the tests."""

    documented: dict[str, dict[str, list[pytest.Item]]] = field(default_factory=dict)
    deviations: dict[str, list[pytest.Item]] = field(default_factory=dict)
    #: How many cases each test function has.
    cases: dict[str, int] = field(default_factory=dict)


def read_entries(text: str) -> Entries:
    """Read page.toml.

    Raises:
        PageError: an entry lacks something or has too much.
    """
    found = tomllib.loads(text)
    try:
        return Entries(
            [Area(**area) for area in found["areas"]],
            [Deviation(**deviation) for deviation in found["deviations"]],
        )
    except (KeyError, TypeError) as error:
        raise PageError(f"page.toml: {error}") from None


def collect(tests: Path) -> list[pytest.Item]:
    """Let pytest collect ``tests`` in this process, which must not be running them.

    Raises:
        PageError: a test module cannot be imported.
    """
    collector = _Collector()
    said = io.StringIO()
    arguments = ["--collect-only", "-qq", "-p", "no:cacheprovider", str(tests)]
    with contextlib.redirect_stdout(said):
        status = pytest.main(arguments, plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise PageError(f"the tests cannot be collected:\n{said.getvalue()}")
    return collector.items


class _Collector:
    items: list[pytest.Item]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def read_marks(items: Iterable[pytest.Item], entries: Entries) -> Marks:
    """Read the marks of collected tests.

    Raises:
        PageError: a mark names what page.toml does not, or stands on a test that does not run.
    """
    areas = {area.name for area in entries.areas}
    deviations = {deviation.name for deviation in entries.deviations if not deviation.absent}
    marks = Marks()
    for item in sorted(items, key=_place):
        name = _function(item)
        marks.cases[name] = marks.cases.get(name, 0) + 1
        for mark in reversed(list(item.iter_markers("documented"))):
            area, behaviour = _arguments(mark, item, "area", "behaviour")
            if area not in areas:
                raise PageError(f"{name}: page.toml has no area {area!r}")
            _check_runs(item)
            marks.documented.setdefault(area, {}).setdefault(behaviour, []).append(item)
        for mark in item.iter_markers("deviation"):
            (deviation,) = _arguments(mark, item, "name")
            if deviation not in deviations:
                raise PageError(f"{name}: page.toml has no such deviation: {deviation!r}")
            _check_runs(item)
            marks.deviations.setdefault(deviation, []).append(item)
    if missing := sorted(deviations.difference(marks.deviations)):
        raise PageError(f"no test is marked with the deviation {missing[0]!r}")
    return marks


def _arguments(mark: pytest.Mark, item: pytest.Item, *names: str) -> tuple[str, ...]:
    given = mark.args
    if mark.kwargs or len(given) != len(names) or not all(isinstance(each, str) for each in given):
        raise PageError(f"{_function(item)}: expected {mark.name}({', '.join(names)}) of strings")
    return given


def _check_runs(item: pytest.Item) -> None:
    for name in ("skip", "xfail"):
        if item.get_closest_marker(name):
            raise PageError(f"{_function(item)}: a test marked {name} proves nothing")


def _place(item: pytest.Item) -> tuple[str, int]:
    path, line, _ = item.location
    return Path(path).as_posix(), line or 0


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


# The page


def render(entries: Entries, marks: Marks) -> str:
    """Return the page's text."""
    sections = [
        _section(area, marks.documented[area.name], marks.cases)
        for area in entries.areas
        if area.name in marks.documented
    ]
    return "\n".join([INTRODUCTION, *sections, _deviations(entries.deviations, marks)])


def _section(
    area: Area, rows: Mapping[str, Sequence[pytest.Item]], cases: Mapping[str, int]
) -> str:
    lines = [f"## {area.name}", ""]
    if area.page:
        lines += [f"Pusher's page: [{area.page.rpartition('/')[2]}]({PAGES}{area.page})", ""]
    lines += ["| behaviour | test |", "|---|---|"]
    for behaviour, items in rows.items():
        lines.append(f"| {_cell(behaviour)} | {_tests(items, cases)} |")
    return "\n".join(lines) + "\n"


def _deviations(deviations: Sequence[Deviation], marks: Marks) -> str:
    lines = [
        "## Deviations",
        "",
        "| hosted Pusher | Callboard | reason | test |",
        "|---|---|---|---|",
    ]
    for each in deviations:
        tests = "" if each.absent else _tests(marks.deviations[each.name], marks.cases)
        lines.append(
            f"| {_cell(each.hosted)} | {_cell(each.here)} | {_cell(each.reason)} | {tests} |"
        )
    return "\n".join(lines) + "\n"


def _tests(items: Sequence[pytest.Item], cases: Mapping[str, int]) -> str:
    """Name test functions, or single cases of one where the others prove something else."""
    by_function: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_function.setdefault(_function(item), []).append(item)
    links = []
    for name, found in by_function.items():
        path, _, function = name.partition("::")
        whole = len(found) == cases[name]
        names = [function] if whole else [item.nodeid.partition("::")[2] for item in found]
        links += [f"[`{_cell(each)}`](../{path})" for each in names]
    return "<br>".join(links)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    """Collect this repository's tests and return the page.

    Raises:
        PageError: a mark or an entry is wrong.
    """
    entries = read_entries((ROOT / "tests" / "compatibility" / "page.toml").read_text("utf-8"))
    return render(entries, read_marks(collect(ROOT / "tests"), entries))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PATH")
    try:
        text = page()
    except PageError as error:
        sys.exit(str(error))
    Path(sys.argv[1]).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
