"""docs/tasks.md names every field, state and call that there is, and nothing else."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import cast

from callboard_scheduler import views
from callboard_scheduler.api import Routes
from callboard_scheduler.engine import Scheduler
from callboard_scheduler.records import Spec, Task
from callboard_scheduler.shapes import UpdateBody
from callboard_scheduler.states import State
from callboard_scheduler.stores import StoredTask
from scheduler import tasks_page


def test_it_names_every_field_that_can_be_asked_for() -> None:
    assert sorted(tasks_page.names("field")) == sorted(UpdateBody.__struct_fields__)


def test_it_names_every_field_that_is_shown() -> None:
    task = Task("t1", Spec("report"), State.READY, seq=1, created_at=0)
    asked = set(tasks_page.names("field")) - {"delay_ms", "on_conflict"}
    shown = set(tasks_page.names("field", 2))
    assert asked | shown == views.task_view(StoredTask(task, ())).keys()


def test_it_names_every_state() -> None:
    assert tasks_page.names("state") == [state.value for state in State]


async def test_it_names_every_method_of_each_path() -> None:
    methods: dict[str, set[str]] = defaultdict(set)
    for call in tasks_page.names("call"):
        method, path = call.split(" ")
        methods[re.sub(r"\{.*?\}", "x", path)].add(method)
    # None of these calls gets as far as the scheduler.
    routes = Routes(cast(Scheduler, None))
    for path, named in methods.items():
        answer = await routes.handle("PATCH", path.split("/"), {}, b"")
        assert answer is not None
        assert answer[2]["Allow"] == ", ".join(sorted(named)), path
