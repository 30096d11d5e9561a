"""All checks, in the order in which they are shown: libraries, machine, places, results.

    for finding in examine(Path("workspace")):
        ...

Nothing is written but a file without a name, gone at once, and PyTorch is not imported. Without `deep` it takes about a
second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from taolite.artifacts.keys import KEY_VARIABLE, variable
from taolite.doctor import libraries, machine, places, results
from taolite.doctor.finding import Finding
from taolite.doctor.requirements import installed, requirements
from taolite.engines import runtimes

__all__ = ["examine", "works"]


def examine(
    folder: Path,
    *,
    key_file: Path | None = None,
    mounts: Sequence[str] = (),
    deep: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Check this machine and the workspace `folder`.

    Args:
        folder: where runs, exports and a mounts file are looked for.
        key_file: a key file whose permissions are checked.
        mounts: values of --mount.
        deep: also open a model in each runtime, compute with PyTorch, and read every engine.
        environ: environment variables (default: of this process).
    """
    if environ is None:
        environ = {**os.environ, KEY_VARIABLE: variable()}  # the command line has taken the key out of os.environ
    wanted = requirements()
    yield libraries.python()
    yield libraries.base(wanted, installed)
    torch = libraries.torch(wanted, installed)
    yield torch
    yield machine.gpu(machine.driver(), torch.facts.get("cuda", ""))
    yield libraries.onnxruntime(installed)
    yield from libraries.runtimes(wanted, installed, runtimes.RUNTIMES)
    yield libraries.extras(wanted, installed)
    yield libraries.telemetry()
    if deep:
        from taolite.doctor import probes

        if torch.state != "absent":
            yield probes.torch()
        yield from probes.runtimes(runtimes.RUNTIMES)
    yield machine.memory()
    yield machine.cores(environ)
    yield places.disk(folder)
    yield places.workspace(folder)
    yield places.cache(environ)
    yield places.key(environ)
    if key_file is not None:
        yield places.key_file(key_file)
    yield places.mounts(mounts, start=folder, environ=environ)
    yield machine.fonts()
    yield machine.screens(environ)
    run_folders, files, whole = results.found_below(folder)
    yield results.runs(run_folders, whole=whole)
    yield results.exports(files, _runtime_version, deep=deep, whole=whole)


def works(findings: Sequence[Finding]) -> bool:
    """Whether all that is needed works."""
    return all(finding.state != "broken" for finding in findings)


@cache
def _runtime_version(name: str) -> str | None:
    """The version of a runtime that would open an engine now, as the sidecars of its engines have it."""
    row = next((row for row in runtimes.RUNTIMES if row.name == name), None)
    return row.load().version() if row is not None and row.is_installed() else None
