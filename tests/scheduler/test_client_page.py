"""docs/client.md: its programs and commands do what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.task_server import PATIENCE_SECONDS, TaskServer

PAGE = (Path(__file__).parents[2] / "docs/client.md").read_text()
URL = "http://app-key:app-secret@127.0.0.1:6001/apps/app-id"
WORKER, *PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# The last is a scheduler beside a service, which test_end_to_end starts so.
START, SHELL, WAITING, _ = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskServer]:
    """The server and the worker that the page starts."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "app.py").write_text(WORKER)
    serve, work = START.splitlines()
    assert serve == "$ callboard serve"
    with TaskServer(folder) as server:
        arguments = work.replace(URL, server.url).split()
        assert arguments[:2] == ["$", "callboard"]
        with server.running("-m", *arguments[1:], cwd=folder):
            yield server


def test_the_programs_print_what_the_page_says(server: TaskServer) -> None:
    said = "".join(re.findall(r"It prints:\n\n```\n(.*?)```", PAGE, re.DOTALL))
    program = "\n".join(PROGRAMS).replace(URL, server.url)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == (said, "")


def test_the_commands_print_what_the_page_says(server: TaskServer) -> None:
    shown = (SHELL + WAITING).splitlines()
    commands = [line[2:] for line in shown if line.startswith("$ ")]
    said = [line for line in shown if not line.startswith("$ ")]
    function = f'callboard() {{ {shlex.quote(sys.executable)} -m callboard "$@"; }}'
    ended = subprocess.run(
        ["bash", "-c", "\n".join((function, *commands))],
        env={**os.environ, "CALLBOARD_URL": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    # A watcher that is quick sees more of the way to the end.
    lines = iter(_without_chance(ended.stdout.splitlines()))
    for line in _without_chance(said):
        assert line in lines, ended.stdout


def _without_chance(lines: list[str]) -> list[str]:
    return [re.sub(r"\b[0-9a-f]{32}\b|\d+\.\d s", "…", line) for line in lines]
