"""Tasks as tests see them, whichever scheduler for tests has them, and what was submitted.

Two schedulers are :class:`Books`: :class:`~callboard_scheduler.testing.VirtualScheduler`, which
has no server, and the one of the fixture ``task_scheduler``, which has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from callboard_scheduler.client import bodies
from callboard_scheduler.records import Spec
from callboard_scheduler.records import Task as Record
from callboard_scheduler.states import State

#: What can be asserted of a task beside its name and arguments.
_OPTIONS: Final = tuple(field for field in Spec.__struct_fields__ if field not in ("name", "args"))


class Task:
    """A task of a scheduler for tests; two of the same id are equal."""

    def __init__(self, scheduler: Books, task_id: str) -> None:
        self._scheduler = scheduler
        self.id = task_id

    def __repr__(self) -> str:
        record = self.record
        return f"<Task {record.spec.name} {bytes(record.spec.args).decode()} {record.state.value}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def record(self) -> Record:
        """Everything that is known of it."""
        return self._scheduler.record(self.id)

    @property
    def name(self) -> str:
        return self.record.spec.name

    @property
    def args(self) -> Any:
        """Its arguments, decoded."""
        return msgspec.json.decode(self.record.spec.args)

    @property
    def state(self) -> str:
        return self.record.state.value

    @property
    def result(self) -> Any:
        """What its function returned.

        Raises:
            AssertionError: it has not succeeded; the text says how it stands.
        """
        record = self.record
        if record.state is not State.SUCCEEDED:
            why = self.error or "; ".join(self.why())
            raise AssertionError(f"{self!r} has no result: {why}")
        return None if record.result is None else msgspec.json.decode(record.result)

    @property
    def error(self) -> str | None:
        """``Type: message`` of the last failed try, None if there was none."""
        error = self.record.error
        return None if error is None else f"{error.type}: {error.msg}"

    @property
    def progress(self) -> list[float | None]:
        """Every ``pct`` of it that reached the scheduler, in order."""
        return self._scheduler.reported.get(self.id, [])

    def cancel(self) -> None:
        """Cancel it."""
        self._scheduler.cancel(self.id)

    def why(self) -> list[str]:
        """Return why it waits, or how it ended, and what became of each attempt."""
        return self._scheduler.why(self.id)


class Books(ABC):
    """What is known of the tasks of a scheduler for tests."""

    #: Task id to every progress that was reported.
    reported: dict[str, list[float | None]]
    #: Task id to every line that was logged.
    logged: dict[str, list[str]]

    @property
    @abstractmethod
    def tasks(self) -> list[Task]:
        """Every task there is, in order of submission."""

    @abstractmethod
    def record(self, task_id: str) -> Record:
        """Return what is known of a task.

        Raises:
            KeyError: there is none of this id.
        """

    @abstractmethod
    def why(self, task_id: str) -> list[str]:
        """Return what ``GET tasks/{id}/why`` would: why a task is where it is, and its history.

        Raises:
            KeyError: there is none of this id.
        """

    @abstractmethod
    def cancel(self, task_id: str) -> None:
        """Cancel a task."""

    def assert_submitted(
        self,
        name: str,
        *,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        times: int | None = None,
        **options: Any,
    ) -> Task:
        """Return the last task of this name, arguments and options (fields of its spec).

        ``times`` is how many there must be, at least one if it is None.

        Raises:
            AssertionError: there are not; the text has what was submitted.
            TypeError: a spec has no such field.
        """
        __tracebackhide__ = True
        for option in options:
            if option not in _OPTIONS:
                raise TypeError(f"a task has no {option!r}: expected args, {', '.join(_OPTIONS)}")
        tasks = self.tasks
        found = [task for task in tasks if _matches(task, name, args, options)]
        if (found and times is None) or len(found) == times:
            return found[-1] if found else Task(self, "")
        wanted = ", ".join(
            [name, *([f"args={args!r}"] if args is not None else [])]
            + [f"{option}={value!r}" for option, value in options.items()]
        )
        expected = "at least one" if times is None else str(times)
        lines = "\n".join(f"  {task!r}" for task in tasks) or "  (nothing)"
        raise AssertionError(
            f"expected {expected} of {wanted}, got {len(found)}; submitted were:\n{lines}"
        )


def _matches(task: Task, name: str, args: object, options: Mapping[str, Any]) -> bool:
    spec = task.record.spec
    return (
        spec.name == name
        and (args is None or _plain(args) == task.args)
        and all(
            _plain(getattr(spec, field)) == _plain(_given(field, value))
            for field, value in options.items()
        )
    )


def _given(field: str, value: Any) -> Any:
    """Return an option's value as a spec has it."""
    if field == "after" and value is not None:
        return bodies.ids_of(value)
    return bodies.time_of(field, value)


def _plain(value: Any) -> Any:
    """Return a value as it is after a way through JSON, so that tuples equal lists."""
    return msgspec.json.decode(msgspec.json.encode(value))
