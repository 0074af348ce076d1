"""README, CONTRIBUTING and docs/: what they name is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from callboard.cli import main

ROOT = Path(__file__).parents[2]
SCHEDULER = ROOT / "scheduler" / "callboard_scheduler"


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def walk() -> list[set[str]]:
    """Return what each step of the walk through the scheduler names."""
    text = read("docs/architecture.md").split("## The scheduler\n")[1].split("\nOn the roof")[0]
    return [
        set(re.findall(r"`(\w+\.py|\w+/)`", step))
        for step in re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    ]


def test_the_walk_goes_through_every_room_of_the_scheduler_and_through_no_other() -> None:
    named = set().union(*walk()) - {"__init__.py"}
    assert [name for name in named if not [*SCHEDULER.rglob(name.rstrip("/"))]] == []
    rooms = {
        each.name + "/" * each.is_dir()
        for each in SCHEDULER.iterdir()
        if each.suffix == ".py" or (each / "__init__.py").exists()
    }
    assert rooms - named == {"__init__.py"}


def test_imports_of_the_scheduler_go_back_along_the_walk() -> None:
    place: dict[str, int] = {}
    for number, names in enumerate(walk()):
        for name in names:
            place.setdefault(name.rstrip("/").removesuffix(".py"), number)
    seen = 0
    for file in SCHEDULER.rglob("*.py"):
        room = file.relative_to(SCHEDULER).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for imported in imports(file):
            if imported in place:
                seen += 1
                assert place[imported] <= place[room], f"{file.name} imports {imported}"
                own_feet = room not in ("worker", "client") or imported == room
                assert own_feet or place[imported] == 0, f"{file.name} imports {imported}"
    assert seen > 100


def imports(file: Path) -> Iterator[str]:
    """Yield the room of the scheduler that each import is from."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(SCHEDULER.name):
            _, *parts = (node.module or "").split(".")
            yield from parts[:1] or [alias.name for alias in node.names]


def test_the_table_of_folders_has_every_folder_with_its_packages() -> None:
    table = read("CONTRIBUTING.md").split("| folder | packages |")[1].partition("\n\n")[0]
    for folder in ("protocol", "server", "scheduler", "bench", "examples", "docs", "tests"):
        assert f"| `{folder}/` |" in table
    packages = {each.parent.name for each in ROOT.glob("[bps]*/*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+)`:", table))


def test_how_long_the_demonstration_takes_is_the_same_wherever_it_is_said() -> None:
    said = CliRunner().invoke(main, ["demo", "--help"]).output
    pages = [read("README.md").split("make demo")[1].split("\n")[0], read("CHANGELOG.md"), said]
    assert ["ten seconds" in each for each in pages] == [True] * 3
