"""Whether a client may connect: the same questions and the same refusals for every transport.

A client names an app by its key, the protocol's version in its query, and, if it is a browser's,
a page. The app must be there and enabled, allow plain text if that is how the client came, allow
the page, and have room. A refusal is logged here; each transport says it to the client in its
own form.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import parse_qs

from callboard_protocol import refusals
from callboard_protocol.refusals import Refusal
from callboard_server import origins
from callboard_server.client_info import ClientInfo
from callboard_server.hub import Hub
from callboard_server.settings import AppSettings

logger = logging.getLogger("callboard.server")

SUPPORTED_VERSIONS: Final = (5, 6, 7)


class Apps(Protocol):
    """Where apps are found by the key that clients connect with."""

    def by_key(self, key: str) -> AppSettings | None:
        """Return the app, or None when no app has this key."""


async def admit(
    hub: Hub, apps: Apps, key: str, query: str, client: ClientInfo
) -> AppSettings | Refusal:
    """Return the app that has counted the client, or why it may not connect.

    Whoever then makes no connection, because the client has gone meanwhile, must uncount it.
    """
    while True:
        app = _find_app(apps, key, query, client)
        if isinstance(app, Refusal):
            return refuse(hub, app, client)
        if hub.objections is not None:
            objection = hub.objections.to_connection(app, query, client)
            if objection is not None:
                return refuse(hub, objection, client, app)
        try:
            admitted = await hub.broker.connect(app.id, app.max_connections)
        except Exception:
            logger.exception("the broker failed to count a connection app=%s", app.id)
            return refuse(hub, refusals.INTERNAL_ERROR, client, app)
        if not admitted:
            return refuse(hub, refusals.OVER_QUOTA, client, app)
        # It may have been changed or removed while the broker was asked.
        if apps.by_key(key) is app:
            return app
        await hub.broker.disconnect(app.id)


def refuse(
    hub: Hub, refusal: Refusal, client: ClientInfo, app: AppSettings | None = None
) -> Refusal:
    """Note in the log that a connection was refused, and return the refusal."""
    hub.refusals.note(
        "a connection",
        refusal.message,
        client=client.address,
        app=app.id if app else "-",
        code=refusal.code,
    )
    return refusal


def _find_app(apps: Apps, key: str, query: str, client: ClientInfo) -> AppSettings | Refusal:
    app = apps.by_key(key)
    if app is None:
        return refusals.unknown_key(key)
    if not app.enabled:
        return refusals.APP_DISABLED
    if app.tls_only and not client.secure:
        return refusals.TLS_ONLY
    if not origins.allows(app.allowed_origins, client.origin):
        return refusals.origin_refused(client.origin or "")
    version = _version(query)
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        return refusals.malformed_version(version)
    if int(version) not in SUPPORTED_VERSIONS:
        return refusals.unsupported_version(int(version), SUPPORTED_VERSIONS)
    return app


@lru_cache(maxsize=64)
def _version(query: str) -> str:
    """Return the version that a client asks for; all clients of a kind write the same query."""
    # A client that names no version is taken for a current one.
    return parse_qs(query, keep_blank_values=True).get("protocol", ["7"])[-1]
