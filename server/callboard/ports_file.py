"""The file that tells another program where the server listens."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from callboard.errors import StartError


def write(
    path: Path,
    host: str,
    port: int,
    *,
    tls_port: int | None = None,
    unix_socket: str | None = None,
) -> None:
    """Put ``{"host": …, "port": …}`` at `path` so that a reader sees all of it or nothing.

    ``tls_port`` and ``unix_socket`` stand there if there are any. Raises StartError if that is
    not possible; what was there before is then untouched.
    """
    where = {"host": host, "port": port, "tls_port": tls_port, "unix_socket": unix_socket}
    # In the same folder, since a rename is atomic only within one file system.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            with draft.open("x", encoding="utf-8") as file:
                json.dump({key: value for key, value in where.items() if value is not None}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise refusal(path, getattr(error, "strerror", None) or str(error)) from None


def check(path: Path) -> None:
    """Raise StartError if the file could not be written, as far as one can tell before."""
    if path.is_dir():
        raise refusal(path, "it is a folder")
    if not path.parent.is_dir():
        raise refusal(path, f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise refusal(path, f"this user may not write to {path.parent}")


def refusal(path: Path, reason: str) -> StartError:
    """Return the error that says why `path` cannot be written."""
    return StartError(f"Cannot write the ports file {path}: {reason}. Choose another path.")
