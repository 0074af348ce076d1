"""Calls of the fixture over HTTP, as a test in another language makes them."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode

Said = tuple[int, Any]


class FixtureCaller:
    """Makes calls at one server, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: object) -> Any:
        """Return the answer to a call that is to succeed."""
        return self._succeed("GET", path, None, query)

    def post(self, path: str, body: object = None, **query: object) -> Any:
        return self._succeed("POST", path, body, query)

    def delete(self, path: str) -> Any:
        return self._succeed("DELETE", path, None, {})

    def _succeed(self, method: str, path: str, body: object, query: dict[str, object]) -> Any:
        status, said = self.call(method, path, body, **query)
        assert status == 200, said
        return said

    def call(self, method: str, path: str, body: object = None, **query: object) -> Said:
        """Make a call that may fail; ``body`` is bytes, or what is sent as JSON."""
        target = f"/fixture{path}" + (f"?{urlencode(query)}" if query else "")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        status, _, text = self.request(method, target, data)
        return status, json.loads(text)

    def request(
        self, method: str, target: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Send any request; return status, headers by lower-case names, and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read().decode()
        finally:
            connection.close()
