"""TLS: the certificate and key of the process, and another pair without a restart.

1. A pair is always tried in a context of its own. A pair that does not fit would break the
   context that is in use, and files are sometimes read while they are being replaced.
2. The listener keeps its first context for ever. A later pair's context takes the first one's
   place at the beginning of each handshake, through the callback for server names, which OpenSSL
   calls whether or not the client sends one. Connections that are up are not touched.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from callboard_server.listeners import ListenError

#: How long a client may take to agree on keys, in seconds.
HANDSHAKE_SECONDS = 10.0
#: How long the end of a connection may take: what is unsent, and the client's goodbye.
SHUTDOWN_SECONDS = 5.0


class CertificateError(ListenError):
    """The certificate and key cannot be used; the text says why and what to do."""


class TLS:
    """A certificate and its key, for one listener's handshakes."""

    def __init__(self, certificate: str, key: str) -> None:
        """Read both files.

        Raises CertificateError, as :func:`load` does.
        """
        #: The context to listen with.
        self.context = self._current = load(certificate, key)
        self.context.sni_callback = self._choose

    def use(self, context: ssl.SSLContext) -> None:
        """Let handshakes from now on have the pair of ``context``, which :func:`load` made."""
        self._current = context

    def _choose(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        if self._current is not self.context:
            connection.context = self._current
        return None


def load(certificate: str, key: str) -> ssl.SSLContext:
    """Return a new context with the pair in these PEM files.

    TLS 1.2 is the oldest version spoken; HTTP/1.1 the only protocol offered. Raises
    CertificateError if a file cannot be read, is not what it should be, or the two do not match.
    """
    for path in (certificate, key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise CertificateError(
                f"Cannot read {path}: {error.strerror or error}. tls_certificate and tls_key name "
                "the PEM files of a certificate and its key."
            ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password at hand OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CertificateError(_explain(certificate, key, error)) from None
    return context


def _explain(certificate: str, key: str, error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return (
            f"The key in {key} is not that of the certificate in {certificate}. Expected the "
            "certificate itself as the first one in its file, the chain behind it."
        )
    return (
        f"Cannot use the certificate in {certificate} with the key in {key}"
        f" ({reason or error}). Expected PEM files: the certificate first, then its chain; the "
        "key without a password."
    )
