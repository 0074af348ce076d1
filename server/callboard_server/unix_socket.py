"""A Unix socket to listen on: made with its mode, taking the place of a dead one, and removed.

The file stays when a process dies, so one that nobody listens on is replaced; one that somebody
listens on, or anything that is not a socket, is not.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from callboard_server.listeners import ListenError


class UnixSocket(socket.socket):
    """A bound Unix socket, whose file goes when it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.path = path
        #: Device and number of the file: another server may have put its own there.
        self._file: tuple[int, int] | None = None

    def bind_with_mode(self, mode: int) -> None:
        """Make the file. Nobody can connect before the socket listens, so the mode is in time."""
        self.bind(self.path)
        found = Path(self.path).lstat()
        self._file = found.st_dev, found.st_ino
        Path(self.path).chmod(mode)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                found = Path(self.path).lstat()
                if (found.st_dev, found.st_ino) == file:
                    Path(self.path).unlink()
            except OSError:
                pass  # it is gone, or the folder may not be written to any more
        super().close()


def bind(path: str, mode: str) -> UnixSocket:
    """Return a bound, non-blocking socket at `path`, whose file has the octal `mode`.

    Raises ListenError; then nothing was made, and nothing that is in use was removed.
    """
    _remove_dead(path)
    sock = UnixSocket(path)
    try:
        sock.setblocking(False)
        sock.bind_with_mode(int(mode, 8))
    except OSError as error:
        sock.close()
        raise explain(path, error) from None
    return sock


def check(path: str) -> bool:
    """Return whether somebody listens at `path` now, without changing anything.

    Raises ListenError if :func:`bind` would for another reason.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise explain(path, FileNotFoundError(errno.ENOENT, f"there is no folder {folder}"))
    if not os.access(folder, os.W_OK):
        raise explain(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return _is_live(path)


def explain(path: str, error: OSError) -> ListenError:
    """Return the ListenError for what the system said about listening at `path`."""
    reason = error.strerror or str(error)
    return ListenError(
        f"Cannot listen on the Unix socket {path}: {reason}. Expected a path in a folder that "
        "this user may write to, of about 100 bytes at most."
    )


def _remove_dead(path: str) -> None:
    if _is_live(path):
        raise ListenError(
            f"The Unix socket {path} is in use: another program listens there, perhaps another "
            "Callboard. Stop it, or choose another path.",
            in_use=True,
        )
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise explain(path, error) from None


def _is_live(path: str) -> bool:
    """Tell whether somebody listens there; ListenError if that is no socket or cannot be told."""
    try:
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise ListenError(
                f"{path} is there and is not a socket, so it is left alone. Choose another path "
                "for the Unix socket."
            )
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except BlockingIOError:
        return True  # somebody listens who has no time now
    except OSError as error:
        raise explain(path, error) from None
    return True
