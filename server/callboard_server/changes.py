"""What is different in a configuration that was read again, for the log."""

from __future__ import annotations

import logging

from callboard_server.settings import Settings

logger = logging.getLogger("callboard.server")

#: What takes effect without a restart. To begin or end TLS, ``tls_port`` must change, too.
_TAKEN_OVER = frozenset({"apps", "tls_certificate", "tls_key"})


def log(before: Settings, after: Settings) -> None:
    """Log which apps have come, gone and changed, and which settings wait for a restart."""
    old, new = ({app.id: app for app in settings.apps} for settings in (before, after))
    logger.info(
        "reloaded apps=%d added=%s removed=%s changed=%s",
        len(new),
        [app_id for app_id in new if app_id not in old],
        [app_id for app_id in old if app_id not in new],
        [app_id for app_id, app in new.items() if old.get(app_id, app) != app],
    )
    waiting = [
        name
        for name in Settings.__struct_fields__
        if name not in _TAKEN_OVER and getattr(before, name) != getattr(after, name)
    ]
    if waiting:
        logger.warning("not changed before a restart: %s", ", ".join(waiting))
