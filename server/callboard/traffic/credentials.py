"""Whether a service takes what is signed with the key and secret of a replay.

Asked once, before anything is played: with a wrong one every subscription and every request would
be refused, and each be told as a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import aiohttp
from yarl import URL

from callboard.traffic.errors import CannotReplay
from callboard.traffic.replayed_connection import cannot_reach
from callboard_client.signed_request import Credentials, signed_query

_REFUSALS: Final = (401, 403, 404)
#: Characters of an answer that are shown.
_SHOWN: Final = 100


async def check(
    session: aiohttp.ClientSession, credentials: Credentials, clock: Callable[[], float]
) -> None:
    """Ask for the app's channels; ``clock`` returns Unix time in seconds.

    Raises:
        CannotReplay: the service cannot be reached, or does not take a signed request.
    """
    path = f"/apps/{credentials.app_id}/channels"
    query = signed_query(credentials, "GET", path, {}, b"", clock())
    url = URL(f"{credentials.base}{path}?{query}", encoded=True)
    try:
        async with session.get(url, allow_redirects=False) as answer:
            status, said = answer.status, await answer.text(errors="replace")
    except aiohttp.ClientConnectorError as error:
        raise cannot_reach(credentials.base, error) from None
    except (aiohttp.ClientError, TimeoutError):
        return  # what a service that breaks off does is a matter of the replay
    if status in _REFUSALS:
        raise CannotReplay(
            f"{credentials.base} does not take requests for app {credentials.app_id} with key "
            f"{credentials.key}: see that {_suspect(status, said)} in --url is the server's. "
            f"It answered {status}: {_short(said)}"
        )


def _short(said: str) -> str:
    line = " ".join(said.split())
    return (line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…") or "nothing"


def _suspect(status: int, said: str) -> str:
    """Return which part of the URL is wrong, as far as the answer tells."""
    if status == 404:
        return "the app's id"
    if "signature" in said.lower():
        return "the secret"
    return "the key" if "key" in said.lower() else "the key, or the secret,"
