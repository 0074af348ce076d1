"""The root of what a run may end with: the text is for the user, and no traceback is."""

from __future__ import annotations


class BenchError(Exception):
    """A server, a client or the environment did not do what a run needs."""


def in_words(error: BaseException) -> str:
    """Return an error's text in one line, with its notes; of a group, that of the first error."""
    notes = list(getattr(error, "__notes__", []))
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        notes += getattr(error, "__notes__", [])
    return "; ".join([str(error) or type(error).__name__, *notes])
