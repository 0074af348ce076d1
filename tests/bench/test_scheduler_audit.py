from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from callboard_bench.api import App
from callboard_bench.keepalive import KeepAlive
from callboard_bench.scheduler.audit import joined, records_fault, starts_fault
from callboard_bench.scheduler.caller import Caller
from callboard_bench.scheduler.marks import Mark, Marks, NeverMarked
from callboard_bench.scheduler.server import Server


def marks(*numbers: int) -> list[Mark]:
    return [Mark(number, at_ns=1, pid=1) for number in numbers]


@pytest.mark.parametrize(
    ("started", "starts", "fault"),
    [
        ((1, 2, 3), 1, None),
        ((3, 1, 2), 1, None),
        ((1, 3), 1, "1 never started"),
        ((1, 2, 2, 3), 1, "1 started twice"),
        ((1, 2, 3, 4), 1, "1 started that nobody submitted"),
        ((1, 1, 9), 1, "2 never started, 1 started twice, 1 started that nobody submitted"),
        ((1, 2, 3, 1, 2, 3), 2, None),
        ((1, 2, 3, 1, 2, 2), 2, "1 started fewer than 2 times, 1 started more than 2 times"),
    ],
)
def test_each_task_is_to_start_as_often_as_it_should(
    started: tuple[int, ...], starts: int, fault: str | None
) -> None:
    assert starts_fault([1, 2, 3], marks(*started), starts) == fault


class Pages(Caller):
    """Answers a listing with these pages."""

    def __init__(self, *pages: Mapping[str, str]) -> None:
        server = Server("127.0.0.1", 1, 1, App("app", "key", "secret"))
        super().__init__(server, KeepAlive())
        self.pages = pages
        self.cursors: list[str | None] = []

    async def get(self, call: str, **query: str) -> Mapping[str, Any]:
        self.cursors.append(query.get("cursor"))
        place = int(query.get("cursor", "0"))
        tasks = [{"id": id_, "state": state} for id_, state in self.pages[place].items()]
        last = place + 1 == len(self.pages)
        return {"tasks": tasks, "cursor": None if last else str(place + 1)}


async def test_records_are_read_page_by_page_and_all_right() -> None:
    caller = Pages({"a": "succeeded", "b": "succeeded"}, {"c": "succeeded"})

    assert await records_fault(caller, ["c", "b", "a"]) is None
    assert caller.cursors == [None, "1"]


async def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    assert await records_fault(Pages({"a": "succeeded"}), ["a", "b"]) == "1 acknowledged and lost"


async def test_a_record_that_is_there_twice_or_has_not_ended_well_is_told() -> None:
    caller = Pages({"a": "succeeded", "b": "dead"}, {"a": "succeeded"})

    assert await records_fault(caller, ["a", "b"]) == "1 listed twice, 1 not succeeded"


async def test_an_id_that_was_given_twice_is_told() -> None:
    assert await records_fault(Pages({"a": "cancelled"}), ["a", "a"], "cancelled") == (
        "1 ids given twice"
    )


def test_faults_are_one_text() -> None:
    assert joined(None, "one", None, "two") == "one, two"
    assert joined(None, None) is None


async def test_marks_are_read_on_and_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    read = Marks(path)
    assert read.read() == []
    with path.open("ab") as file:
        file.write(b"1 10 100\n2 20 ")
        file.flush()
        assert read.read() == [(1, 10, 100)]
        file.write(b"200\n")
        file.flush()
        assert await read.wait(2, timeout_seconds=5) == [(1, 10, 100), (2, 20, 200)]
    read.close()


async def test_what_never_starts_is_counted(tmp_path: Path) -> None:
    read = Marks(tmp_path / "marks")
    with pytest.raises(NeverMarked, match=r"3 starts were expected within 0.01 s, there are 0"):
        await read.wait(3, timeout_seconds=0.01)
    read.close()


async def test_a_peers_marks_are_all_that_come(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    read = Marks(path)
    path.write_bytes(b"1 10 100\n")
    assert await read.settle(2, quiet_seconds=0.01) == [(1, 10, 100)]
    read.close()
