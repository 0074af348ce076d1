"""Whatever the store does: what was told is on the disk, and stays as it was told.

Random stories of submits and results, over a store that fails, stalls and comes back at random, in
the middle of which the power is cut.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from callboard_scheduler import wire
from callboard_scheduler.errors import StoreUnavailable
from callboard_scheduler.states import TERMINAL
from callboard_scheduler.stores import StoreError
from scheduler.engine_stage import APP, Hand, Stage, passes, settles, stage, story

FULL = StoreError("the disk is full")

MOVES = st.lists(
    st.sampled_from(
        [
            "submit",
            "submit",
            "batch",
            "accept",
            "checkpoint",
            "succeed",
            "succeed",
            "repeat",
            "fail next",
            "fail",
            "heal",
            "stall",
            "resume",
            "turn",
            "settle",
            "wait",
        ]
    ),
    min_size=5,
    max_size=40,
)


class Story:
    """What was asked for, what was answered, and what was told."""

    def __init__(self, scene: Stage, worker: Hand) -> None:
        self.scene = scene
        self.worker = worker
        self.submits: list[asyncio.Future[Any]] = []
        self.acknowledged: set[str] = set()
        self.recorded: set[str] = set()
        self.reported: list[tuple[str, int]] = []

    async def move(self, name: str) -> None:
        store, worker = self.scene.store, self.worker
        given = [each for each in worker.given.values() if (each.id, each.f) not in self.reported]
        if name in ("submit", "batch"):
            count = 1 if name == "submit" else 3
            self.submits.append(asyncio.ensure_future(self._submit(count)))
            await asyncio.sleep(0)
        elif name == "accept" and given:
            worker.says(wire.Accept(given[0].id, given[0].f))
        elif name == "checkpoint" and given:
            worker.says(wire.Checkpoint(given[-1].id, given[-1].f))
        elif name == "succeed" and given:
            self.reported.append((given[0].id, given[0].f))
            worker.says(wire.Result(given[0].id, given[0].f))
        elif name == "repeat" and self.reported:
            worker.says(wire.Result(*self.reported[-1]))
        elif name == "fail next":
            store.next_failure = FULL
        elif name in ("fail", "heal"):
            store.failure = FULL if name == "fail" else None
        elif name == "stall":
            store.stall()
        elif name == "resume":
            store.resume()
        elif name == "turn":
            await asyncio.sleep(0)
        elif name == "settle":
            await settles()
        elif name == "wait":
            await passes(0.6)
        self.look()

    async def _submit(self, count: int) -> None:
        try:
            self.acknowledged.update(await self.scene.submit_all(*[{}] * count))
        except StoreUnavailable:
            pass

    def look(self) -> None:
        for done in self.worker.took(wire.Done):
            self.recorded.update(task for task, _, _ in done.r)


@example(moves=[*["submit"] * 3, "fail next", "succeed", "repeat", "settle"], heals=False)
@given(moves=MOVES, heals=st.booleans())
@settings(max_examples=600, deadline=None)
def test_what_was_told_survives_a_power_cut_whatever_the_store_did(
    moves: list[str], heals: bool
) -> None:
    @story
    async def tell() -> None:
        async with stage() as scene:
            told = Story(scene, scene.worker(cap=50))
            await settles()
            for name in moves:
                await told.move(name)
            if heals:
                for name in ("heal", "resume", "wait", "wait", "wait"):
                    scene.store.next_failure = None
                    await told.move(name)
                assert not scene.scheduler.core.suspended
            told.look()
            acknowledged, recorded = set(told.acknowledged), set(told.recorded)
            scene.store.cut_power()
            image = scene.store._disk
            for task in acknowledged:
                assert image.task(APP, task) is not None
            for task in recorded:
                stored = image.task(APP, task)
                assert stored is None or stored.task.state in TERMINAL
                assert stored is not None or task not in acknowledged
            if heals:
                # What was refused does not come back, and nothing else was forgotten.
                live = {each.id for each in image.load(APP).tasks}
                assert live <= acknowledged
                assert live == set(scene.scheduler.core.tasks)
            scene.store.resume()
        await asyncio.gather(*told.submits)

    tell()
