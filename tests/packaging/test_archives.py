"""The archives hold what the house says, and nothing else."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from support.installed import ROOT

PACKAGES = {
    "callboard",
    "callboard_bench",
    "callboard_client",
    "callboard_protocol",
    "callboard_scheduler",
    "callboard_server",
    "pytest_callboard",
}
#: What the source archive may have at its top.
SOURCES = {
    *("protocol", "server", "scheduler", "bench", "tests", "docs", "examples"),
    *("README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", "pyproject.toml", ".gitignore"),
}


def test_the_wheel_holds_the_seven_packages_and_their_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_the_wheel_holds_the_stores_sql(wheel: Path) -> None:
    stores = Path("scheduler/callboard_scheduler/stores")
    ours = {path.relative_to("scheduler").as_posix() for path in _below(stores, "*.sql")}
    names = zipfile.ZipFile(wheel).namelist()
    assert ours
    assert ours <= set(names)


def test_the_wheel_holds_the_reports_style_and_script(wheel: Path) -> None:
    folder = "callboard_bench/report/page"
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"{folder}/page.css", f"{folder}/page.js"} <= set(names)


def test_the_wheel_has_the_plugin_and_the_command_as_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("entry_points.txt"))
        lines = archive.read(name).decode().split("\n")
    assert "callboard = callboard.cli:main" in lines[lines.index("[console_scripts]") :]
    assert "callboard = pytest_callboard" in lines[lines.index("[pytest11]") :]


def test_the_source_archive_has_no_caches_and_nothing_beside_the_project(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    top = {name.split("/")[0] for name in names}
    assert top == {sdist.name.removesuffix(".tar.gz")}
    assert {name.split("/")[1] for name in names} <= SOURCES
    assert not [name for name in names if "__pycache__" in name or "node_modules" in name]


def test_the_wheel_of_the_source_archive_is_that_of_the_checkout(
    sdist: Path, wheel: Path, build: Callable[[str, Path, Path], Path], tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    other = build("wheel", source, tmp_path / "wheel")
    assert _content(other) == _content(wheel)


def _content(wheel: Path) -> dict[str, int]:
    """Return the checksums of what is in a wheel, by name, but for its list of itself."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            each.filename: each.CRC
            for each in archive.infolist()
            if not each.filename.endswith("/RECORD")
        }


def _below(folder: Path, pattern: str) -> list[Path]:
    return [path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern)]
