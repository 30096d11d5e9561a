"""Python, and the packages that taolite works with: which are there, their versions, and whether they send anything."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from taolite import __version__, quiet
from taolite.doctor.finding import Finding
from taolite.doctor.requirements import Requirement, Version, fits

__all__ = ["base", "extras", "onnxruntime", "python", "runtimes", "telemetry", "torch"]

_OLDEST = (3, 10)
_PACKAGES = {  # import name of a runtime -> names of the packages that bring it
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
}
_OWN_LINE = ("train", "openvino", "tensorrt", "dev")  # extras that other checks tell of, and one for developers


def python(version: Sequence[int] = sys.version_info[:3]) -> Finding:
    """Python's version."""
    facts = {"version": ".".join(map(str, version)), "needed": ".".join(map(str, _OLDEST)), "taolite": __version__}
    old = tuple(version) < _OLDEST
    return Finding("python", "broken" if old else "ok", "version" if old else "", {**facts, "folder": sys.prefix})


def base(wanted: Sequence[Requirement], version: Version) -> Finding:
    """Whether all packages of the base are here, in a version that taolite works with."""
    needed = [one for one in wanted if not one.extra]
    wrong = _wrong(needed, version, missing=True)
    facts = {"packages": len(needed), "wrong": wrong}
    if not needed:
        return Finding("packages", "warning", "unknown", facts)
    return Finding("packages", "broken" if wrong else "ok", "wrong" if wrong else "", facts)


def torch(wanted: Sequence[Requirement], version: Version) -> Finding:
    """PyTorch and what else training needs. facts["cuda"]: the CUDA version that PyTorch was built for, "" for none."""
    found = version("torch")
    if found is None:
        return Finding("torch", "absent", "missing", {"extra": "train"})
    wrong = _wrong([one for one in wanted if one.extra == "train"], version, missing=True)
    facts = {"version": found, "cuda": _built_for(), "extra": "train", "wrong": wrong}
    return Finding("torch", "broken" if wrong else "ok", "wrong" if wrong else "", facts)


def _built_for(package: str = "torch") -> str:
    """The CUDA version in PyTorch's own version.py, which is read and not run; "" for a build without CUDA."""
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent / "version.py" if spec is not None and spec.origin else None
    if file is None or not file.is_file():
        return ""
    found = re.search(r"^cuda[^=\n]*=\s*'([\d.]+)'", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1] if found else ""


def onnxruntime(version: Version) -> Finding:
    """ONNX Runtime, which the base needs, and its execution providers."""
    packages = {name: found for name in _PACKAGES["onnxruntime"] if (found := version(name)) is not None}
    facts: dict[str, Any] = {"packages": packages}
    try:
        library: Any = importlib.import_module("onnxruntime")
        facts |= {"version": str(library.__version__), "providers": list(library.get_available_providers())}
    except (ImportError, OSError, AttributeError) as error:  # a build for another processor, half a package
        return Finding("onnxruntime", "broken", "import", {**facts, "reason": _first_line(error)})
    if len(packages) > 1:
        return Finding("onnxruntime", "warning", "twice", facts)
    return Finding("onnxruntime", "ok", "", facts)


def runtimes(wanted: Sequence[Requirement], version: Version, rows: Sequence[Any]) -> Iterator[Finding]:
    """The other engine runtimes, `rows` of `taolite.engines.runtimes`. facts["install"]: how to get it."""
    for row in rows:
        if row.name == "onnxruntime":
            continue
        found = next((one for name in _PACKAGES[row.package] if (one := version(name)) is not None), None)
        facts = {"title": row.title, "version": found, "device": row.device, "install": row.install()}
        if found is None:
            yield Finding(row.name, "absent", "missing", facts)
            continue
        names = _PACKAGES[row.package]
        wrong = _wrong([one for one in wanted if one.name.replace("_", "-").lower() in names], version, missing=False)
        yield Finding(row.name, "broken" if wrong else "ok", "wrong" if wrong else "", {**facts, "wrong": wrong})


def extras(wanted: Sequence[Requirement], version: Version) -> Finding:
    """The other extras: those that are here and those that are not. An extra whose packages are partly here, or in
    another version, is named with them."""
    names = sorted({one.extra for one in wanted if one.extra} - set(_OWN_LINE))
    here: list[str] = []
    absent: list[str] = []
    wrong: list[Mapping[str, Any]] = []
    for name in names:
        packages = [one for one in wanted if one.extra == name]
        there = [one for one in packages if version(one.name) is not None]
        faults = _wrong(packages, version, missing=True) if there else []
        wrong += [{**fault, "extra": name} for fault in faults]
        (here if there and not faults else absent if not there else []).append(name)
    facts = {"installed": here, "absent": absent, "wrong": wrong}
    return Finding("extras", "warning" if wrong else "ok", "wrong" if wrong else "", facts)


def telemetry() -> Finding:
    """Whether the libraries that would send something home are told not to (`taolite.quiet`)."""
    loud = quiet.loud()
    return Finding("telemetry", "warning" if loud else "ok", "on" if loud else "", {"on": loud})


def _wrong(wanted: Sequence[Requirement], version: Version, *, missing: bool) -> list[Mapping[str, Any]]:
    """Those of `wanted` that are in a version outside their bounds, or `missing`: name, found, needed."""
    found = [(one, version(one.name)) for one in wanted]
    return [
        {"name": one.name, "found": here, "needed": one.bounds}
        for one, here in found
        if (here is None and missing) or (here is not None and not fits(here, one.bounds))
    ]


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
