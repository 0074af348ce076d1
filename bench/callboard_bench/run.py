"""A run from its first round to what is printed at the end, or at Ctrl-C.

1. Rounds interleave (A B A B): a machine that drifts drifts for all servers.
2. A server that fails a round has a fault there and no figures; the others go on. When nobody was
   measured in a round, there is not another one.
3. SIGINT, SIGTERM and SIGHUP end the round under way, and its servers and clients with it. What
   was measured before is printed, marked as partial. A second one does not wait for servers to end
   in order: they are killed.
4. The page is written before anything is printed: what reads the table may have read enough.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import click
import uvloop

from callboard_bench.clock import unix_seconds
from callboard_bench.conventions import FAILED, INTERRUPTED, MEASURED
from callboard_bench.errors import BenchError, in_words
from callboard_bench.process import raise_open_files_limit
from callboard_bench.report.display import Display, display
from callboard_bench.report.document import as_json, document
from callboard_bench.report.table import as_table
from callboard_bench.rounds import Result, Round
from callboard_bench.thresholds import Limits, judge

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Named(Protocol):
    """Whatever can be measured."""

    @property
    def name(self) -> str: ...


Measured = TypeVar("Measured", bound=Named)


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the results."""

    json: bool = False
    #: Whether JSON is an array of documents, one for each result, however many there are.
    array: bool = False
    html: Path | None = None
    quiet: bool = False
    limits: Limits = field(default_factory=Limits)
    #: The value that ``--max-p99`` limits.
    p99: str = ""
    #: The command line, without secrets.
    command: str = ""


@dataclass(slots=True)
class Run:
    """A run under way: its results so far, and who looks on."""

    display: Display
    results: list[Result] = field(default_factory=list)

    def begin(self, result: Result, contenders: Sequence[Named]) -> None:
        """Have a result told, even if there will be no rounds to fill it."""
        result.rounds = {contender.name: [] for contender in contenders}
        if result not in self.results:
            self.results.append(result)

    async def rounds(
        self,
        result: Result,
        contenders: Sequence[Measured],
        count: int,
        measure: Callable[[Measured], Awaitable[Round]],
    ) -> None:
        """Run every contender once per round, in their order, ``count`` times, into a result."""
        self.begin(result, contenders)
        self.display.begin(result.scenario)
        for number in range(1, count + 1):
            for contender in contenders:
                self.display.round(contender.name, number, count)
                result.rounds[contender.name].append(await _round(contender, measure))
            if not any(rounds[-1].values for rounds in result.rounds.values()):
                return


async def _round(contender: Measured, measure: Callable[[Measured], Awaitable[Round]]) -> Round:
    try:
        return await measure(contender)
    except (BenchError, OSError) as error:
        return Round({}, fault=in_words(error))
    except ExceptionGroup as group:
        if group.split((BenchError, OSError))[1] is not None:
            raise
        return Round({}, fault=in_words(group))


def run(measure: Callable[[Run], Coroutine[Any, Any, None]], output: Output) -> int:
    """Run a measurement, print what there is, and return the exit status."""
    raise_open_files_limit()
    under_way = Run(display(quiet=output.quiet))
    interrupted, failure = False, ""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_interruptible(measure(under_way)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    except (BenchError, OSError) as error:
        failure = in_words(error)
    finally:
        under_way.display.close()
    if interrupted:
        click.echo("interrupted", err=True)
        if under_way.results:
            under_way.results[-1].partial = True
    if failure:
        click.echo(f"error: {failure}", err=True)
    status = _told(under_way.results, output, failure)
    if interrupted:
        return INTERRUPTED
    return FAILED if failure else status


async def _interruptible(measuring: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(measuring)
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        # Again, it cancels the waiting for what is being ended.
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    finally:
        # A loop that is closed keeps them, and then a signal does nothing at all.
        for number in _ENDING:
            loop.remove_signal_handler(number)


def _told(results: Sequence[Result], output: Output, failure: str) -> int:
    """Write and print the results; return the status that they deserve.

    Args:
        failure: why there were no rounds, empty if there were.
    """
    status = MEASURED
    documents, tables = [], []
    for result in results:
        verdicts = judge(result, output.limits, output.p99)
        faults = result.faults(*output.limits.allowed)
        allowed = result.allowed(*output.limits.allowed)
        if faults or not all(verdict.met for verdict in verdicts):
            status = FAILED
        told = [failure] if failure and not any(result.rounds.values()) else faults
        documents.append(document(result, verdicts, told, output.command, unix_seconds()))
        if result.measured:
            tables.append(as_table(result, verdicts, faults, allowed))
        else:
            for fault in faults:
                click.echo(f"error: {fault}", err=True)
    drawn = [each for each in documents if any(each["rounds"].values())]
    if output.html is not None and not _page_written(output.html, drawn):
        status = FAILED
    text = "\n\n".join(tables)
    if output.json:
        text = "\n".join(map(as_json, [documents] if output.array else documents))
    if not _printed(text):
        status = FAILED
    return status


def _page_written(path: Path, documents: list[dict[str, Any]]) -> bool:
    from callboard_bench.report.page import page

    try:
        path.write_text(page(documents), encoding="utf-8")
    except OSError as error:
        click.echo(f"error: the page was not written: {error}; give another --html", err=True)
        return False
    return True


def _printed(text: str) -> bool:
    try:
        if text:
            click.echo(text)
    except BrokenPipeError:  # whoever reads has read enough, which click knows
        raise
    except OSError as error:
        click.echo(f"error: the result was not printed: {error}", err=True)
        return False
    return True
