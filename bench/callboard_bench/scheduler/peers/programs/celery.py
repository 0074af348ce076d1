"""Celery over Redis, with two processes.

A worker acknowledges a task after it ran (``acks_late``), else a lost one would be lost for good.
Redis hands it out again when the visibility timeout is over; the default is an hour, and a
minute is what its documentation calls short. The interval is how often Celery looks.
"""

from __future__ import annotations

from typing import Final

from callboard_bench.scheduler.peers.programs.program import (
    ONE_BY_ONE,
    PEER_PROBE,
    TASKS,
    Program,
)

_TASKS: Final = (
    PEER_PROBE
    + """
from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_transport_options={
        "visibility_timeout": 60,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)


@app.task
def noop(number):
    mark(number)


@app.task
def hold(number):
    if first(number):
        time.sleep(3600)


def submit(name, number):
    app.tasks["peer_tasks." + name].delay(number)
"""
)

PROGRAM: Final = Program(
    name="celery",
    requirements=("celery[redis]>=5.5,<6",),
    tasks=_TASKS,
    producer=ONE_BY_ONE,
    worker=(
        *("celery", "-A", TASKS, "worker", "-P", "prefork", "-c", "2", "-l", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
    concurrency="2 processes",
    recovery="acks_late, a visibility timeout of 60 s",
)
