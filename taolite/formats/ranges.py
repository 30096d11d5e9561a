"""Byte ranges of files: from a disk, over HTTP (Range requests), or of an object store (`stores`)."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from taolite.errors import DataError, PathError, StreamError
from taolite.formats import stores
from taolite.formats.http_get import Passing, blocks, get, shown, with_retries
from taolite.formats.stores import Version

__all__ = ["Version", "is_url", "located", "open_stream", "read_range", "version_of"]

_ATTEMPTS = 5
_NEAR = 1 << 17  # bytes; shorter gaps are faster to read than to skip by a new request (docs/scale.md)
_LEAST, _MOST = 1 << 12, 1 << 22  # bytes of one request: after a jump, and in sequential reading


def is_url(name: str) -> bool:
    """Whether a name is an address (http, https, s3, gs) rather than a path."""
    return name.startswith(("http://", "https://")) or stores.is_stored(name)


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
    if stores.is_stored(name):
        return stores.version_of(name)
    version = _fetch(name, 0, 1)[1]
    if version.size < 0:
        raise DataError(f"{shown(name)}: the server does not send the file's size (Content-Range); use another server")
    return version


def read_range(
    name: str, offset: int, size: int, *, version: Version | None = None, pause: Callable[[float], None] | None = None
) -> bytes:
    """`size` bytes of a file or URL from `offset`, fewer at its end.

    Over HTTP a temporary error is retried: 5 attempts in all, with waits of 1, 2, 3 and 4 seconds, or what the server
    asks for. Raises PathError for a file that does not exist or is refused; DataError for a server that does not
    support ranges or stays unavailable, and for a file that is no longer of `version`.
    """
    if is_url(name) and size <= 0:
        return b""
    if stores.is_stored(name):
        data, found = stores.read(name, offset, size, version)
    elif is_url(name):
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
        raise DataError(
            f"{shown(name)}: changed while this run was reading it; start the run again when it is complete"
        )
    return data


def _version_of_file(found: os.stat_result) -> Version:
    return Version(found.st_size, found.st_mtime_ns)


def _fetch(name: str, offset: int, size: int, pause: Callable[[float], None] | None = None) -> tuple[bytes, Version]:
    try:
        return with_retries(partial(_request, name, offset, size), retries=_ATTEMPTS - 1, pause=pause)
    except Passing as fault:
        raise DataError(
            f"{shown(name)}: could not be read in {_ATTEMPTS} attempts: {fault}; see to the server and start the run "
            "again"
        ) from fault


def _request(name: str, offset: int, size: int) -> tuple[bytes, Version]:
    """Bytes and version of one answer. Raises Passing and PathError as `http_get.get` does; DataError for a server that
    does not serve parts."""
    with get(name, {"Range": f"bytes={offset}-{offset + size - 1}"}) as response:
        if response.status == 416:
            return b"", _version_said(response.headers)
        if response.status == 200:
            raise DataError(
                f"{shown(name)}: the server does not serve parts of files (Range requests); use one that does"
            )
        begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if begin is None or int(begin[1]) != offset:
            raise DataError(f"{shown(name)}: the server sends another part than was asked for; use another server")
        data = b"".join(blocks(response, size))
        wanted = min(_number(response.headers.get("Content-Length", "")), size)
        if 0 <= wanted != len(data):
            raise Passing(f"{len(data)} of {wanted} bytes came")
        return data, _version_said(response.headers)


def _version_said(headers: Mapping[str, str]) -> Version:
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return Version(_number(total), headers.get("ETag") or headers.get("Last-Modified") or "")


def _number(text: str) -> int:
    """A size of a header; -1 for none."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else -1


def open_stream(name: str, version: Version, *, least: int = _LEAST) -> IO[bytes]:
    """A file or URL as a stream that can seek.

    Behind an address it is read in pieces: `least` bytes after a jump, then larger and larger pieces, up to 4 MiB, in
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
