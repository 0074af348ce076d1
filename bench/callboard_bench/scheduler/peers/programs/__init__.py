"""The peers: the programs of each, by name. They run as their own documentation starts them.

Where a library can bring back a task whose worker was lost, its documented settings for that are
on, in all workloads: that is what a row of Callboard promises as well.
"""

from __future__ import annotations

from typing import Final

from callboard_bench.scheduler.peers.programs import (
    arq,
    celery,
    dramatiq,
    huey,
    procrastinate,
    rq,
    saq,
    taskiq,
)
from callboard_bench.scheduler.peers.programs.program import PRODUCER, TASKS, Program

__all__ = ["PRODUCER", "PROGRAMS", "TASKS", "Program"]

PROGRAMS: Final = {
    module.PROGRAM.name: module.PROGRAM
    for module in (celery, rq, dramatiq, huey, saq, arq, taskiq, procrastinate)
}
