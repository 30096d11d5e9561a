"""One file over HTTP, in as many attempts as it takes.

What has arrived waits in `.NAME.part` beside the target and is continued from there (Range), also by a later run. The
file gets its name when its length is the one the server said and its MD5 is that of `x-goog-hash` or of an ETag that
looks like one (Amazon S3, Google Cloud Storage); an ETag that two equal transfers both contradict is none.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from taolite.errors import StorageError, UsageError

__all__ = ["Outcome", "fetch"]

_BLOCK = 1 << 18  # bytes read at once
_TIMEOUT_S = 60.0
_LONGEST_PAUSE_S = 30.0
_GONE = (403, 404, 410)  # S3 says 403 of what is not there to those who may not list
_PASSING = (408, 425, 429)  # and 500 and more: worth another attempt


@dataclass(frozen=True)
class Outcome:
    """What became of a file: `kept` was there, `fetched` is new, `missing` has the server not, `failed` says why."""

    state: Literal["kept", "fetched", "missing", "failed"]
    reason: str = ""


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def fetch(url: str, path: Path, *, retries: int = 10, pause: Callable[[float], None] = _wait) -> Outcome:
    """Bring `url` (http or https) to `path`; a file that is there and not empty is kept as it is.

    After a passing fault (a broken or short transfer, a busy server) it waits 1, 2, 3 ... seconds, 30 at most, and
    goes on, `retries` times. Raises StorageError where the disk is full or read-only; UsageError for another scheme.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url}: an address needs to begin with https:// or http://")
    if path.is_file() and path.stat().st_size:
        return Outcome("kept")
    part, contradicted, reason = path.with_name(f".{path.name}.part"), "", ""
    for attempt in range(retries + 1):
        if attempt:
            pause(min(float(attempt), _LONGEST_PAUSE_S))
        try:
            found, expected = _go_on(url, part)
        except HTTPError as error:
            if error.code in _GONE:
                return Outcome("missing", f"HTTP {error.code}")
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in _PASSING:
                return Outcome("failed", reason)
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(error.reason if isinstance(error, URLError) else error) or type(error).__name__
        else:
            if expected in (None, found) or found == contradicted:
                part.replace(path)
                return Outcome("fetched")
            contradicted, reason = found, f"its MD5 is {found}, the server says {expected}"
            part.unlink()
    return Outcome("failed", reason)


def _go_on(url: str, part: Path) -> tuple[str, str | None]:
    """Bring what is missing of a part file; gives its MD5 and the one that the server says, where it says one.

    Raises HTTPError, URLError, HTTPException, TimeoutError and ConnectionError as met, ConnectionError also for a
    transfer that ended early.
    """
    have = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urlopen(request, timeout=_TIMEOUT_S) as response:
        total = _length(response.headers)
        if response.status == 206:
            total = None if total is None else have + total
        else:
            have = 0
        digest = _md5_of(part) if have else hashlib.md5(usedforsecurity=False)
        try:
            with open(part, "r+b" if have else "wb") as stream:
                stream.seek(have)
                while block := response.read(_BLOCK):
                    stream.write(block)
                    digest.update(block)
                    have += len(block)
        except (HTTPException, TimeoutError, ConnectionError):
            raise
        except OSError as error:
            raise StorageError(f"{part}: {error.strerror or error}; free some space and run it again") from error
        if total is not None and have != total:
            raise ConnectionError(f"the transfer ended after {have} of {total} bytes")
        return digest.hexdigest(), _checksum(response.headers)


def _md5_of(path: Path) -> hashlib._Hash:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _checksum(headers: Message) -> str | None:
    """The MD5 of the whole file in hexadecimal, where the server says one."""
    google = re.search(r"md5=([A-Za-z0-9+/=]+)", ",".join(headers.get_all("x-goog-hash", [])))
    if google:
        with suppress(ValueError):
            return base64.b64decode(google[1]).hex()
    tag = re.fullmatch(r'"?([0-9a-f]{32})"?', headers.get("ETag", ""))
    return tag[1] if tag else None
