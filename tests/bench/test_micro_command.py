"""``callboard bench micro`` as it is typed: what it prints, saves, compares and refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from callboard_bench.micro.benchmark import Benchmark, Body, calling
from callboard_bench.micro.command import micro_command
from callboard_bench.micro.record import Record, as_json, read
from callboard_bench.micro.rounds import here

BENCHMARKS = [
    calling("sorting", "a list of three sorted", sorted, [3, 1, 2]),
    calling("adding", "the sum of three", sum, [3, 1, 2]),
]


def bench(*arguments: str | Path, of: Sequence[Benchmark] = BENCHMARKS) -> Result:
    """Type the command; with tiny counts unless told otherwise, and all in this process."""
    command = micro_command(lambda: of, here)
    tiny = ["--slice-ms", "0.01", "--rounds", "5"]
    return CliRunner().invoke(command, [*tiny, *map(str, arguments)])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A run of this machine."""
    path = tmp_path / "before.json"
    assert bench("--save", path).exit_code == 0
    return path


def change(path: Path, **fields: object) -> None:
    """Write the saved run anew, with other values in these fields."""
    path.write_bytes(as_json(msgspec.structs.replace(read(path), **fields)))


def times(run: Record, factor: float) -> dict[str, object]:
    """The benchmarks of a run as if each had taken longer by a factor."""
    return {
        name: msgspec.structs.replace(
            figures,
            ns=[factor * value for value in figures.ns],
            relative=[factor * value for value in figures.relative],
        )
        for name, figures in run.benchmarks.items()
    }


def test_the_table_has_a_line_for_each() -> None:
    done = bench()
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("micro: median (lowest – highest) of rounds: 5; ")
    assert [line.split()[0] for line in lines[4:]] == ["sorting", "adding"]
    assert "garbage collector off while timed" in done.stdout


def test_names_pick_some_and_the_list_says_what_they_do() -> None:
    done = bench("adding", "--list")
    assert done.stdout == "adding  the sum of three\n"


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    done = bench("fame-encode")
    assert done.exit_code == 2
    assert "no benchmark is called fame-encode; there are: sorting, adding" in done.stderr


def test_what_is_saved_is_what_json_prints_and_can_be_read_again(tmp_path: Path) -> None:
    done = bench("--json", "--save", tmp_path / "run.json")
    printed = msgspec.json.decode(done.stdout, type=Record)
    assert read(tmp_path / "run.json") == printed
    assert len(printed.benchmarks["adding"].ns) == printed.rounds == 5
    assert printed.machine["cores"]


def test_a_run_that_cannot_be_saved_is_shown_all_the_same() -> None:
    done = bench("--save", "/dev/full")

    assert done.exit_code == 1
    assert "sorting" in done.output
    assert "the run was not saved: [Errno 28]" in done.output


def test_a_run_is_not_begun_where_it_cannot_be_saved() -> None:
    done = bench("--save", "nowhere/run.json")

    assert done.exit_code == 2
    assert "there is no folder 'nowhere' to write it to" in done.output


def test_a_baseline_far_away_gives_a_verdict(saved: Path) -> None:
    change(saved, benchmarks=times(read(saved), 1000))
    done = bench("--baseline", saved)
    assert done.exit_code == 0
    assert [line.split()[-1] for line in done.stdout.splitlines()[4:]] == ["faster", "faster"]


def test_a_regression_beyond_the_limit_ends_with_1_and_is_named(saved: Path) -> None:
    change(saved, benchmarks=times(read(saved), 0.001))
    done = bench("--baseline", saved, "--max-regression", "50", "adding")
    assert done.exit_code == 1
    assert "adding takes " in done.stderr
    assert "longer than the baseline; allowed are 50 %" in done.stderr
    assert "sorting" not in done.stderr


def test_slower_without_a_limit_is_shown_and_no_fault(saved: Path) -> None:
    change(saved, benchmarks=times(read(saved), 0.001))
    done = bench("--baseline", saved)
    assert done.exit_code == 0
    assert "slower" in done.stdout


def test_a_benchmark_that_the_baseline_lacks_is_new(saved: Path) -> None:
    change(saved, benchmarks={})
    done = bench("--baseline", saved, "--max-regression", "0", "adding")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[4].split()[-1] == "new"


def test_another_machines_baseline_is_refused_unless_forced(saved: Path) -> None:
    change(saved, machine={**read(saved).machine, "cpu": "abacus"})
    refused = bench("--baseline", saved)
    assert refused.exit_code == 2
    assert "is of another machine: cpu 'abacus' there" in refused.stderr
    assert "--force" in refused.stderr
    forced = bench("--baseline", saved, "--force")
    assert forced.exit_code == 0
    assert "warning: the baseline is of another machine" in forced.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"{}", "is no saved run"),
        (b"ns", "make one with: callboard bench micro --save FILE"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_before_anything_runs(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "before.json"
    if content is not None:
        path.write_bytes(content)
    done = bench("--baseline", path)
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert "round 1" not in done.stderr


def test_a_baseline_of_another_calibration_is_refused(saved: Path) -> None:
    change(saved, calibration=0)
    done = bench("--baseline", saved)
    assert done.exit_code == 2
    assert "saved by another version" in done.stderr


def test_a_limit_without_a_baseline_is_wrong_usage() -> None:
    done = bench("--max-regression", "5")
    assert done.exit_code == 2
    assert "--max-regression needs a --baseline FILE" in done.stderr


@pytest.mark.parametrize("few", ["now", "then"])
def test_a_limit_is_refused_where_too_few_rounds_would_always_meet_it(
    saved: Path, few: str
) -> None:
    if few == "then":
        change(saved, rounds=4)
    rounds = ["--rounds", "4"] if few == "now" else []
    done = bench("--baseline", saved, "--max-regression", "5", *rounds)
    assert done.exit_code == 2
    assert "fewer give no verdict" in done.stderr


class Interrupted:
    """A benchmark during which Ctrl-C is pressed after so many timings."""

    def __init__(self, timings: int) -> None:
        self.left = timings
        self.cleaned_up = False

    def benchmark(self) -> Benchmark:
        return Benchmark("slow", "what is interrupted", self._prepare)

    @contextmanager
    def _prepare(self) -> Iterator[Body]:
        try:
            yield self._body
        finally:
            self.cleaned_up = True

    def _body(self, turns: int) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1


def test_an_interrupted_run_shows_its_whole_rounds_and_saves_nothing(tmp_path: Path) -> None:
    # Of the first round: how many turns there are, the timing, and twice to weigh it.
    slow = Interrupted(timings=4)
    done = bench("--slice-ms", "1e-9", "--save", tmp_path / "run.json", of=[slow.benchmark()])
    assert done.exit_code == 130
    assert "interrupted after 1 of 5 rounds" in done.stderr
    assert "slow" in done.stdout
    assert slow.cleaned_up
    assert not (tmp_path / "run.json").exists()


def test_a_run_interrupted_before_its_first_round_shows_nothing() -> None:
    slow = Interrupted(timings=0)
    done = bench(of=[slow.benchmark()])
    assert (done.exit_code, done.stdout) == (130, "")
    assert slow.cleaned_up


def test_ctrl_c_ends_the_round_under_way_with_all_it_has_made(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "callboard", "bench", "micro", "store-commit-sqlite"]
    process = subprocess.Popen(
        [*command, "--rounds", "1000", "--slice-ms", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        process_group=0,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("round 2 of"):
            break
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "store-commit-sqlite" in out
    assert error.splitlines()[-1].startswith("interrupted after ")
    assert list(tmp_path.iterdir()) == []
