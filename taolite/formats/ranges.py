"""Byte ranges of files, from a disk or over HTTP (Range requests; one connection stays open for each thread and
server)."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from taolite.errors import DataError, PathError, StreamError

__all__ = ["Version", "is_url", "located", "open_stream", "read_range", "version_of"]

_ATTEMPTS = 5
_TIMEOUT_S = 60.0
_REFUSED = (401, 403, 404, 410)
_MOVED = (301, 302, 303, 307, 308)
_NEAR = 1 << 17  # bytes; shorter gaps are faster to read than to skip by a new request (docs/scale.md)
_LEAST, _MOST = 1 << 12, 1 << 22  # bytes of one request: after a jump, and in sequential reading
_opened = threading.local()


class Version(NamedTuple):
    """Identifies one state of a file: its size in bytes and a stamp. The stamp of a file is the time of its last change
    in ns. The stamp of a URL is the ETag or Last-Modified of its server, "" where the server sends neither."""

    size: int
    stamp: int | str


def is_url(name: str) -> bool:
    """Whether a name is a URL that can be read over HTTP."""
    return name.startswith(("http://", "https://"))


def located(spelled: str, resolve: Callable[[str], Path]) -> str:
    """A path or URL as a spec spells it -> the path or URL on this machine."""
    return spelled if is_url(spelled) else str(resolve(spelled))


def version_of(name: str) -> Version:
    """The current version of a file or URL. Raises PathError, DataError, as `read_range` does."""
    if not is_url(name):
        try:
            return _version_of_file(Path(name).stat())
        except OSError as error:
            raise PathError(f"{name}: cannot be read: {error.strerror or error}") from error
    version = _fetch(name, 0, 1)[1]
    if version.size < 0:
        raise DataError(f"{name}: the server does not send the file's size (Content-Range); use another server")
    return version


def read_range(
    name: str, offset: int, size: int, *, version: Version | None = None, pause: Callable[[float], None] | None = None
) -> bytes:
    """`size` bytes of a file or URL from `offset`, fewer at its end.

    Over HTTP a temporary error is retried: 5 attempts in all, with waits of 1, 2, 3 and 4 seconds. Raises PathError for
    a file that does not exist; DataError for a server that does not support ranges or stays unavailable, and for a file
    that is no longer of `version`.
    """
    if is_url(name):
        data, found = _fetch(name, offset, size, pause)
    else:
        try:
            with open(name, "rb") as stream:
                found = _version_of_file(os.fstat(stream.fileno()))
                stream.seek(offset)
                data = stream.read(size)
        except OSError as error:
            raise PathError(f"{name}: cannot be read: {error.strerror or error}") from error
    if version is not None and found != version:
        raise DataError(f"{name}: changed while this run was reading it; start the run again when it is complete")
    return data


def _version_of_file(found: os.stat_result) -> Version:
    return Version(found.st_size, found.st_mtime_ns)


def _fetch(name: str, offset: int, size: int, pause: Callable[[float], None] | None = None) -> tuple[bytes, Version]:
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            (pause or time.sleep)(float(attempt))
        try:
            status, data, headers = _request(name, offset, size)
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            continue
        wanted = int(headers.get("Content-Length", len(data)))
        if status == 206 and len(data) == wanted:
            return data, _version_said(headers)
        if status == 416:
            return b"", _version_said(headers)
        if status == 200:
            raise DataError(f"{name}: the server does not serve parts of files (Range requests); use one that does")
        if status in _REFUSED:
            raise PathError(f"{name}: the server says HTTP {status}; correct the address")
        if status in _MOVED:
            raise PathError(f"{name}: the file was moved (HTTP {status}); use its new address")
        reason = f"{len(data)} of {wanted} bytes came" if status == 206 else f"HTTP {status}"
    raise DataError(
        f"{name}: could not be read in {_ATTEMPTS} attempts: {reason}; see to the server and start the run again"
    )


def _version_said(headers: HTTPMessage) -> Version:
    total = headers.get("Content-Range", "").rpartition("/")[2]
    stamp = headers.get("ETag") or headers.get("Last-Modified") or ""
    return Version(int(total) if total.isdecimal() else -1, stamp)


def _request(name: str, offset: int, size: int) -> tuple[int, bytes, HTTPMessage]:
    """Status, body and headers."""
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
        if response.status == 200:  # the whole file, which may be very large
            connections.pop(key).close()
            return 200, b"", response.headers
        data = response.read()
    except (OSError, HTTPException):
        connections.pop(key).close()
        raise
    return response.status, data, response.headers


def open_stream(name: str, version: Version, *, least: int = _LEAST) -> IO[bytes]:
    """A file or URL as a stream that can seek.

    Over HTTP it is read in pieces: `least` bytes after a jump, then larger and larger pieces, up to 4 MiB, in
    sequential reading. Skipped bytes count as read where reading them costs less than a request. Reading raises
    StreamError.
    """
    if is_url(name):
        return io.BufferedReader(_Pieces(name, version, least))
    try:
        return open(name, "rb", buffering=4096)
    except OSError as error:
        raise PathError(f"{name}: cannot be read: {error.strerror or error}") from error


class _Pieces(io.RawIOBase):
    """A URL as a stream that holds one piece of it in memory."""

    def __init__(self, name: str, version: Version, least: int) -> None:
        self._name, self._version = name, version
        self._least = self._size = least
        self._at = self._begin = 0
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._version.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._version.size:
            return 0
        end = self._begin + len(self._piece)
        if not self._begin <= self._at < end:
            self._size = min(2 * self._size, _MOST) if 0 <= self._at - end <= _NEAR else self._least
            try:
                piece = read_range(self._name, self._at, self._size, version=self._version)
            except (DataError, PathError) as error:
                raise StreamError(str(error)) from error
            self._begin, self._piece = self._at, memoryview(piece)
        data = self._piece[self._at - self._begin :][: len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
