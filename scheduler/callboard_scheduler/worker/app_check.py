"""Whether the app that a worker's URL names is the one that its key belongs to.

A worker connects by its key alone, so a wrong id in the URL changes nothing for it; but whoever
wrote it meant another app. The service is asked once, by a signed ``GET`` of the worker's channel
when it has been welcomed: key and secret are right by then, so a refusal is about the id. That
is worth a warning and no more, for a proxy may let nothing but WebSockets through.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from callboard_client.signed_request import Credentials, quote_segment, signed_query

logger = logging.getLogger("callboard_scheduler.worker")

_TIMEOUT_SECONDS: Final = 5.0
_REFUSALS: Final = frozenset({401, 403, 404})
_SHOWN_BYTES: Final = 200


def check_app(
    credentials: Credentials, channel: str, clock: Callable[[], float]
) -> threading.Thread:
    """Warn in a while if the id is another app's, or nobody's; ``clock`` is Unix time in seconds.

    Returns the thread that waits for the answer; it does not keep the process from ending.
    """
    arguments = (credentials, channel, clock())
    asking = threading.Thread(
        target=_warn_of_refusal, args=arguments, name="callboard-app", daemon=True
    )
    asking.start()
    return asking


def _warn_of_refusal(credentials: Credentials, channel: str, now: float) -> None:
    if fault := _refusal(credentials, channel, now):
        logger.warning(
            "the URL of this worker names app %r, but %s answers for its key: %s. The worker goes "
            "by its key: it serves the app of key %r",
            credentials.app_id,
            credentials.base,
            fault,
            credentials.key,
        )


def _refusal(credentials: Credentials, channel: str, now: float) -> str:
    """Return what the service has against the id, empty if nothing, or if nobody knows."""
    path = f"/apps/{credentials.app_id}/channels/{quote_segment(channel)}"
    query = signed_query(credentials, "GET", path, {}, b"", now)
    try:
        # As the WebSocket goes: by no proxy of the environment.
        opener = build_opener(ProxyHandler({}))
        opener.open(f"{credentials.base}{path}?{query}", timeout=_TIMEOUT_SECONDS).close()
    except HTTPError as error:
        with error:
            shown = error.read(_SHOWN_BYTES).decode("utf-8", "replace").strip()
        return f"{error.code}, {shown}" if error.code in _REFUSALS else ""
    except (OSError, HTTPException, ValueError):
        # Not reached, or no HTTP: then nobody knows.
        return ""
    return ""
