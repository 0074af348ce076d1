"""docs/compatibility.md says what the tests prove, and nothing else can get into it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compatibility import page
from compatibility.page import PageError

ENTRIES = page.read_entries(
    """
    [[areas]]
    name = "First"
    page = "using/first"
    [[areas]]
    name = "Second"
    [[areas]]
    name = "Empty"
    [[deviations]]
    name = "shown"
    hosted = "this"
    here = "that"
    reason = "because"
    [[deviations]]
    name = "absent"
    absent = true
    hosted = "one"
    here = "none"
    reason = "why not"
    """
)
SHOWN = "@pytest.mark.deviation('shown')\ndef test_shown(): ...\n"


def items_of(pytester: pytest.Pytester, source: str) -> list[pytest.Item]:
    pytester.makeini(
        "[pytest]\n"
        "markers = documented\n  deviation\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    return pytester.getitems(f"import pytest\n{source}")


def test_the_page_is_that_of_the_tests(tmp_path: Path) -> None:
    """`make docs` writes it. In a process of its own, since this one is running the tests."""
    written = tmp_path / "compatibility.md"
    script = Path(page.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(written)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    committed = page.ROOT / "docs" / "compatibility.md"
    assert committed.read_text("utf-8") == written.read_text("utf-8"), "run `make docs`"


def test_a_page_has_areas_in_order_with_their_tests_and_the_deviations(
    pytester: pytest.Pytester,
) -> None:
    items = items_of(
        pytester,
        """
documented = pytest.mark.documented

@documented("Second", "It does a | b")
@documented("First", "It does this")
@documented("First", "It does that")
def test_much(): ...

@documented("First", "It does this")
@pytest.mark.parametrize("n", [1, 2])
def test_more(n): ...

@pytest.mark.parametrize("n", [1, pytest.param(2, marks=documented("Second", "It does two"))])
def test_a_table(n): ...

"""
        + SHOWN,
    )
    marks = page.read_marks(items, ENTRIES)
    file = "test_a_page_has_areas_in_order_with_their_tests_and_the_deviations.py"
    assert (
        page.render(ENTRIES, marks).removeprefix(page.INTRODUCTION)
        == f"""
## First

Pusher's page: [first](https://pusher.com/docs/channels/using/first)

| behaviour | test |
|---|---|
| It does this | [`test_much`](../{file})<br>[`test_more`](../{file}) |
| It does that | [`test_much`](../{file}) |

## Second

| behaviour | test |
|---|---|
| It does a \\| b | [`test_much`](../{file}) |
| It does two | [`test_a_table[2]`](../{file}) |

## Deviations

| hosted Pusher | Callboard | reason | test |
|---|---|---|---|
| this | that | because | [`test_shown`](../{file}) |
| one | none | why not |  |
"""
    )


WRONG = [
    ("@pytest.mark.documented('Third', 'x')", "page.toml has no area 'Third'"),
    ("@pytest.mark.documented('First')", "expected documented(area, behaviour) of strings"),
    ("@pytest.mark.documented('First', 1)", "expected documented(area, behaviour) of strings"),
    ("@pytest.mark.documented(area='First')", "expected documented(area, behaviour) of strings"),
    ("@pytest.mark.deviation('other')", "page.toml has no such deviation: 'other'"),
    ("@pytest.mark.deviation('absent')", "page.toml has no such deviation: 'absent'"),
    (
        "@pytest.mark.documented('First', 'x')\n@pytest.mark.skip",
        "a test marked skip proves nothing",
    ),
    (
        "@pytest.mark.deviation('shown')\n@pytest.mark.xfail",
        "a test marked xfail proves nothing",
    ),
]


def test_a_mark_that_would_say_more_than_is_proven(pytester: pytest.Pytester) -> None:
    tests = [f"{mark}\ndef test_{place}(): ..." for place, (mark, _) in enumerate(WRONG)]
    items = items_of(pytester, "\n".join(tests))
    assert len(items) == len(WRONG)
    for item, (_, text) in zip(items, WRONG, strict=True):
        with pytest.raises(PageError) as refused:
            page.read_marks([item], ENTRIES)
        assert str(refused.value) == f"{item.nodeid}: {text}"


def test_a_deviation_that_nothing_shows(pytester: pytest.Pytester) -> None:
    with pytest.raises(PageError, match="no test is marked with the deviation 'shown'"):
        page.read_marks(items_of(pytester, "def test_it(): ..."), ENTRIES)


@pytest.mark.parametrize(
    "text",
    ["areas = [{}]\ndeviations = []", "areas = []", "areas = [{name = 'a', url = 'b'}]"],
)
def test_entries_that_are_not_whole(text: str) -> None:
    with pytest.raises(PageError, match=r"^page\.toml: "):
        page.read_entries(text)
