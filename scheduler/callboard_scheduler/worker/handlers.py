"""The functions of a worker, by the name of the task that each is for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from callboard_scheduler.worker.arguments import Arguments

MAX_NAME_CHARACTERS = 200


class Handler:
    """One function: a coroutine function, which runs on the loop, or a plain one, in a thread.

    Raises:
        TypeError: it is neither, or its parameters cannot be filled from JSON.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"task {name!r}: expected a function, got {function!r}")
        # An object that can be called is as its class's method is.
        call = function if inspect.isroutine(function) else type(function).__call__
        if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
            raise TypeError(
                f"task {name!r}: a generator yields many values, a task has one result: "
                "return it, and report what comes before by ctx.progress(data=…)"
            )
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        self.arguments = Arguments(function, name)


class Handlers:
    """All of a worker's functions."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def __len__(self) -> int:
        return len(self._handlers)

    @property
    def names(self) -> list[str]:
        return sorted(self._handlers)

    @property
    def need_loop(self) -> bool:
        """Whether any of them is a coroutine function."""
        return any(handler.is_async for handler in self._handlers.values())

    def __getitem__(self, name: str) -> Handler:
        return self._handlers[name]

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Let ``function`` run the tasks of that name.

        Raises:
            ValueError: no task can have the name, or it is taken.
            TypeError: not a function that can be given arguments from JSON.
        """
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise ValueError(
                f"a task's name has 1 to {MAX_NAME_CHARACTERS} characters, got {name!r}"
            )
        if name in self._handlers:
            taken = self._handlers[name].function
            raise ValueError(f"task {name!r} has a function already: {taken!r}")
        self._handlers[name] = Handler(name, function)
