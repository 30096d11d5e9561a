"""Container paths, such as `/workspace/tao-experiments/...`, in specs and flags, on a machine without the container.

The map has the format of TAO's launcher (reference/detectnet_v2.md 2.9): a JSON file with a list `Mounts` of
`{"source", "destination"}`. Mounts are read from `--mount SOURCE:DESTINATION` flags, from the workspace's own
`.tao_mounts.json` (the nearest one at or above the current folder), and from `~/.tao_mounts.json` (or the file that
LAUNCHER_MOUNTS names). The longest destination that covers a path is used; of equal ones, the first in this order.

A mount is used if the path exists through it, and for paths that do not exist yet. A folder of this machine with the
container's name does not change that: `mkdir -p /workspace/tao-experiments/...` is the first line of many scripts.
A path is used unchanged if only that place has files, as inside a container. The mount of a flag is always used.
Sources may contain `~`, `$VAR` and paths relative to the mounts file.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from taolite.errors import PathError, UsageError, reading
from taolite.files import open_file

__all__ = ["MOUNTS_FILE", "Mount", "Mounts"]

MOUNTS_FILE = ".tao_mounts.json"
_TAO_ROOT = "/workspace"  # the folder of TAO's container that has the data, specs and results
_LARGEST = 1 << 20  # bytes that are read of a mounts file


@dataclass(frozen=True)
class Mount:
    """The folder `source` of this machine takes the place of the container's folder `destination`.

    origin: where the mount was given, for messages ("--mount", or a file). forced: True for a flag.
    """

    source: Path
    destination: PurePosixPath
    origin: str = "--mount"
    forced: bool = False


@dataclass(frozen=True)
class Mounts:
    """All mounts, in order of precedence. `Mounts()` has none.

    variables: values of `$NAME` in paths: the process's environment and the `Envs` of the mounts files.
    """

    mounts: tuple[Mount, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @staticmethod
    def load(
        flags: Sequence[str] = (),
        *,
        start: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Mounts:
        """Gather the mounts of flags and files.

        Args:
            flags: the value of each `--mount`, SOURCE:DESTINATION.
            start: folder where the search for the workspace's file begins, going up (default: the current folder).
            environ: environment variables, HOME and LAUNCHER_MOUNTS among them (default: of this process).

        Raises:
            UsageError: a flag that is not SOURCE:DESTINATION, or a file that is not a mounts file (with its line).
            PathError: the source of a flag, or the file that LAUNCHER_MOUNTS names, does not exist.
        """
        variables = dict(os.environ if environ is None else environ)
        mounts = [_from_flag(flag, variables) for flag in flags]
        for path in _mount_files((start or Path.cwd()).resolve(), variables):
            found, envs = _from_file(path, variables)
            mounts += found
            variables = {**envs, **variables}
        return Mounts(tuple(mounts), variables)

    def resolve(self, path: str | Path) -> Path:
        """The path on this machine for `path`, which comes from a spec, a flag or a script.

        The path need not exist, and may be a glob pattern. A relative path, and a container path that no mount covers,
        is returned unchanged; `explain` then gives a sentence for the error. Not for URLs.

        Raises PathError if the source folder of the mount that covers the path does not exist.
        """
        given = _expand(str(path), self.variables)
        mount = self._covering(given)
        if mount is None:
            return Path(given)
        mapped = mount.source / PurePosixPath(os.path.normpath(given)).relative_to(mount.destination)
        if not mount.forced and _stays(given, mapped, mount):
            return Path(given)
        if not _exists(mount.source):
            raise PathError(
                f"{mount.source}: {mount.origin} mounts this folder at {mount.destination}, and it does not exist; "
                "make it, or change the mount"
            )
        return mapped

    def glob(self, pattern: str | Path) -> list[Path]:
        """Files of this machine that match `pattern`, sorted. A path that exists under this name is the only match."""
        resolved = self.resolve(pattern)
        return [resolved] if _exists(resolved) else sorted(Path(match) for match in _matches(resolved))

    def explain(self, path: str | Path) -> str:
        """A sentence to add to an error about `path`; "" if the mounts are not the reason for the error.

        Adding a mount is only advised for paths below TAO's `/workspace`, and not inside a container.
        """
        given = _expand(str(path), self.variables)
        if not given.startswith("/") or _exists(given):
            return ""
        mount = self._covering(given)
        if mount is not None:
            here = self.resolve(path)
            return "" if str(here) == given else f"{given} is {here} on this machine, by {mount.origin}"
        parts = PurePosixPath(os.path.normpath(given)).parts
        root = str(PurePosixPath(*parts[:3])) if len(parts) > 3 else _TAO_ROOT
        if parts[:2] != PurePosixPath(_TAO_ROOT).parts or _holds_files(root):
            return ""
        return (
            f"{given} is a container path and no mount covers it; add --mount HERE:{root} or write it in {MOUNTS_FILE}"
        )

    def in_container(self, path: Path) -> str:
        """The container path of `path`, a path of this machine; the path itself if no mount covers it."""
        absolute = path.resolve()
        holders = [mount for mount in self.mounts if absolute.is_relative_to(mount.source)]
        if not holders:
            return str(path)
        mount = max(holders, key=lambda mount: len(mount.source.parts))
        return str(mount.destination / absolute.relative_to(mount.source).as_posix())

    def _covering(self, path: str) -> Mount | None:
        """The mount with the longest destination at or above `path`, the first of equal ones; None if there is none."""
        if not path.startswith("/"):
            return None
        normal = PurePosixPath(os.path.normpath(path))
        covering = [mount for mount in self.mounts if normal.is_relative_to(mount.destination)]
        return max(covering, key=lambda mount: len(mount.destination.parts), default=None)


def _stays(given: str, mapped: Path, mount: Mount) -> bool:
    """True if the path `given` is used unchanged, and not `mapped`, its path through the `mount` of a file."""
    destination = str(mount.destination)
    if not _exists(mount.source):  # as in a container, which has the mounts file but not the source folder
        return _holds_files(given) or os.path.ismount(destination) or _holds_files(destination)
    if _exists(destination) and os.path.samefile(mount.source, destination):  # noqa: PTH121
        return True
    if _exists(mapped) or _matches(mapped):
        return False
    return _holds_files(given) or (_holds_files(destination) and not _holds_files(str(mount.source)))


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  (False, and no OSError, for a name that no file can have)


def _matches(pattern: str | Path) -> list[str]:
    """Files of this machine that match a glob pattern."""
    return glob.glob(str(pattern), recursive=True)  # noqa: PTH207  (Path.glob would find hidden files)


def _holds_files(place: str) -> bool:
    """True for a file, for a folder with a file at any depth, and for a pattern that matches one of these."""
    for found in [place] if _exists(place) else _matches(place):
        if not os.path.isdir(found) or any(names for _, _, names in os.walk(found)):  # noqa: PTH112
            return True
    return False


def _mount_files(start: Path, variables: Mapping[str, str]) -> list[Path]:
    """The mounts files of the workspace and of the user, if they exist, each once."""
    own = next((folder / MOUNTS_FILE for folder in (start, *start.parents) if (folder / MOUNTS_FILE).is_file()), None)
    named = variables.get("LAUNCHER_MOUNTS")
    if named:
        user = Path(_expand(named, variables))
        if not user.is_file():
            raise PathError(f"{user}: LAUNCHER_MOUNTS names this file, and it does not exist; correct or unset it")
    else:
        user = Path(_expand("~", variables)) / MOUNTS_FILE
    files = [path for path in (own, user) if path is not None and path.is_file()]
    return files[:1] if len(files) == 2 and files[0].samefile(files[1]) else files


def _from_flag(flag: str, variables: Mapping[str, str]) -> Mount:
    source, colon, destination = flag.rpartition(":")
    if not (colon and source and destination.startswith("/")):
        raise UsageError(
            f"--mount {flag}: SOURCE:DESTINATION is needed, with an absolute DESTINATION, "
            "e.g. --mount .:/workspace/tao-experiments"
        )
    folder = Path(_expand(source, variables)).resolve()
    if not folder.exists():
        raise PathError(f"--mount {flag}: the folder {folder} does not exist; make it, or correct the flag")
    return Mount(folder, PurePosixPath(os.path.normpath(destination)), f"--mount {flag}", forced=True)


def _from_file(path: Path, variables: Mapping[str, str]) -> tuple[list[Mount], dict[str, str]]:
    """The mounts and the `Envs` of one file. Raises UsageError, PathError."""
    with reading(path, UsageError, found="not a mounts file", way_out="correct it, or move it away"):
        return _from_json(_json(path), path, variables)


def _json(path: Path) -> Any:
    with open_file(path) as stream:
        text = stream.read(_LARGEST).decode("utf-8-sig")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg}); correct this line") from error


def _from_json(value: Any, path: Path, variables: Mapping[str, str]) -> tuple[list[Mount], dict[str, str]]:
    rows = value.get("Mounts") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise UsageError(
            f'{path}: a list "Mounts" is needed, e.g. '
            '{"Mounts": [{"source": "~/tao", "destination": "/workspace/tao-experiments"}]}'
        )
    envs = {row["variable"]: row["value"] for row in _rows(value.get("Envs", []), ("variable", "value"), path)}
    known = {**envs, **variables}
    mounts = []
    for row in _rows(rows, ("source", "destination"), path):
        source = (path.parent / _expand(row["source"], known)).resolve()
        mounts.append(Mount(source, PurePosixPath(os.path.normpath(row["destination"])), str(path)))
    return mounts, envs


def _rows(rows: Any, fields: tuple[str, str], path: Path) -> list[dict[str, str]]:
    """The entries of a list of that file. Raises UsageError unless each has both `fields`, as texts."""
    if not isinstance(rows, list):
        raise UsageError(f'{path}: "Envs" needs to be a list; found {rows!r}')
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in fields):
            raise UsageError(f'{path}: entry {number} needs "{fields[0]}" and "{fields[1]}", both text; found {row!r}')
        if "destination" in fields and not row["destination"].startswith("/"):
            raise UsageError(f"{path}: entry {number}: the destination {row['destination']!r} is not an absolute path")
    return list(rows)


def _expand(path: str, variables: Mapping[str, str]) -> str:
    """`path` with `~`, `$NAME` and `${NAME}` replaced. An unknown name is kept, so that the error shows it."""
    if path == "~" or path.startswith("~/"):
        path = variables.get("HOME", str(Path.home())) + path[1:]
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: variables.get(m[1] or m[2], m[0]), path)
