"""Calling the application back: its mistakes are its own and must not end a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call(callback: Callable[[T], object], argument: T, purpose: str) -> None:
    """Call ``callback`` on the running loop; what it raises goes to the loop's exception handler.

    ``purpose`` says in the handler's message what the callback was for.
    """
    try:
        callback(argument)
    except Exception as error:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the callback for {purpose} raised", "exception": error}
        )
