"""Audited workers in processes of their own, and the audit of what they wrote down."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from support.task_processes import PATIENCE_SECONDS, Program

_TESTS = Path(__file__).parent.parent


class Note(NamedTuple):
    """A line of the journal: what a function did, for which task, under which fence."""

    what: str
    task: str
    fence: int


class Hand(Program):
    """One worker process; ``name`` is its id."""

    async def does(self, what: str, task_id: str) -> None:
        """Wait until one of its functions says so."""
        while not (await self.line()).startswith(f"{what} {task_id} "):
            pass


class Crew:
    """The workers of one test, and their journal; whoever is left is ended with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = folder / "journal"
        self._gates = 0
        self.hands: dict[str, Hand] = {}

    async def hire(
        self, name: str, url: str, *options: str, worker: str = "worker", queue: str = "default"
    ) -> Hand:
        """Start a worker, and return once it is welcomed."""
        hand = self.hands[name] = Hand(
            name,
            self._folder,
            *("-m", "callboard", "worker", f"support.audited_worker:{worker}"),
            *("--url", url, "--id", name, "--queue", queue, *options),
            JOURNAL=str(self._journal),
            PYTHONPATH=str(_TESTS),
        )
        await hand.start()
        return hand

    def close(self) -> None:
        for hand in self.hands.values():
            hand.close()

    # Gates

    def gate(self) -> Path:
        """Make a pipe that a function can wait at."""
        self._gates += 1
        gate = self._folder / f"gate{self._gates}"
        os.mkfifo(gate)
        return gate

    async def open(self, gate: Path) -> None:
        """Let go on who waits at the gate, or will."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.to_thread(gate.write_bytes, b"")

    # The journal

    def notes(self) -> list[Note]:
        if not self._journal.exists():
            return []
        lines = [line.split(" ") for line in self._journal.read_text().splitlines()]
        return [Note(what, task, int(fence)) for what, task, fence in lines]

    def did(self, task_id: str) -> list[str]:
        """Return what was done for a task, in the order in which it was written down."""
        return [note.what for note in self.notes() if note.task == task_id]

    def audit(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Hold the books to the journal: nothing is lost, and nothing has finished twice."""
        notes = self.notes()
        for record in records:
            assert record["state"] == "succeeded", record
            own = [note for note in notes if note.task == record["id"]]
            begun = [note.fence for note in own if note.what == "begin"]
            assert len(begun) == len(set(begun)), f"an assignment was begun twice: {own}"
            fences = [attempt["fence"] for attempt in record["attempts"]]
            assert fences == sorted(set(fences)), record
            ends = [each["fence"] for each in record["attempts"] if each["outcome"] == "succeeded"]
            assert len(ends) == 1, f"it has not finished once: {record}"
            assert Note("end", record["id"], ends[0]) in own, f"nobody has done it: {record}"
            # A worker says nothing more of a task once its result is recorded.
            assert max(begun) == ends[0], f"it was begun again after its end: {own}"
