"""The apps of the server, found by the id of the API and by the key of clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from callboard_server.settings import AppSettings


class AppRegistry:
    """Every app under its id and its key."""

    def __init__(self, apps: Iterable[AppSettings]) -> None:
        self.replace(apps)

    def replace(self, apps: Iterable[AppSettings]) -> None:
        """Have these apps instead, all at once."""
        apps = tuple(apps)
        self._by_id = {app.id: app for app in apps}
        self._by_key = {app.key: app for app in apps}

    def __iter__(self) -> Iterator[AppSettings]:
        return iter(tuple(self._by_id.values()))

    def by_id(self, app_id: str) -> AppSettings | None:
        """Return the app of the API path, or None."""
        return self._by_id.get(app_id)

    def by_key(self, key: str) -> AppSettings | None:
        """Return the app that clients connect to with ``key``, or None."""
        return self._by_key.get(key)
