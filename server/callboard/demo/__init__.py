"""`callboard demo`: everything Callboard is for, shown on the screen in ten seconds.

Real processes on a free port: a server with its scheduler, and three workers. First an event goes
from the official ``pusher`` library to a subscriber; then tasks run, a worker is killed in the
middle of one, and a running task is moved. It ends by itself; what does not come about is an
error and exit status 1.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

import pusher

from callboard.demo.events import show_an_event
from callboard.demo.processes import Processes
from callboard.demo.tasks import show_tasks
from callboard_client import ClientError
from callboard_scheduler import TaskClientError


async def demonstrate() -> None:
    """Run the demonstration.

    Raises:
        TimeoutError, RuntimeError: a step did not come about.
    """
    with tempfile.TemporaryDirectory(prefix="callboard-demo-") as folder:
        async with Processes(Path(folder), secrets.token_hex(16)) as processes:
            port = await processes.start_server()
            print(f"callboard serve listens on 127.0.0.1:{port}\n")
            await show_an_event(port, processes.secret)
            await show_tasks(processes)
            status = await processes.stop_server()
    if status != 0:
        raise RuntimeError(f"the server ended with exit status {status}")
    print("\nThe server has ended in order: exit status 0")


def run() -> int:
    """Run the demonstration and return the exit status."""
    try:
        asyncio.run(demonstrate())
    except (
        TimeoutError,
        RuntimeError,
        ClientError,
        TaskClientError,
        pusher.errors.PusherError,
    ) as error:
        print(f"The demonstration failed: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0
