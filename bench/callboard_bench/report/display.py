"""What is to be seen on stderr while a run goes on.

On a terminal it is drawn by a process of its own (:class:`Live`): drawing takes a millisecond,
and the process of the tool has a schedule of messages to keep. Elsewhere, as in the log of a CI
job, it is a line for each round.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from callboard_bench.clock import monotonic_ns
from callboard_bench.rounds import Unwatched, Watch

if TYPE_CHECKING:
    from callboard_bench.report.scene import Scene

_DRAW_NS: Final = 250_000_000
_END_SECONDS: Final = 2.0


class Display(Watch, Protocol):
    """A watch that also knows which round it looks at."""

    def begin(self, title: str) -> None:
        """Begin a scenario, or another workload."""

    def round(self, contender: str, number: int, count: int) -> None:
        """Begin a round, counted from 1."""

    def close(self) -> None:
        """Clear away what was drawn."""


class Quiet(Unwatched):
    """Shows nothing."""

    def begin(self, title: str) -> None: ...

    def round(self, contender: str, number: int, count: int) -> None: ...

    def close(self) -> None: ...


class Lines(Quiet):
    """Prints a line for each round."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def begin(self, title: str) -> None:
        print(title, file=self._output, flush=True)

    def round(self, contender: str, number: int, count: int) -> None:
        print(f"round {number} of {count}: {contender}", file=self._output, flush=True)


class Live:
    """Tells a drawing process, and never waits for it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        childs_end, self._pipe = context.Pipe(duplex=False)
        self._process = context.Process(target=_draw, args=(childs_end,), daemon=True)
        self._process.start()
        childs_end.close()
        # A terminal that is held (Ctrl-S) holds whoever draws on it. What does not fit is dropped,
        # whole: a message is shorter than what a pipe takes at once.
        os.set_blocking(self._pipe.fileno(), False)

    def begin(self, title: str) -> None:
        self._tell("begin", title)

    def round(self, contender: str, number: int, count: int) -> None:
        self._tell("round", contender, number, count)

    def phase(self, name: str, total: int | None = None) -> None:
        self._tell("phase", name, total)

    def count(self, done: int) -> None:
        self._tell("count", done)

    def sample(self, name: str, value: float) -> None:
        self._tell("sample", name, value)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _tell(self, *message: object) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # the drawing is behind, or has ended: the run goes on unseen
            pass


def display(*, quiet: bool) -> Display:
    """Return the display for this process's stderr."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Lines(sys.stderr)


def _draw(pipe: Connection) -> None:
    # Ctrl-C is for the tool; the end of the pipe is for this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Loaded here alone: it is not needed by who does not look.
    from rich.console import Console
    from rich.live import Live as Drawing

    from callboard_bench.report.scene import Scene

    scene = Scene()
    console = Console(stderr=True)
    with Drawing(console=console, auto_refresh=False, transient=True) as drawing:
        try:
            while True:
                _take(pipe, scene)
                drawing.update(scene.drawn(monotonic_ns()), refresh=True)
        except (EOFError, OSError):  # the tool has closed the pipe, or is gone
            pass


def _take(pipe: Connection, scene: Scene) -> None:
    """Take what comes until it is time to draw again."""
    end_ns = monotonic_ns() + _DRAW_NS
    while (left_ns := end_ns - monotonic_ns()) > 0 and pipe.poll(left_ns / 1e9):
        kind, *values = pipe.recv()
        getattr(scene, kind)(*values, now_ns=monotonic_ns())
