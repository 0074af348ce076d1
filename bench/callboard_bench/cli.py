"""The command line: ``python -m callboard_bench SCENARIO``.

Exit status: 0 measured; 1 a server lost, doubled or reordered messages, or failed; 2 wrong
usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import uvloop

from callboard_bench.contenders import (
    Contender,
    ServerFailed,
    broadcast_contenders,
    trigger_contenders,
)
from callboard_bench.generator import GeneratorFailed
from callboard_bench.options import parse
from callboard_bench.process import raise_open_files_limit
from callboard_bench.publisher import PublishRefused
from callboard_bench.report import as_json, as_table
from callboard_bench.rounds import Metric, Result, Round, interleave
from callboard_bench.scenarios import broadcast, idle, trigger
from callboard_bench.scheduler import workloads
from callboard_bench.scheduler.caller import CallRefused
from callboard_bench.scheduler.marks import NeverMarked
from callboard_bench.websocket import Unexpected

_FAILURES: Final = (
    ServerFailed,
    GeneratorFailed,
    PublishRefused,
    CallRefused,
    NeverMarked,
    Unexpected,
    OSError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parse(arguments)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results = runner.run(_ended_by_sigterm(_run(options)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted", file=sys.stderr)
        return 130
    except _FAILURES as error:
        return _failed(error)
    except ExceptionGroup as group:
        if group.split(_FAILURES)[1] is not None:
            raise
        return _failed(group)
    if options.json:
        print(as_json(*results))
    else:
        print("\n\n".join(map(as_table, results)))
    return 1 if any(result.faults() for result in results) else 0


async def _ended_by_sigterm(running: Awaitable[list[Result]]) -> list[Result]:
    task = asyncio.ensure_future(running)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _run(options: argparse.Namespace) -> list[Result]:
    raise_open_files_limit()
    if options.scenario == "scheduler":
        return await workloads.run(options)
    scenarios: dict[str, Callable[[argparse.Namespace], Awaitable[Result]]] = {
        "fanout": _broadcast,
        "saturation": _broadcast,
        "trigger": _trigger,
        "idle": _idle,
    }
    return [await scenarios[options.scenario](options)]


async def _broadcast(options: argparse.Namespace) -> Result:
    load = broadcast.Load(
        options.subscribers,
        options.rate,
        options.message_bytes,
        options.seconds,
        options.generators,
    )
    if options.scenario == "fanout":
        run, metrics = broadcast.fanout, broadcast.FANOUT_METRICS
    else:
        run, metrics = broadcast.saturation, broadcast.SATURATION_METRICS
    setting = (
        f"{load.subscribers:,} subscribers of one channel, {load.rate:g} publishes/s of "
        f"{load.message_bytes} bytes for {load.seconds:g} s"
    )
    return await _rounds(options, setting, metrics, broadcast_contenders(), partial(run, load=load))


async def _trigger(options: argparse.Namespace) -> Result:
    load = trigger.Load(
        options.connections, options.distinct, options.message_bytes, options.seconds
    )
    setting = (
        f"signed triggers of {load.message_bytes} bytes without subscribers, {load.connections} "
        f"kept-alive connections, {load.seconds:g} s"
    )
    run = partial(trigger.run, load=load)
    return await _rounds(options, setting, trigger.METRICS, trigger_contenders(), run)


async def _idle(options: argparse.Namespace) -> Result:
    load = idle.Load(options.connections, options.shared_channel)
    channels = "one channel for all" if load.shared_channel else "a channel each"
    setting = f"{load.connections:,} idle subscribers, {channels}"
    run = partial(idle.run, load=load)
    return await _rounds(options, setting, idle.METRICS, broadcast_contenders(), run)


async def _rounds(
    options: argparse.Namespace,
    setting: str,
    metrics: Sequence[Metric],
    contenders: list[Contender],
    run: Callable[[Contender], Awaitable[Round]],
) -> Result:
    chosen = [one for one in contenders if not options.only or one.name in options.only]
    if not chosen:
        names = ", ".join(one.name for one in contenders)
        raise ServerFailed(f"--only names no server of {options.scenario}; there are: {names}")
    given = {name: value for name, value in vars(options).items() if name != "json"}
    rounds = await interleave(chosen, options.rounds, run)
    return Result(options.scenario, setting, given, metrics, rounds)


def _failed(error: BaseException) -> int:
    notes = getattr(error, "__notes__", [])
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print("\n".join([f"error: {error}", *notes]), file=sys.stderr)
    return 1
