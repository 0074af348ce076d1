"""`callboard demo`: the whole way of an event, shown on the screen, in a second.

A real server process on a free port, a real subscriber on a WebSocket, and the official
``pusher`` library as the backend that triggers. It ends by itself; anything that does not
arrive is an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pusher

from callboard_client import Client, SecretAuthorizer

_KEY = "demo-key"
#: The official Python library takes app ids of digits only.
_APP_ID = "1"
_CHANNELS = ("public-news", "private-orders", "presence-lobby")
_WAIT_SECONDS = 10.0


async def demonstrate() -> None:
    """Run the demonstration.

    Raises:
        TimeoutError, RuntimeError: a step did not come about.
    """
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="callboard-demo-") as folder:
        server, port = await _start_server(Path(folder), secret)
        try:
            await _converse(port, secret)
        finally:
            with suppress(ProcessLookupError):
                server.send_signal(signal.SIGTERM)
            status = await asyncio.wait_for(server.wait(), _WAIT_SECONDS)
    if status != 0:
        raise RuntimeError(f"the server ended with exit status {status}")
    print("4. The server has ended in order: exit status 0")


async def _start_server(folder: Path, secret: str) -> tuple[asyncio.subprocess.Process, int]:
    config, ports = folder / "callboard.toml", folder / "ports.json"
    config.write_text(
        f'[[apps]]\nid = "{_APP_ID}"\nkey = "{_KEY}"\nsecret = "{secret}"\nclient_events = true\n'
    )
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "callboard", "serve", "--host", "127.0.0.1", "--port", "0"),
        *("--config", str(config), "--ports-file", str(ports)),
        # Whatever the reader has set for a server of their own is not for this one.
        env={k: v for k, v in os.environ.items() if not k.startswith(("CALLBOARD_", "PUSHER_"))},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_WAIT_SECONDS):
        while not ports.exists():
            if server.returncode is not None:
                output = await server.stderr.read() if server.stderr else b""
                raise RuntimeError(f"the server did not start: {output.decode()}")
            await asyncio.sleep(0.01)
    port = int(json.loads(ports.read_text())["port"])
    print(f"1. callboard serve listens on 127.0.0.1:{port}")
    return server, port


async def _converse(port: int, secret: str) -> None:
    member = {"user_id": "ada", "user_info": {"name": "Ada"}}
    authorizer = SecretAuthorizer(_KEY, secret, member)
    async with Client(_KEY, "127.0.0.1", port, authorizer=authorizer) as client:
        await client.connected(_WAIT_SECONDS)
        channels = [await client.subscribe(name) for name in _CHANNELS]
        print(f"2. A subscriber is connected as {client.socket_id} and on {', '.join(_CHANNELS)}")

        backend = pusher.Pusher(
            app_id=_APP_ID, key=_KEY, secret=secret, host="127.0.0.1", port=port, ssl=False
        )
        await asyncio.to_thread(
            backend.trigger, list(_CHANNELS), "greeting", {"text": "hello from the pusher library"}
        )
        print("3. The official pusher library has triggered one event on the three; what arrived:")
        for channel in channels:
            event = await channel.get(_WAIT_SECONDS)
            print(f"     {event.channel:15} {event.event}  {event.data}")
        users = await asyncio.to_thread(backend.users_info, "presence-lobby")
        print(f"     and the API says who is in presence-lobby: {json.dumps(users['users'])}")


def run() -> int:
    """Run the demonstration and return the exit status."""
    try:
        asyncio.run(demonstrate())
    except (TimeoutError, RuntimeError, pusher.errors.PusherError) as error:
        print(f"The demonstration failed: {error}", file=sys.stderr)
        return 1
    return 0
