"""The commands about tasks on a terminal: a real one, made of two ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callboard_scheduler.client.loop_thread import LoopThread
from support.fake_scheduler import FakeScheduler

Scheduler = LoopThread[FakeScheduler]

PATIENCE_SECONDS = 30


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    thread = LoopThread("fake-scheduler", FakeScheduler)
    yield thread
    thread.close()


class Terminal:
    """A command on a terminal of 100 columns, and what it has written there."""

    def __init__(self, url: str, *arguments: str) -> None:
        self._ours, theirs = os.openpty()
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "100"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "callboard", *arguments, "--url", url],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        self.written = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                some = os.read(self._ours, 65_536)
            except OSError:  # Linux says so when the other end is closed.
                return
            if not some:
                return
            self.written += some.decode()

    def end(self) -> int:
        """Return the exit status, once all that was written is read."""
        status = self.process.wait(PATIENCE_SECONDS)
        self._reader.join()
        return status

    def close(self) -> None:
        self.process.kill()
        self.end()
        os.close(self._ours)


@contextmanager
def on_terminal(scheduler: Scheduler, *arguments: str) -> Iterator[Terminal]:
    async def url(fake: FakeScheduler) -> str:
        return fake.url

    terminal = Terminal(scheduler.run(url), *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def plain(text: str) -> str:
    """Return text without what moves the cursor and sets colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_table_fits_the_terminal_and_never_cuts_an_id(scheduler: Scheduler) -> None:
    async def prepare(fake: FakeScheduler) -> None:
        fake.task(id="0" * 32, name="[red]n[/red]" * 20, state="running")

    scheduler.run(prepare)
    with on_terminal(scheduler, "tasks", "list") as terminal:
        assert terminal.end() == 0
    heads, row = plain(terminal.written).splitlines()
    assert heads.startswith("ID ")
    assert row.startswith("0" * 32 + "  [red]n[/red]")
    assert "…" in row
    assert len(row) <= 100


def test_watching_shows_bars_that_move_and_lines_that_stay(scheduler: Scheduler) -> None:
    async def prepare(fake: FakeScheduler) -> None:
        fake.task(name="first")
        fake.task(name="second")

    async def work(fake: FakeScheduler) -> None:
        # By the command, and before and behind the feed.
        for task_id in ("t1", "t2"):
            await fake.until(lambda each=task_id: fake.requests("GET", f"tasks/{each}") == 3)  # type: ignore[misc]
        await fake.state("t1", "running", attempt=1, worker="w1")
        await fake.announce("t1", "progress", {"pct": 40, "msg": "[b]scaling\x1b[2J"})
        await fake.announce("t1", "log", {"lvl": "info", "txt": "a line to keep"})
        await fake.finish("t1", result=[1])
        await fake.finish("t2", "dead", error={"type": "E", "msg": "bad"})

    scheduler.run(prepare)
    with on_terminal(scheduler, "tasks", "watch", "t1", "t2") as terminal:
        scheduler.run(work)
        assert terminal.end() == 1
    assert "\x1b[2J" not in terminal.written
    lines = [line.rstrip() for line in plain(terminal.written).splitlines()]
    assert "t1 info: a line to keep" in lines
    assert "━" in terminal.written
    first, second = lines[-2:]
    assert re.fullmatch(r"t1 first +━+ 100% succeeded \[1\]", first)
    assert re.fullmatch(r"t2 second +\S+ +dead +E: bad", second)


def test_why_a_task_waits_is_said_above_the_bars(scheduler: Scheduler) -> None:
    async def prepare(fake: FakeScheduler) -> None:
        fake.task()
        fake.reasons = ["no worker serves [b]queue[/b] \x1b[2Jdefault"]

    scheduler.run(prepare)
    with on_terminal(scheduler, "tasks", "watch", "t1", "--wait-timeout", "50ms") as terminal:
        assert terminal.end() == 5
    assert "\x1b[2J" not in terminal.written
    lines = [line.rstrip() for line in plain(terminal.written).splitlines()]
    assert "t1 is ready: no worker serves [b]queue[/b] \\x1b[2Jdefault" in lines
