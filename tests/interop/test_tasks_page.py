"""docs/tasks.md: its programs run as they stand, and print what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from callboard.scheduling import Scheduling
from callboard_scheduler.stores.memory import MemoryStore
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.inbox import WAIT_SECONDS
from interop.node_script import FOLDER
from scheduler import tasks_page

#: Source and output of each, by language.
PROGRAMS: dict[str, list[tuple[str, str]]] = {"js": [], "python": []}
for _language, _source, _output in tasks_page.programs():
    PROGRAMS[_language].append((_source, _output))


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """The development app, as ``callboard serve`` has it."""
    with BackgroundServer(Settings(port=0), extensions=[Scheduling(MemoryStore)]) as server:
        yield server


def run(command: list[str], source: str, server: BackgroundServer) -> str:
    """Run a program that is written for the server's default port."""
    assert "6001" in source
    result = subprocess.run(
        command,
        input=source.replace("6001", str(server.port)),
        capture_output=True,
        text=True,
        cwd=FOLDER,
        timeout=WAIT_SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_there_is_a_program_for_each_sdk() -> None:
    assert all(PROGRAMS.values())


@pytest.mark.parametrize(("source", "output"), PROGRAMS["js"])
def test_what_it_shows_for_node(
    source: str, output: str, node_program: str, server: BackgroundServer
) -> None:
    assert run([node_program, "-"], source, server) == output


@pytest.mark.parametrize(("source", "output"), PROGRAMS["python"])
def test_what_it_shows_for_python(source: str, output: str, server: BackgroundServer) -> None:
    assert run([sys.executable, "-"], source, server) == output
