"""docs/recording.md: its example is played, its tables name all that there is."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from callboard.commands.record import record as record_command
from callboard.commands.replay import replay as replay_command
from callboard.traffic import outcome, redaction, replay
from callboard.traffic.comparison import ON_ITS_WAY_MS
from callboard.traffic.recording import AnyRecord, Recording
from callboard.traffic.writing import MAX_WAITING_BYTES

PAGE = (Path(__file__).parents[2] / "docs" / "recording.md").read_text("utf-8")
LINES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]


def cells(head: str) -> Iterator[list[str]]:
    """Yield the rows of the table with this head, cell by cell."""
    table = PAGE.split(f"\n{head}\n")[1].partition("\n\n")[0]
    for row in table.splitlines()[1:]:
        yield [cell.strip() for cell in row.strip("|").split(" | ")]


def names(cell: str) -> list[str]:
    return re.findall(r"`(-*[a-z][\w-]*)", cell)


def test_its_test_passes_with_its_recording(pytester: pytest.Pytester) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    # The recorded app is Callboard's own, the one played into the fixture's.
    (pytester.path / "traffic.jsonl").write_text(LINES, "utf-8")
    (pytester.path / "test_page.py").write_text(source, "utf-8")
    ended = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    ended.assert_outcomes(passed=1)


def test_its_recording_is_one(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text(LINES)
    assert len(list(Recording(path))) == len(LINES.splitlines()) - 1
    assert [json.loads(line).get("ms", 0) for line in LINES.splitlines()] == sorted(
        json.loads(line).get("ms", 0) for line in LINES.splitlines()
    )


def test_it_names_every_kind_of_line_and_its_fields() -> None:
    listed: dict[str, set[str]] = {}
    for kinds, fields in cells("| `what` | fields |"):
        for kind in names(kinds):
            listed[kind] = set(names(fields))
    known = {
        str(kind.__struct_config__.tag): {*kind.__struct_fields__} - {"ms"}
        for kind in get_args(AnyRecord)
    }
    assert listed.keys() == known.keys()
    for kind in known:
        # Beside the fields there are values that they may have.
        assert known[kind] <= listed[kind], kind


@pytest.mark.parametrize("command", [record_command, replay_command], ids=["record", "replay"])
def test_it_names_every_option(command: click.Command) -> None:
    title = "## Record" if command is record_command else "## Play"
    table = PAGE.split(title)[1].split("| option | |")[1].partition("\n\n")[0]
    listed = set(re.findall(r"`(--[a-z-]+)", table))
    options = {parameter.opts[0] for parameter in command.params if parameter.opts[0][0] == "-"}
    assert listed == options


def test_it_names_every_difference_and_every_name_of_a_secret() -> None:
    kinds = {
        outcome.MISSING,
        outcome.ADDED,
        outcome.OUT_OF_ORDER,
        outcome.ANSWERED,
        outcome.CLOSED,
    }
    assert {cell.strip("`") for cell, _ in cells("| kind | |")} == kinds
    secrets = PAGE.split("- **Signatures**")[1].split("- **Headers**")[0]
    assert set(re.findall(r"`(\w+)`", secrets)) == redaction.SECRET_NAMES


def test_it_names_the_arguments_and_numbers_of_the_code() -> None:
    arguments = {
        name
        for name, parameter in inspect.signature(replay).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    sentence = PAGE.split("take the options of the command by name:")[1].partition(".")[0]
    assert set(names(sentence)) == arguments - {"on_progress"}
    assert f"at most {MAX_WAITING_BYTES // 2**20} MiB" in PAGE
    assert f"last {ON_ITS_WAY_MS:g} ms" in PAGE
