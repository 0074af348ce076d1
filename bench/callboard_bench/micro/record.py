"""A run as a JSON file, to be the baseline of a later one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from callboard_bench.micro import calibration
from callboard_bench.micro.benchmark import Benchmark
from callboard_bench.micro.timing import Found

_FORMAT: Final = 1


class UnfitBaseline(Exception):
    """A file is no baseline for this run; the text says why and what to do."""


class Figures(msgspec.Struct, frozen=True):
    """One benchmark: each list has one figure per round."""

    title: str
    #: By which clock ``ns`` is, nanoseconds per operation.
    clock: Literal["cpu", "elapsed"]
    turns: int
    operations: int
    ns: list[float]
    #: ``ns`` over the calibration's.
    relative: list[float]
    peak_bytes: float | None = None


class Record(msgspec.Struct, frozen=True):
    """One run, whole or interrupted."""

    format: int
    #: UTC, as ISO 8601 has it.
    date: str
    #: What figures depend on; see :func:`callboard_bench.report.machine`.
    machine: dict[str, str | int | None]
    #: The version of the calibration loop.
    calibration: int
    slice_ms: float
    rounds: int
    garbage_collector: str
    calibration_ns: list[float]
    benchmarks: dict[str, Figures]


def record(
    benchmarks: Sequence[Benchmark],
    rounds: Sequence[Found],
    *,
    date: str,
    machine: dict[str, str | int | None],
    slice_ms: float,
) -> Record:
    """Return the record of what these rounds found of these benchmarks."""
    return Record(
        _FORMAT,
        date,
        machine,
        calibration.VERSION,
        slice_ms,
        len(rounds),
        "off while timed",
        [found.calibration_ns for found in rounds],
        {benchmark.name: _figures(benchmark, rounds) for benchmark in benchmarks},
    )


def _figures(benchmark: Benchmark, rounds: Sequence[Found]) -> Figures:
    measures = [found.measures[benchmark.name] for found in rounds]
    return Figures(
        benchmark.title,
        "elapsed" if benchmark.waits else "cpu",
        measures[0].turns,
        benchmark.operations,
        [measure.ns for measure in measures],
        [found.measures[benchmark.name].ns / found.calibration_ns for found in rounds],
        next((each.peak_bytes for each in measures if each.peak_bytes is not None), None),
    )


def as_json(run: Record) -> bytes:
    """Return a record as the file has it."""
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"


def read(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        UnfitBaseline: it cannot be read, or is none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Record)
    except OSError as error:
        raise UnfitBaseline(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise UnfitBaseline(
            f"{path} is no saved run ({error}); make one with: callboard bench micro --save FILE"
        ) from None
    if found.format != _FORMAT or found.calibration != calibration.VERSION:
        raise UnfitBaseline(
            f"{path} was saved by another version (format {found.format}, calibration "
            f"{found.calibration}; here {_FORMAT} and {calibration.VERSION}); save a new one"
        )
    return found


def other_machine(machine: dict[str, str | int | None], baseline: Record) -> str | None:
    """Return in what the baseline's machine differs from this one, None if in nothing."""
    differences = [
        f"{name} {baseline.machine.get(name)!r} there and {value!r} here"
        for name, value in machine.items()
        if baseline.machine.get(name) != value
    ]
    return "; ".join(differences) or None
