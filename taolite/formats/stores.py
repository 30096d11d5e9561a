"""Objects of Amazon S3 (`s3://BUCKET/KEY`), Google Cloud Storage (`gs://BUCKET/KEY`) and servers that speak their
protocols, read by fsspec's s3fs and gcsfs (the extra `cloud`).

Log-in, endpoint and retries are those of these libraries: `aws configure`, AWS_ENDPOINT_URL, `gcloud auth
application-default login`, and FSSPEC_S3_ANON=true or FSSPEC_GS_TOKEN=anon for what is public. A read is bound to one
state of the object: by S3 to an ETag (If-Match), by Google to a generation.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from taolite.errors import DataError, PathError, TaoliteError, UsageError
from taolite.extras import install_command

__all__ = ["Version", "glob", "is_stored", "read", "version_of"]

_LIBRARIES = {"s3": "s3fs", "gs": "gcsfs"}
_WAYS_IN = {
    "s3": "`aws configure`, AWS_PROFILE or AWS_ACCESS_KEY_ID; for a public object set FSSPEC_S3_ANON=true",
    "gs": "`gcloud auth application-default login`; for a public object set FSSPEC_GS_TOKEN=anon",
}
_TIMEOUT_S = 60
_MOST_OPEN = 64  # objects of a thread whose ETag is known; each costs a request
_LONGEST = 160  # characters shown of another library's message
_opened = threading.local()


class Version(NamedTuple):
    """Identifies one state of a file: its size in bytes and a stamp. The stamp of a file is the time of its last change
    in ns. The stamp of a URL is the ETag or Last-Modified of its server, or an object's generation; "" for neither."""

    size: int
    stamp: int | str


def is_stored(name: str) -> bool:
    """Whether a name is an address of an object store."""
    return name.startswith(("s3://", "gs://"))


def version_of(name: str) -> Version:
    """The current state of an object. Raises PathError for one that is not there or is refused, DataError for a store
    that fails, UsageError where the extra is missing."""
    with _asking(name):
        return _version_said(name, _store(_scheme(name)).info(name))


def read(name: str, offset: int, size: int, version: Version | None) -> tuple[bytes, Version]:
    """At least one and at most `size` bytes of an object from `offset`, none at its end, and the version they are of:
    `version` where the object is still in that state. Raises as `version_of` does."""
    with _asking(name):
        if _scheme(name) == "s3":
            return _read_s3(name, offset, size, version)
        version = version or version_of(name)
        if offset >= version.size:
            return b"", version
        end = min(offset + size, version.size)
        try:
            data = _store("gs").cat_file(name, start=offset, end=end, generation=version.stamp)
        except FileNotFoundError:  # this generation is no more; another may be
            return b"", version_of(name)
        return data, version


def glob(pattern: str) -> list[str]:
    """The objects that match `*`, `?` and `[...]`, sorted. Raises as `version_of` does."""
    with _asking(pattern):
        return sorted(f"{_scheme(pattern)}://{name}" for name in _store(_scheme(pattern)).glob(pattern))


def _read_s3(name: str, offset: int, size: int, version: Version | None) -> tuple[bytes, Version]:
    import s3fs

    opened: OrderedDict[str, Any] = _opened.__dict__.setdefault("s3", OrderedDict())
    stream = opened.pop(name, None)
    if stream is None or (version is not None and _version_said(name, stream.details) != version):
        stream = _store("s3").open(name, "rb", cache_type="none")
    found = _version_said(name, stream.details)
    try:
        stream.seek(offset)
        data = stream.read(size) if offset < found.size else b""
    except s3fs.utils.FileExpired:
        return b"", version_of(name)
    opened[name] = stream
    while len(opened) > _MOST_OPEN:
        opened.popitem(last=False)
    return data, found


def _scheme(name: str) -> str:
    return name.partition("://")[0]


def _version_said(name: str, details: dict[str, Any]) -> Version:
    if details.get("type") != "file":
        raise PathError(f"{name}: this is no object; correct the address")
    return Version(int(details["size"]), str(details.get("generation") or details.get("ETag") or ""))


@functools.cache
def _store(scheme: str) -> Any:
    """The one client of a store, for all threads."""
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        from s3fs import S3FileSystem

        return S3FileSystem(**options)
    from gcsfs.core import GCSFileSystem  # gcsfs's newer class asks gRPC services about each bucket first

    return GCSFileSystem(requests_timeout=_TIMEOUT_S, **options)


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Makes an error of ours of whatever a store's library raises."""
    scheme = _scheme(name)
    try:
        yield
    except (TaoliteError, AssertionError):
        raise
    except ImportError as error:
        raise UsageError(
            f"{name}: {scheme}:// needs {_LIBRARIES[scheme]}, which is not installed; run {install_command('cloud')}"
        ) from error
    except FileNotFoundError as error:
        raise PathError(f"{name}: no such object; correct the address") from error
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
        if _is_refused(error):
            raise PathError(f"{name}: the store refuses it ({text}); log in: {_WAYS_IN[scheme]}") from error
        raise DataError(f"{name}: could not be read ({text}); see to the store and start the run again") from error


def _is_refused(error: Exception) -> bool:
    """Whether a store wants another log-in, in the words of s3fs, botocore and gcsfs."""
    if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
        return True
    return getattr(error, "code", None) in (401, 403) or str(error).startswith("Forbidden")


def _forget() -> None:
    """In a process made by a fork: clients belong to the process that made them."""
    _store.cache_clear()
    _opened.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
