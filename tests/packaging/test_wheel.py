"""What is installed is what the house says, and it lives beside a project's own packages."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "callboard",
    "callboard_bench",
    "callboard_client",
    "callboard_protocol",
    "callboard_scheduler",
    "callboard_server",
    "pytest_callboard",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a registry would get it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


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


def _below(folder: Path, pattern: str) -> list[Path]:
    return [path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern)]


def test_the_fixture_works_beside_packages_called_as_our_folders_are(
    wheel: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    project = tmp_path / "project"
    for name in ("server", "protocol", "scheduler", "bench"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text(f"OWN = {name!r}\n")
    (project / "test_own.py").write_text(
        "import bench, protocol, scheduler, server\n"
        "import pusher\n"
        "import callboard_server\n\n\n"
        "def test_it(pusher_server):\n"
        f"    assert callboard_server.__file__.startswith({str(site)!r})\n"
        "    assert (server.OWN, protocol.OWN) == ('server', 'protocol')\n"
        "    sdk = pusher.Pusher(**pusher_server.pusher_options())\n"
        "    assert sdk.trigger('a', 'b', 'c') == {}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    environment = {"PYTHONPATH": f"{site}:{project}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
