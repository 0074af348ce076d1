"""Who is in a presence channel, as the service tells it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from callboard_client.events import json_object


class Members:
    """User id to ``user_info`` (a decoded JSON value, None if there is none)."""

    def __init__(self) -> None:
        self._info: dict[str, Any] = {}
        #: A view that follows the changes.
        self.view: Mapping[str, Any] = MappingProxyType(self._info)

    def clear(self) -> None:
        self._info.clear()

    def succeeded(self, data: str) -> None:
        """Take the list of ``subscription_succeeded``; pusher-fake leaves ``ids`` out."""
        self._info.clear()
        presence = json_object(data).get("presence")
        if not isinstance(presence, dict):
            return
        known = presence.get("hash")
        known = known if isinstance(known, dict) else {}
        ids = presence.get("ids")
        for user_id in ids if isinstance(ids, list) else known:
            self._info[str(user_id)] = known.get(str(user_id))

    def added(self, data: str) -> None:
        """Take ``member_added``."""
        member = json_object(data)
        if "user_id" in member:
            self._info[str(member["user_id"])] = member.get("user_info")

    def removed(self, data: str) -> None:
        """Take ``member_removed``."""
        self._info.pop(str(json_object(data).get("user_id")), None)
