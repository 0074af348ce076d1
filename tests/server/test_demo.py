"""`callboard demo` as a newcomer runs it."""

from __future__ import annotations

import re
import subprocess
import sys


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
