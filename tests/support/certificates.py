"""Certificates of an authority that lives for one test."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization


class Pair(NamedTuple):
    """The files of a certificate and its key, as the settings name them."""

    certificate: str
    key: str


class Authority:
    """Issues certificates for this machine into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()

    def pair(self, name: str, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> Pair:
        """Write a certificate with the common name ``name``, and its key."""
        issued = self._ca.issue_cert("localhost", common_name=name, key_type=key_type)
        pair = Pair(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(pair.certificate, append=number > 0)
        issued.private_key_pem.write_to_path(pair.key)
        return pair

    def lock(self, key: str, locked_key: str) -> None:
        """Write the key in one file into another one, with a password."""
        private_key = serialization.load_pem_private_key((self._folder / key).read_bytes(), None)
        locked = private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
        (self._folder / locked_key).write_bytes(locked)

    def file(self) -> str:
        """Write the authority's own certificate, for clients that are to trust it."""
        path = self._folder / "authority.pem"
        self._ca.cert_pem.write_to_path(path)
        return str(path)

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context


def common_name(connection: ssl.SSLSocket) -> str:
    """Return the common name of the server's certificate."""
    certificate: Any = connection.getpeercert()
    names = [pair for part in certificate["subject"] for pair in part]
    return str(next(value for name, value in names if name == "commonName"))
