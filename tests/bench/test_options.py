"""What docs/benchmarks.md tells to type, held against the commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from callboard.commands.bench import bench
from callboard_bench.scheduler.workloads import WORKLOADS
from callboard_bench.targets.selection import Choice

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PREFIX = ".venv/bin/callboard bench "
TEXT = PAGE.read_text()


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Return the parameters of a command line after ``callboard bench``."""
    name, *rest = arguments
    group = click.Context(bench, info_name="bench")
    command = bench.get_command(group, name)
    assert command is not None
    return command.make_context(name, rest, parent=group).params


def commands(text: str) -> list[list[str]]:
    lines = (line for line in text.splitlines() if line.startswith(PREFIX))
    # What is behind a pipe is another program.
    return [shlex.split(line.removeprefix(PREFIX).partition(" |")[0]) for line in lines]


def sections() -> dict[str, str]:
    """Return the text below each head that is a scenario's name."""
    parts = re.split(r"^###? (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("arguments", commands(TEXT), ids=shlex.join)
def test_every_documented_command_is_understood(arguments: list[str]) -> None:
    assert parsed(arguments)


@pytest.mark.parametrize("name", [name for name in bench.listed if name in sections()])
def test_the_first_command_of_a_section_is_what_its_scenario_does_by_default(name: str) -> None:
    first = commands(sections()[name])[0]

    assert first[0] == name
    assert parsed(first) == parsed([name])


def test_every_scenario_and_every_flag_of_servers_and_output_is_documented() -> None:
    assert {arguments[0] for arguments in commands(TEXT)} >= bench.listed.keys()

    group = click.Context(bench, info_name="bench")
    fanout = bench.get_command(group, "fanout")
    assert fanout is not None
    shared = {*Choice.__dataclass_fields__, "rounds", "json", "html", "quiet", "seconds", "warm_up"}
    shared |= {"generators", "max_p99", "max_loss"}
    flags = {option.opts[0] for option in fanout.params if option.name in shared}
    assert len(flags) == len(shared)
    assert [flag for flag in flags if f"`{flag}" not in TEXT] == []


def test_workloads_are_chosen_by_name_and_those_that_take_seconds_by_default() -> None:
    def keys(*arguments: str) -> list[str]:
        return [workload.key for workload in parsed(["scheduler", *arguments])["workloads"]]

    assert keys("--workload", "w4, W1") == ["W4", "W1"]
    assert keys("--workload", "all") == [workload.key for workload in WORKLOADS]
    assert keys() == [workload.key for workload in WORKLOADS if workload.quick]
