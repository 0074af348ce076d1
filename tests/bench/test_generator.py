from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from callboard_bench.generator import (
    RECEIVED,
    Counts,
    Desk,
    Generator,
    GeneratorFailed,
    ask_all,
    counted,
    divided,
)
from callboard_bench.websocket import Unexpected

SECONDS = 10


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    generator = Generator()
    yield generator
    generator.close()


@pytest.fixture
def alone() -> Iterator[Generator]:
    generator = Generator()
    yield generator
    generator.close()


class Pile:
    def __init__(self) -> None:
        self.height = 0


@dataclass(frozen=True)
class Begin:
    async def answer(self, desk: Desk) -> None:
        desk.keep(Pile())


@dataclass(frozen=True)
class Add:
    count: int

    async def answer(self, desk: Desk) -> tuple[int, int]:
        pile = desk.kept(Pile)
        pile.height += self.count
        desk.counters[RECEIVED] = pile.height
        return os.getpid(), pile.height


@dataclass(frozen=True)
class Refuse:
    async def answer(self, desk: Desk) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.fail())

    async def fail(self) -> None:
        raise Unexpected("the server said no")


@dataclass(frozen=True)
class FailLater:
    async def answer(self, desk: Desk) -> None:
        desk.start(Refuse().fail())


@dataclass(frozen=True)
class CountWithoutEnd:
    async def answer(self, desk: Desk) -> None:
        while True:
            desk.counters[RECEIVED] += 1
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Die:
    async def answer(self, desk: Desk) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def test_a_question_does_its_work_in_the_other_process_and_finds_what_another_left(
    generator: Generator,
) -> None:
    await generator.ask(Begin(), SECONDS)

    assert await generator.ask(Add(2), SECONDS) == (generator.pid, 2)
    assert await generator.ask(Add(3), SECONDS) == (generator.pid, 5)
    assert generator.pid != os.getpid()
    assert counted([generator, generator]) == Counts(0, 10, 0, 0)


async def test_progress_is_seen_while_a_question_is_open(alone: Generator) -> None:
    asking = asyncio.ensure_future(alone.ask(CountWithoutEnd(), SECONDS))
    while alone.counts.received < 2:
        await asyncio.sleep(0.001)

    assert not asking.done()
    asking.cancel()
    await asyncio.wait({asking})


async def test_what_nobody_left_is_named(alone: Generator) -> None:
    with pytest.raises(GeneratorFailed, match="there is no Pile yet"):
        await alone.ask(Add(1), SECONDS)


async def test_a_failure_comes_back_in_its_own_words_and_the_next_question_is_answered(
    generator: Generator,
) -> None:
    with pytest.raises(GeneratorFailed, match=r"^the server said no$"):
        await generator.ask(Refuse(), SECONDS)

    await generator.ask(Begin(), SECONDS)


async def test_work_that_fails_between_questions_fails_the_next_one(generator: Generator) -> None:
    await generator.ask(FailLater(), SECONDS)

    with pytest.raises(GeneratorFailed, match="the server said no"):
        await generator.ask(Begin(), SECONDS)
    await generator.ask(Begin(), SECONDS)


async def test_a_generator_that_dies_is_no_answer_that_never_comes(alone: Generator) -> None:
    with pytest.raises(GeneratorFailed, match="the generator process is gone"):
        await alone.ask(Die(), SECONDS)


async def test_one_that_fails_is_the_answer_of_all_and_nobody_waits_for_the_others(
    generator: Generator, alone: Generator
) -> None:
    others = asyncio.all_tasks()
    with pytest.raises(GeneratorFailed, match="the server said no"):
        await ask_all([alone, generator], [CountWithoutEnd(), Refuse()], SECONDS)

    assert asyncio.all_tasks() == others


async def test_a_question_that_takes_too_long_is_given_up(alone: Generator) -> None:
    with pytest.raises(GeneratorFailed, match=r"not done with CountWithoutEnd within 0\.01 s: the"):
        await alone.ask(CountWithoutEnd(), 0.01)


def test_shares_differ_by_one_at_most() -> None:
    assert divided(11, 4) == [3, 3, 3, 2]
    assert divided(1, 2) == [1, 0]


async def test_where_temporary_files_have_long_names_a_generator_starts_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 80)))
    generator = Generator()
    try:
        await generator.ask(Begin(), SECONDS)
    finally:
        generator.close()
    assert type(generator._process).__name__ == "SpawnProcess"
