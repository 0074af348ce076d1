"""The verify-only floor as an ASGI application, for uvicorn where it is installed.

Run by the tool as ``python -m callboard_bench.asgi_floor --ports-file PATH``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from callboard_bench.floor import verified, write_ports_file

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Read the body, verify the signature, answer ``{}``."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    secret = os.environ["BENCH_FLOOR_SECRET"].encode()
    ok = verified(secret, scope["raw_path"], scope["query_string"], body)
    await send({"type": "http.response.start", "status": 200 if ok else 401, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A verify-only ASGI application on uvicorn.")
    arguments.add_argument("--ports-file", type=Path, required=True)
    options = arguments.parse_args()
    # By name: it is no dependency, and type checkers need not have it either. It comes before the
    # ports are told, for a warm-up is not there to import it.
    uvicorn = importlib.import_module("uvicorn")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    # Connections wait in the backlog until uvicorn accepts them, so this is not too early.
    write_ports_file(options.ports_file, *listener.getsockname()[:2])
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    # Not by `fd=`: uvicorn takes that for a Unix socket, and Nagle's algorithm stays on.
    uvicorn.Server(config).run(sockets=[listener])
