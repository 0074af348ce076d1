"""The three transports of pusher-js in a browser, and how each is told in the browser's log."""

from __future__ import annotations

import re
from typing import Any

from browser.tab import Tab
from interop.apps import APP

#: As ``enabledTransports`` names them.
TRANSPORTS = ("ws", "xhr_streaming", "xhr_polling")

#: What each asks for to receive; a group has the session, which a WebSocket does not need.
_RECEIVES = {
    "ws": rf"/app/{APP.key}()",
    "xhr_streaming": rf"/pusher/app/{APP.key}/(\d+/[0-9a-v]+)/xhr_streaming",
    "xhr_polling": rf"/pusher/app/{APP.key}/(\d+/[0-9a-v]+)/xhr",
}
_SENDS = rf"/pusher/app/{APP.key}/(\d+/[0-9a-v]+)/xhr_send"


def address(port: int) -> dict[str, Any]:
    """Return the options of pusher-js for a server without TLS on this machine."""
    host = "127.0.0.1"
    return {
        "forceTLS": False,
        "wsHost": host,
        "wsPort": port,
        "httpHost": host,
        "httpPort": port,
    }


def only(transport: str, port: int) -> dict[str, Any]:
    """Return the options that leave pusher-js one transport."""
    return address(port) | {"enabledTransports": [transport]}


def receives(tab: Tab, transport: str, port: int) -> list[str]:
    """Return the session of each request to receive, in order.

    Raises:
        AssertionError: the tab asked the server for what the transport has no use for.
    """
    sessions = []
    for path in tab.asked_server(port):
        if receive := re.fullmatch(_RECEIVES[transport], path):
            sessions.append(receive[1])
        else:
            assert transport != "ws" and re.fullmatch(_SENDS, path), path
    return sessions
