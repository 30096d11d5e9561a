"""Hand the key from the launcher to its processes: not in their arguments, not in their environment, not on the disk.

The launcher listens on a Unix socket in a folder that only this user may enter, and sends the key to every process
that connects. Restarted processes ask again. No torch.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["SECRET", "handed_over", "offered"]

SECRET = "TAOLITE_SECRET"
"""Environment variable: the path of the socket, where the launcher has a key to tell."""

_LONGEST = 100  # of a Unix socket's path; the system's limit is 108, on macOS 104


@contextmanager
def offered(secret: str | None) -> Iterator[None]:
    """Processes started inside the block can ask for `secret`; None offers nothing."""
    if secret is None:
        yield
        return
    usual = tempfile.gettempdir()
    with (
        tempfile.TemporaryDirectory(prefix="taolite-", dir=usual if len(usual) < _LONGEST - 24 else "/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        place = str(Path(folder) / "key")
        listener.bind(place)
        listener.listen()
        threading.Thread(target=_tell, args=(listener, secret), name="taolite-secret", daemon=True).start()
        os.environ[SECRET] = place
        try:
            yield
        finally:
            del os.environ[SECRET]
            with suppress(OSError):  # macOS: not connected
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread


def handed_over() -> str | None:
    """The secret that the launcher of this process has for it; None where it has none."""
    place = os.environ.get(SECRET)
    if place is None:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(place)
        with asking.makefile("rb") as stream:
            return stream.read().decode("utf-8", "surrogateescape")


def _tell(listener: socket.socket, secret: str) -> None:
    while True:
        try:
            asking, _ = listener.accept()
        except OSError:  # the block has ended
            return
        with asking:
            asking.sendall(secret.encode("utf-8", "surrogateescape"))
