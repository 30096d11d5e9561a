"""Parts of files, from a disk or over HTTP (Range requests, one connection kept open for each thread and server)."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from taolite.errors import DataError, PathError

__all__ = ["RangeFile", "is_url", "read_range"]

_ATTEMPTS = 5
_TIMEOUT_S = 60.0
_GONE = (403, 404, 410)
_opened = threading.local()


def is_url(name: str) -> bool:
    """Whether a name is an address that can be read over HTTP."""
    return name.startswith(("http://", "https://"))


def read_range(name: str, offset: int, size: int, *, pause: Callable[[float], None] = time.sleep) -> bytes:
    """`size` bytes of a file or address from `offset`, fewer at its end.

    Over HTTP a passing fault is tried again, 5 times in all, after 1, 2, 3 and 4 seconds. Raises PathError for what is
    not there, DataError for a server that does not serve parts or does not come back.
    """
    if not is_url(name):
        try:
            with open(name, "rb") as stream:
                stream.seek(offset)
                return stream.read(size)
        except OSError as error:
            raise PathError(f"{name}: cannot be read: {error.strerror or error}") from error
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(float(attempt))
        try:
            status, data, wanted = _request(name, offset, size)
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            continue
        if status == 206 and len(data) == wanted:
            return data
        if status == 416:
            return b""
        if status == 200:
            raise DataError(f"{name}: this server gives whole files only; one that serves parts (Range) is needed")
        if status in _GONE:
            raise PathError(f"{name}: the server says HTTP {status}; correct the address")
        reason = f"{len(data)} of {wanted} bytes came" if status == 206 else f"HTTP {status}"
    raise DataError(f"{name}: could not be read in {_ATTEMPTS} attempts: {reason}")


def _request(name: str, offset: int, size: int) -> tuple[int, bytes, int]:
    """Status, body, and how long the server said that it is."""
    parts = urlsplit(name)
    connections: dict[tuple[str, str], HTTPConnection] = _opened.__dict__.setdefault("connections", {})
    key = (parts.scheme, parts.netloc)
    if key not in connections:
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connections[key] = kind(parts.netloc, timeout=_TIMEOUT_S)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connections[key].request("GET", target, headers={"Range": f"bytes={offset}-{offset + size - 1}"})
        response = connections[key].getresponse()
        if response.status == 200:  # the whole of it: nobody wants to wait for that
            connections.pop(key).close()
            return 200, b"", 0
        data = response.read()
    except (OSError, HTTPException):
        connections.pop(key).close()
        raise
    return response.status, data, int(response.headers.get("Content-Length", len(data)))


class RangeFile(io.RawIOBase):
    """A file or address as a stream that can be read and moved in; behind its end there is nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end is not known")
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = read_range(self._name, self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
