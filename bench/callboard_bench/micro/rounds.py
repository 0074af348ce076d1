"""Rounds, each in a fresh process.

Where objects come to lie in memory and how text is hashed differs from process to process, and
moves some figures by several percent. Rounds of one process would all have the same luck, and
their spread would not tell.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Final

from callboard_bench.micro.benchmark import Benchmark
from callboard_bench.micro.timing import Found, Plan, time_round

#: Returns all benchmarks; a function of a module, which another process can import.
Find = Callable[[], Sequence[Benchmark]]
#: Runs a round of the benchmarks with these names.
RunRound = Callable[[Find, Sequence[str], Plan], Found]

#: How long a process has to clean up when it is told to end, in seconds.
_PATIENCE_SECONDS: Final = 5.0


class RoundFailed(Exception):
    """A round's process ended without a result; what it said is on stderr."""


def here(find: Find, names: Sequence[str], plan: Plan) -> Found:
    """Run a round in this process."""
    return time_round([each for each in find() if each.name in names], plan)


def in_fresh_process(find: Find, names: Sequence[str], plan: Plan) -> Found:
    """Run a round in a process of its own, which is gone at the end, whatever happens.

    Raises:
        RoundFailed: a benchmark failed there.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, find, names, plan))
    process.start()
    theirs.close()
    try:
        found: Found = ours.recv()
    except EOFError:
        process.join()
        raise RoundFailed(
            f"the process of a round ended with status {process.exitcode}; the reason is above"
        ) from None
    finally:
        ours.close()
        process.terminate()
        process.join(_PATIENCE_SECONDS)
        process.kill()
        process.join()
    return found


def _run(connection: Connection, find: Find, names: Sequence[str], plan: Plan) -> None:
    # Ctrl-C reaches the whole group; whoever waits for the result ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    connection.send(here(find, names, plan))
