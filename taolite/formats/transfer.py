"""One file over HTTP, in as many attempts as it takes.

What has arrived waits in `.NAME.part` beside the target and is continued from there (Range), also by a later run, as
long as the server still has the same file: `.NAME.part.json` says which one it is, by its address and its ETag or
Last-Modified (If-Range). Without them, and where the file changed, the transfer starts from the beginning.

The file gets its name when its length is the one that the server said and its checksums fit: the SHA-256 that the
caller gives, and the MD5 of `x-goog-hash` or of an ETag that looks like one (Amazon S3, Google Cloud Storage). An ETag
that two equal transfers both contradict is none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from taolite.errors import PathError, UsageError
from taolite.files import write_text
from taolite.formats.arriving import open_part, part_path
from taolite.formats.http_get import Passing, RefusedError, blocks, get, shown, with_retries

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["MOST_BYTES", "Outcome", "fetch", "sha256_of"]

MOST_BYTES = 64 << 30
"""The largest file that is downloaded, unless the caller allows more."""

_BLOCK = 1 << 18  # bytes read at once
_GONE = (403, 404, 410)  # S3 says 403 of what is not there to those who may not list


@dataclass(frozen=True)
class Outcome:
    """What became of a file: `kept` was there, `fetched` is new, `missing` has the server not, `failed` says why.
    sha256: of a file that was fetched, and of one that was kept where a checksum was given."""

    state: Literal["kept", "fetched", "missing", "failed"]
    reason: str = ""
    sha256: str = field(default="", compare=False)


class _Arrived(NamedTuple):
    """A whole file: its checksums, and the MD5 that the server says."""

    sha256: str
    md5: str
    said_md5: str | None


class _Unusable(Exception):  # noqa: N818  (it ends as an Outcome)
    """Another attempt would bring the same."""


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str = "",
    retries: int = 10,
    most_bytes: int = MOST_BYTES,
    pause: Callable[[float], None] | None = None,
) -> Outcome:
    """Bring `url` (http or https) to `path`; a file that is there and not empty is kept as it is.

    After a passing fault (a broken or short transfer, a busy server) it waits 1, 2, 3 ... seconds, 30 at most, or what
    the server asks for, and goes on, `retries` times.

    Args:
        url: the address; redirections are followed.
        path: the target. It appears when the file is whole.
        sha256: the file's SHA-256 in hexadecimal, or how it begins (8 digits or more); "" for any. A file that is
            there is compared too.
        retries: attempts after the first one.
        most_bytes: a larger file fails before its bytes are read.
        pause: waits so many seconds.

    Raises:
        StorageError: the disk is full or read-only.
        UsageError: another scheme; another process is downloading this file; a netrc file that cannot be used.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{shown(url)}: an address needs to begin with https:// or http://")
    if path.is_file() and path.stat().st_size:
        return _kept(path, sha256)
    contradicted: set[_Arrived] = set()

    def once() -> Outcome:
        with open_part(path) as part:
            arrived = _go_on(url, path, part.stream, most_bytes, is_checked=bool(sha256))
            reason = _contradiction(arrived, sha256)
            part.is_whole = not reason or (arrived in contradicted and arrived.sha256.startswith(sha256))
            _note_path(path).unlink(missing_ok=True)
            if not part.is_whole:
                part.stream.truncate(0)
        if part.is_whole:
            return Outcome("fetched", sha256=arrived.sha256)
        if arrived in contradicted:
            raise _Unusable(reason)
        contradicted.add(arrived)
        raise Passing(reason)

    try:
        return with_retries(once, retries=retries, pause=pause)
    except RefusedError as error:
        return Outcome("missing", f"HTTP {error.status}") if error.status in _GONE else Outcome("failed", error.reason)
    except (Passing, PathError, _Unusable) as error:
        return Outcome("failed", str(error))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _kept(path: Path, sha256: str) -> Outcome:
    found = sha256_of(path) if sha256 else ""
    if not found.startswith(sha256):
        return Outcome("failed", f"{path} is there with SHA-256 {found}, and {sha256} is needed; remove it")
    return Outcome("kept", sha256=found)


