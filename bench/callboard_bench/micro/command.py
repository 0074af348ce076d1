"""``callboard bench micro``: runs the benchmarks that it is given.

Exit status: 0 measured; 1 a regression beyond ``--max-regression``; 2 wrong usage, or a baseline
that does not fit; 130 interrupted, after the table of the rounds that were whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from callboard_bench import clock
from callboard_bench.conventions import FAILED, INTERRUPTED
from callboard_bench.machine import machine, machine_line
from callboard_bench.micro import record as records
from callboard_bench.micro.benchmark import Benchmark
from callboard_bench.micro.comparison import LEAST_ROUNDS, Comparison, compare
from callboard_bench.micro.record import Record, UnfitBaseline
from callboard_bench.micro.rounds import Find, RoundFailed, RunRound, in_fresh_process
from callboard_bench.micro.table import as_table, titles
from callboard_bench.micro.timing import Found, Plan
from callboard_bench.options import writable

_EPILOG: Final = """\b
Exit status:
  0    measured
  1    slower than --max-regression allows
  2    wrong usage, or a baseline that does not fit
  130  interrupted; the rounds that were whole are shown"""


@dataclass(frozen=True, slots=True)
class _Baseline:
    """An earlier run, and how much slower than it a benchmark may be, in percent."""

    record: Record
    same_machine: bool
    most_percent: float | None


def micro_command(find: Find, run_round: RunRound = in_fresh_process) -> click.Command:
    """Return the command for the benchmarks that ``find`` returns when it is run."""

    @click.command("micro", epilog=_EPILOG)
    @click.argument("names", nargs=-1, metavar="[NAME]...")
    @click.option(
        "--rounds",
        type=click.IntRange(min=1),
        default=7,
        show_default=True,
        help="How often each is timed, one after the other.",
    )
    @click.option(
        "--slice-ms",
        type=click.FloatRange(min=0, min_open=True),
        default=100.0,
        show_default=True,
        help="How long one timing lasts.",
    )
    @click.option(
        "--baseline",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Compare with the run that was saved there.",
    )
    @click.option(
        "--max-regression",
        type=click.FloatRange(min=0),
        metavar="PERCENT",
        help="Exit with 1 if one is certainly slower than the baseline, and by more than this.",
    )
    @click.option("--force", is_flag=True, help="Compare with another machine's baseline even so.")
    @click.option(
        "--save",
        type=click.Path(path_type=Path, dir_okay=False, writable=True),
        metavar="FILE",
        callback=writable,
        help="Save the run, to be a baseline later.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print what is saved, not a table.")
    @click.option("--list", "listing", is_flag=True, help="Say what one operation of each is.")
    def micro(
        names: tuple[str, ...],
        rounds: int,
        slice_ms: float,
        baseline: Path | None,
        max_regression: float | None,
        force: bool,
        save: Path | None,
        as_json: bool,
        listing: bool,
    ) -> None:
        """Time single steps of the code, without sockets.

        \b
        callboard bench micro --save before.json
        callboard bench micro --baseline before.json --max-regression 10

        Names pick some of them.
        """
        chosen = _chosen(find(), names)

        def one_round(plan: Plan) -> Found:
            return run_round(find, [benchmark.name for benchmark in chosen], plan)

        if listing:
            click.echo(titles({benchmark.name: benchmark.title for benchmark in chosen}))
            return
        if max_regression is not None and rounds < LEAST_ROUNDS:
            raise click.UsageError(
                f"--max-regression needs --rounds {LEAST_ROUNDS} or more: fewer give no verdict"
            )
        earlier = _baseline(baseline, max_regression, force=force)
        found = _measured(one_round, rounds, round(slice_ms * 1e6))
        if not found:
            raise SystemExit(INTERRUPTED)
        interrupted = len(found) < rounds
        run = records.record(chosen, found, date=_date(), machine=_machine(), slice_ms=slice_ms)
        compared = None
        if earlier is not None:
            compared = compare(run, earlier.record, same_machine=earlier.same_machine)
        if as_json:
            click.echo(records.as_json(run), nl=False)
        else:
            click.echo(as_table(run, machine_line(), compared))
        if save is not None and not interrupted:
            _save(save, records.as_json(run))
        if interrupted:
            click.echo(f"interrupted after {run.rounds} of {rounds} rounds", err=True)
            raise SystemExit(INTERRUPTED)
        if earlier is not None and _regressed(compared or {}, earlier.most_percent):
            raise SystemExit(FAILED)

    return micro


def _chosen(benchmarks: Sequence[Benchmark], names: Sequence[str]) -> list[Benchmark]:
    known = {benchmark.name: benchmark for benchmark in benchmarks}
    for name in names:
        if name not in known:
            raise click.UsageError(f"no benchmark is called {name}; there are: {', '.join(known)}")
    return [benchmark for benchmark in benchmarks if not names or benchmark.name in names]


def _baseline(path: Path | None, most_percent: float | None, *, force: bool) -> _Baseline | None:
    if path is None:
        if most_percent is not None:
            raise click.UsageError("--max-regression needs a --baseline FILE to compare with")
        return None
    try:
        found = records.read(path)
    except UnfitBaseline as error:
        raise click.UsageError(f"{error}.") from None
    if most_percent is not None and found.rounds < LEAST_ROUNDS:
        raise click.UsageError(
            f"{path} has {found.rounds} rounds, but --max-regression needs {LEAST_ROUNDS} or more: "
            "fewer give no verdict. Save a new one."
        )
    difference = records.other_machine(_machine(), found)
    if difference is not None:
        if not force:
            raise click.UsageError(
                f"{path} is of another machine: {difference}. Save a baseline on this one, or "
                "compare even so with --force."
            )
        click.echo(f"warning: the baseline is of another machine: {difference}", err=True)
    return _Baseline(found, difference is None, most_percent)


def _measured(one_round: Callable[[Plan], Found], rounds: int, slice_ns: int) -> list[Found]:
    """Return the rounds that were whole; fewer if they were interrupted."""
    found: list[Found] = []
    plan = Plan(slice_ns, weigh=True)
    try:
        for number in range(1, rounds + 1):
            click.echo(f"round {number} of {rounds}", err=True)
            found.append(one_round(plan))
            turns = {name: measure.turns for name, measure in found[0].measures.items()}
            plan = Plan(slice_ns, turns)
    except KeyboardInterrupt:
        pass
    except RoundFailed as error:
        raise click.ClickException(f"{error}.") from None
    return found


def _save(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"the run was not saved: {error}; give another --save") from None


def _date() -> str:
    return datetime.fromtimestamp(clock.unix_seconds(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _machine() -> dict[str, str | int | None]:
    return {
        name: value if isinstance(value, int) else str(value) for name, value in machine().items()
    }


def _regressed(compared: Mapping[str, Comparison], most_percent: float | None) -> bool:
    """Say which are too slow, and whether any is."""
    if most_percent is None:
        return False
    slower = [found for found in compared.values() if found.regresses(most_percent)]
    for found in slower:
        click.echo(
            f"{found.name} takes {found.longer_percent:.1f} % longer than the baseline; "
            f"allowed are {most_percent:g} %",
            err=True,
        )
    return bool(slower)
