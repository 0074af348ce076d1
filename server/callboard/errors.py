"""What keeps Callboard from starting.

::

    CallboardError           its text is one or more sentences for the person at the terminal
      ConfigurationError     a file, a variable or a flag says what cannot be
      StartError             the settings are fine, but something at hand is not

A port that cannot be listened on is :class:`callboard_server.listeners.ListenError`.
No text ever holds a secret's value.
"""

from __future__ import annotations

from collections.abc import Iterable


class CallboardError(Exception):
    """Callboard refuses to start; the text says why and what to do."""


class ConfigurationError(CallboardError):
    """The configuration cannot be used; `problems` has one sentence for each fault found."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class StartError(CallboardError):
    """The configuration can be used, but not here and now."""
