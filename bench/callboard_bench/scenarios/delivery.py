"""Flags of the scenarios that publish to subscribers, and what is wrong with a value of them."""

from __future__ import annotations

import click

from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS, WS
from callboard_bench.scenario import choice
from callboard_bench.stamps import smallest_message_bytes

#: As long as the names of channels get.
_LONGEST_NAME = "bench-000000-0000000"


def transport() -> click.Option:
    """Return ``--transport``."""
    return choice("--transport", TRANSPORTS, "How subscribers connect.")


def over(transport: str) -> str:
    """Return what a setting says of a transport, which is nothing of a WebSocket."""
    return "" if transport == WS else f" over {transport}"


def http_path() -> click.Option:
    """Return ``--http-path``."""
    return click.Option(
        ["--http-path"],
        default=HTTP_PATH,
        show_default=True,
        metavar="PATH",
        help="What comes before /app/KEY for xhr_streaming and xhr_polling.",
    )


def room_for_stamps(message_bytes: int) -> None:
    """Check that messages of a size can carry their stamp.

    Raises:
        ValueError: they cannot.
    """
    smallest = smallest_message_bytes(_LONGEST_NAME)
    if message_bytes < smallest:
        raise ValueError(
            f"--message-bytes is at least {smallest}, not {message_bytes}: a message carries its "
            "number and time"
        )
