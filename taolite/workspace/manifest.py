"""manifest.json: everything that the result of a run depends on, so that the run can be repeated. It has no secrets.

It is one JSON object: the run's identity (task, spec, classes, data), hashes of the artifacts it started from, seeds,
versions of Python, taolite and the libraries, hardware, times, metrics. It is written atomically.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from taolite import __version__
from taolite.cores import allowed
from taolite.errors import PathError, reading
from taolite.files import open_file, write_text

__all__ = ["content_hash", "hardware", "read_manifest", "read_object", "versions", "write_manifest"]

_LARGEST = 1 << 26  # bytes that are read of a file; a manifest holds the spec and the run's metrics
_LIBRARIES = (
    "numpy",
    "torch",
    "torchvision",
    "opencv-python-headless",
    "pillow",
    "safetensors",
    "onnx",
    "torch-pruning",
)


def versions() -> dict[str, str]:
    """Versions of Python, taolite and the libraries that results depend on. Nothing is imported to find them."""
    found = {"python": platform.python_version(), "taolite": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in MiB, operating system. The caller adds the GPUs."""
    return {
        "processor": _processor(),
        "cores": allowed(),
        "memory_mib": _memory_mib(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def content_hash(files: Iterable[Path], *, root: Path) -> str:
    """SHA-256 (64 hex digits) of the names (relative to `root`) and contents of files, in the order of the names.

    The same files in another folder, or listed in another order, have the same hash. Raises PathError.
    """
    digest = hashlib.sha256()
    named = sorted((os.path.relpath(path, root).replace(os.sep, "/"), path) for path in files)
    for name, path in named:
        inner = hashlib.sha256()
        try:
            with open(path, "rb") as stream:
                while block := stream.read(1 << 20):
                    inner.update(block)
        except OSError as error:
            raise PathError(f"{path}: cannot be read ({error.strerror})") from error
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + inner.digest())
    return digest.hexdigest()


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write `manifest`, a JSON value, to `path`; sorted, indented, atomically."""
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # of a name that is no Unicode: such letters as \uXXXX
        text = json.dumps(manifest, indent=2, sort_keys=True)
    write_text(path, text + "\n")


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest at `path`. Raises PathError if it is missing or is not a JSON object."""
    return read_object(path, found="not a manifest", way_out="move this folder away and run again")


def read_object(path: Path, *, found: str, way_out: str) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises PathError, `PATH: FOUND (reason); WAY OUT`, for any other content."""
    with reading(path, PathError, found=found, way_out=way_out):
        with open_file(path) as stream:
            value = json.loads(stream.read(_LARGEST))
        if not isinstance(value, dict):
            raise ValueError("an object is needed")
        return value


def _processor() -> str:
    """The processor's name, from Linux if possible, else from Python."""
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_mib() -> int | None:
    """Physical memory in MiB, None if the system does not tell it."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
