"""An app's own backend, as its developers would write it: it says who is who and may hear what.

Client SDKs ask it for a signature before they subscribe to a private or presence channel, or
sign in. It signs with the official ``pusher`` library and never talks to the server under test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

import pusher

#: Where pusher-js and Laravel Echo ask unless they are told otherwise.
PATHS = ("/pusher/auth", "/broadcasting/auth")
#: Where they ask who a user is.
USER_PATHS = ("/pusher/user-auth", "/broadcasting/user-auth")


class Backend:
    """Signs subscriptions and users over HTTP, on a free loopback port and its own thread.

    Who is asking stands in ``Authorization: Bearer <user id>``; without it the answer is 403.
    A user is a member of every presence channel, as :meth:`member` describes.

    Args:
        sdk: signs, and has the master key if there are encrypted channels.
        friends: the watchlists, by user.
        channel_data: whether it says who joins a presence channel; else that is whoever is
            signed in on the connection.
    """

    def __init__(
        self,
        sdk: pusher.Pusher,
        *,
        friends: Mapping[str, Sequence[str]] | None = None,
        channel_data: bool = True,
    ) -> None:
        self._sdk = sdk
        self._friends = friends or {}
        self._channel_data = channel_data
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Backend:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The backend's address, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def endpoint(self) -> str:
        """What pusher-js and pysher call the authorization endpoint."""
        return self.url + PATHS[0]

    @staticmethod
    def member(user: str) -> dict[str, Any]:
        """What others on a presence channel are told of a user."""
        return {"user_id": user, "user_info": {"name": user.capitalize()}}

    def user(self, user: str) -> dict[str, Any]:
        """What the server is told of a user who signs in."""
        data = {"id": user, "user_info": self.member(user)["user_info"]}
        return data | ({"watchlist": self._friends[user]} if user in self._friends else {})

    def authorize(self, user: str, socket_id: str, channel: str) -> dict[str, Any]:
        """Return what the client SDK is to send with its subscription."""
        named = self._channel_data and channel.startswith("presence-")
        member = self.member(user) if named else None
        signed: dict[str, Any] = self._sdk.authenticate(channel, socket_id, member)
        if "shared_secret" in signed:
            # The library has it as bytes, which JSON does not know.
            signed["shared_secret"] = signed["shared_secret"].decode()
        return signed

    def authenticate(self, user: str, socket_id: str) -> dict[str, Any]:
        """Return what the client SDK is to sign in with."""
        signed: dict[str, Any] = self._sdk.authenticate_user(socket_id, self.user(user))
        return signed

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                scheme, _, user = self.headers.get("Authorization", "").partition(" ")
                if self.path not in PATHS + USER_PATHS:
                    paths = PATHS + USER_PATHS
                    self._answer(404, {"error": f"no such path, expected one of {paths}"})
                elif scheme != "Bearer" or not user:
                    self._answer(403, {"error": "sign in first: Authorization: Bearer <user>"})
                elif self.path in USER_PATHS:
                    self._answer(200, backend.authenticate(user, form["socket_id"][0]))
                else:
                    socket_id, channel = form["socket_id"][0], form["channel_name"][0]
                    self._answer(200, backend.authorize(user, socket_id, channel))

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                encoded = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, format: str, *args: Any) -> None:
                """A line per request would bury a failed test's output."""

        return Handler
