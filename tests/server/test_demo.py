"""`callboard demo` as a newcomer runs it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from callboard import demo
from callboard.demo import tasks
from callboard.demo.processes import Processes
from callboard_scheduler import AsyncClient
from callboard_scheduler.client.updates import Ended


def test_the_demonstration_shows_everything_and_ends_by_itself() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "callboard", "demo"],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    shown = run.stdout
    assert 'public-news     greeting  {"text": "hello from the pusher library"}' in shown
    assert re.search(r"Worker (\w+) was killed \(SIGKILL\) in the middle of «storm»", shown)
    assert re.search(r"It runs on \w+ \d+ ms later", shown)
    assert re.search(r"«voyage» was moved from (\w+) to (?!\1)\w+ while it ran", shown)
    assert "10 tasks succeeded in 12 attempts" in shown
    assert re.search(r"«storm»: (\w+) \(lost\) -> (?!\1)\w+ \(succeeded\)", shown)
    assert "exit status 0" in shown


def test_a_step_that_does_not_come_about_is_named_and_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(self: Processes, name: str) -> None:
        raise TimeoutError("it did not come about")

    async def leave_out(client: AsyncClient) -> list[Ended]:
        return []

    monkeypatch.setattr(Processes, "kill_worker", fail)
    monkeypatch.setattr(tasks, "_run_a_batch", leave_out)
    assert demo.run() == 1
    assert capsys.readouterr().err == "The demonstration failed: it did not come about\n"