def _contradiction(arrived: _Arrived, sha256: str) -> str:
    if not arrived.sha256.startswith(sha256):
        return f"its SHA-256 is {arrived.sha256}, and {sha256} is needed"
    if arrived.said_md5 not in (None, arrived.md5):
        return f"its MD5 is {arrived.md5}, the server says {arrived.said_md5}"
    return ""


def _go_on(url: str, path: Path, stream: IO[bytes], most_bytes: int, *, is_checked: bool) -> _Arrived:
    """Bring what is missing of a part. is_checked: the caller has a checksum, so the server need not say a length.

    Raises Passing, also for a transfer that ended early, and what `get` raises.
    """
    have, validator = _resumable(url, path, stream.seek(0, 2))
    headers = {"Range": f"bytes={have}-", "If-Range": validator} if have else {}
    with get(url, headers) as response:
        if response.status == 416 or (response.status == 206 and not _continues(response, have, validator)):
            _start_over(stream, path)
            raise Passing("the server has another file than the one that was begun")
        have = have if response.status == 206 else 0
        total = _total(response, have)
        if total is not None and total > most_bytes:
            raise _Unusable(f"it has {total} bytes, and at most {most_bytes} are allowed")
        stream.truncate(have)
        if not have:
            _write_note(url, path, response.headers)
        digests = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        stream.seek(0)
        for block in iter(partial(stream.read, _BLOCK), b""):
            for digest in digests:
                digest.update(block)
        for block in blocks(response, (most_bytes if total is None else total) - have + 1):
            stream.write(block)
            for digest in digests:
                digest.update(block)
            have += len(block)
        if have > most_bytes:
            _start_over(stream, path)
            raise _Unusable(f"it has more than {most_bytes} bytes, which are allowed")
        if total is not None and have != total:
            raise Passing(f"the transfer ended after {have} of {total} bytes")
        is_framed = total is not None or "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        if not is_framed and not is_checked:
            _start_over(stream, path)
            raise _Unusable("the server does not say how long it is, so nobody can tell whether it is whole")
        return _Arrived(digests[0].hexdigest(), digests[1].hexdigest(), _checksum(response.headers))


def _start_over(stream: IO[bytes], path: Path) -> None:
    stream.truncate(0)
    _note_path(path).unlink(missing_ok=True)


def _note_path(path: Path) -> Path:
    return path.with_name(f"{part_path(path).name}.json")


def _write_note(url: str, path: Path, headers: Mapping[str, str]) -> None:
    """Say which file the part is the beginning of, before its first byte is written."""
    validator = _validator(headers)
    address = hashlib.sha256(url.encode()).hexdigest()  # an address may hold secrets
    write_text(_note_path(path), json.dumps({"address": address, "validator": validator}), durable=False)


def _resumable(url: str, path: Path, have: int) -> tuple[int, str]:
    """How many bytes of a part can be used, and the validator of the file that they are of."""
    note: Any = None
    with suppress(OSError, ValueError):
        note = json.loads(_note_path(path).read_bytes())
    address = hashlib.sha256(url.encode()).hexdigest()
    validator = note.get("validator") if isinstance(note, dict) and note.get("address") == address else None
    return (have, validator) if have and isinstance(validator, str) and validator else (0, "")


def _validator(headers: Mapping[str, str]) -> str:
    """What If-Range takes: a strong ETag, else Last-Modified, else ""."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _continues(response: BaseHTTPResponse, have: int, validator: str) -> bool:
    """Whether an answer goes on at `have`, with the same file."""
    begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return begin is not None and int(begin[1]) == have and _validator(response.headers) in ("", validator)


def _total(response: BaseHTTPResponse, have: int) -> int | None:
    """The length of the whole file, None where the server does not say."""
    text = response.headers.get("Content-Length", "")
    return have + int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _checksum(headers: Any) -> str | None:
    """The MD5 of the whole file in hexadecimal, where the server says one."""
    google = re.search(r"md5=([A-Za-z0-9+/=]+)", headers.get("x-goog-hash", ""))
    if google:
        with suppress(ValueError):
            return base64.b64decode(google[1]).hex()
    tag = re.fullmatch(r'"?([0-9a-f]{32})"?', headers.get("ETag", ""))
    return tag[1] if tag else None
