"""An app's webhook endpoint in Python, as the official library's README checks what comes."""

from __future__ import annotations

import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import pusher

from interop.inbox import Inbox


class WebhookEndpoint:
    """Takes requests on a free loopback port and a thread of its own; a context manager."""

    def __init__(self, sdk: pusher.Pusher) -> None:
        self._sdk = sdk
        self._inbox = Inbox()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> WebhookEndpoint:
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
        """The endpoint's address, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def hear(self, path: str) -> Any:
        """Return the events of the next request to ``path``.

        What the library refuses is there as ``["refused", headers, body]``.
        """
        return self._inbox.take(path)

    def _receive(self, path: str, headers: Message, body: str) -> None:
        webhook = self._sdk.validate_webhook(
            headers["X-Pusher-Key"], headers["X-Pusher-Signature"], body
        )
        refused = ["refused", dict(headers), body]
        self._inbox.put(path, webhook["events"] if webhook else refused)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receive = self._receive

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receive(self.path, self.headers, body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """A line per request would bury a failed test's output."""

        return Handler
