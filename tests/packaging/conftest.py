"""The archives, built as a registry would get them, and an environment with the wheel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.installed import ROOT, Environment, install, pip
from support.node import missing

#: Builds ``wheel`` or ``sdist`` of a source folder, alone into another.
Build = Callable[[str, Path, Path], Path]


@pytest.fixture(scope="session")
def extras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages that no other tests need."""
    folder = tmp_path_factory.mktemp("extras")
    try:
        wanted = ("hatchling>=1.27", "pytest-cov>=6")
        # Most of it is never imported, so compiling all takes longer than compiling what is.
        pip("install", "--no-compile", "--target", str(folder), *wanted)
    except AssertionError as error:
        missing(f"hatchling and pytest-cov cannot be installed: {error}")
    return folder


@pytest.fixture(scope="session")
def build(extras: Path) -> Build:
    def build(target: str, source: Path, folder: Path) -> Path:
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
            cwd=source,
            env={"PYTHONPATH": str(extras), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (archive,) = folder.iterdir()
        return archive

    return build


@pytest.fixture(scope="session")
def sdist(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return install(wheel, tmp_path_factory.mktemp("environment") / "venv")
