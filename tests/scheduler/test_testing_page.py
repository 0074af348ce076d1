"""docs/testing-tasks.md: its tests run as they stand, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callboard.fixture import FixtureServer
from callboard.fixture.tasks import TaskScheduler
from callboard_scheduler.testing import BEGINNING, VirtualScheduler

PAGE = (Path(__file__).parents[2] / "docs" / "testing-tasks.md").read_text("utf-8")


def test_its_tests_pass(pytester: pytest.Pytester) -> None:
    files = re.findall(r"`(\w+\.py)`[^\n]*:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    for name, source in files:
        (pytester.path / name).write_text(source, "utf-8")
    runs = re.findall(r"^\$ pytest (.*)\n.*\n(\d+) passed in", PAGE, re.MULTILINE)
    assert {name for name, _ in files} - {command.split()[-1] for command, _ in runs} == {
        "reminders.py"
    }
    for command, count in runs:
        options = [*command.split(), "-p", "no:cacheprovider"]
        pytester.runpytest_subprocess(*options).assert_outcomes(passed=int(count))


@pytest.mark.parametrize("of", ["the scheduler", "a task", "the fixture"])
def test_its_tables_name_all_that_there_is(of: str) -> None:
    scheduler = VirtualScheduler()
    things = {
        "the scheduler": scheduler,
        "a task": scheduler.submit("add", [1, 2]),
        "the fixture": TaskScheduler(FixtureServer()),
    }
    thing = things[of]
    table = PAGE.split(f"| of {of} | |")[1]
    cells = [line.split(" | ")[0] for line in table.partition("\n\n")[0].splitlines()[2:]]
    listed = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    public = {name for name in dir(thing) if not name.startswith("_")}
    # How the two classes talk to one another.
    assert public - {"ask", "heard"} == listed - {"VirtualScheduler"}


def test_time_begins_where_the_page_says() -> None:
    assert f"on a {BEGINNING:%A}, {BEGINNING.day} {BEGINNING:%B %Y, %H:%M} UTC" in PAGE
