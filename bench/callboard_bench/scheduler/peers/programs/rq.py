"""RQ over Redis: a pool of two workers, which fork for every task, as they do by default."""

from __future__ import annotations

from typing import Final

from callboard_bench.scheduler.peers.programs.program import ONE_BY_ONE, PEER_PROBE, Program

_TASKS: Final = (
    PEER_PROBE
    + """
from redis import Redis
from rq import Queue, Retry

queue = Queue("bench", connection=Redis.from_url(os.environ["BENCH_BROKER"]))
again = Retry(max=2)


def noop(number):
    mark(number)


def hold(number):
    if first(number):
        time.sleep(3600)


def submit(name, number):
    queue.enqueue("peer_tasks." + name, number, result_ttl=0, job_timeout=1500, retry=again)
"""
)

PROGRAM: Final = Program(
    name="rq",
    requirements=("rq>=2.6,<4",),
    tasks=_TASKS,
    producer=ONE_BY_ONE,
    worker=("rq", "worker-pool", "-n", "2", "-u", "{url}", "--quiet", "bench"),
    concurrency="2 processes that fork for each task",
    recovery="Retry(max=2)",
)
