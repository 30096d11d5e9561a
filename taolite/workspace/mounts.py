"""Container paths on a machine without the container: `/workspace/tao-experiments/...` in specs and flags resolves.

The map is the one TAO's launcher reads (reference/detectnet_v2.md 2.9): a JSON file with a list `Mounts` of
`{"source", "destination"}`. It comes from `--mount SOURCE:DESTINATION` flags, from the workspace's own
`.tao_mounts.json` (the nearest one at or above the current folder), and from `~/.tao_mounts.json` (or the file that
LAUNCHER_MOUNTS names). The longest destination that covers a path wins; between equal ones, in that order.

A mount counts where the file is found through it, and for files yet to be made. A folder of the container's name on
this machine changes nothing about that: `mkdir -p /workspace/tao-experiments/...` is the first line of many a script.
A path is used as it stands where that place alone has files, as inside a container. A flag is an order and always
applies. Sources may use `~`, `$VAR` and paths relative to the file they stand in.
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
_TAO_ROOT = "/workspace"  # the folder of TAO's container that holds all a spec names
_LARGEST = 1 << 20  # bytes that are read of a mounts file


@dataclass(frozen=True)
class Mount:
    """The folder `source` of this machine stands for the container's folder `destination`.

    origin: where that was said, for messages ("--mount", or a file). forced: True for a flag.
    """

    source: Path
    destination: PurePosixPath
    origin: str = "--mount"
    forced: bool = False


@dataclass(frozen=True)
class Mounts:
    """All mounts, those that win a tie first. `Mounts()` maps nothing.

    variables: what `$NAME` in a path stands for, beside `~`: the process's environment and the files' `Envs`.
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
            flags: what stood behind each `--mount`, SOURCE:DESTINATION.
            start: where the search for the workspace's file begins, upwards; the current folder unless told.
            environ: environment variables (HOME, LAUNCHER_MOUNTS ...); those of this process unless told.

        Raises:
            UsageError: a flag that is not SOURCE:DESTINATION, or a file that is not a mounts file (with its line).
            PathError: a flag's source, or the file that LAUNCHER_MOUNTS names, does not exist.
        """
        variables = dict(os.environ if environ is None else environ)
        mounts = [_from_flag(flag, variables) for flag in flags]
        for path in _mount_files((start or Path.cwd()).resolve(), variables):
            found, envs = _from_file(path, variables)
            mounts += found
            variables = {**envs, **variables}
        return Mounts(tuple(mounts), variables)

    def resolve(self, path: str | Path) -> Path:
        """The path on this machine that `path` (of a spec, a flag or a script) means.

        It need not exist yet, and may be a glob pattern. Relative paths, and container paths that nothing covers,
        come back as they are; `explain` then has a sentence for the error. Not for URLs.

        Raises PathError where the mount that covers it has a source folder that does not exist.
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
        """Files that `pattern` means on this machine, sorted; a path that exists literally is just itself."""
        resolved = self.resolve(pattern)
        return [resolved] if _exists(resolved) else sorted(Path(match) for match in _matches(resolved))

    def explain(self, path: str | Path) -> str:
        """A sentence to add to an error about `path`; "" where the map has nothing to do with it.

        Advice to add a mount is given for paths below TAO's own `/workspace` alone, and not inside a container.
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
        """The reverse: how a spec would write `path` of this machine; the path itself where no mount holds it."""
        absolute = path.resolve()
        holders = [mount for mount in self.mounts if absolute.is_relative_to(mount.source)]
        if not holders:
            return str(path)
        mount = max(holders, key=lambda mount: len(mount.source.parts))
        return str(mount.destination / absolute.relative_to(mount.source).as_posix())

    def _covering(self, path: str) -> Mount | None:
        """The mount with the longest destination at or above `path`; the first of equal ones."""
        if not path.startswith("/"):
            return None
        normal = PurePosixPath(os.path.normpath(path))
        covering = [mount for mount in self.mounts if normal.is_relative_to(mount.destination)]
        return max(covering, key=lambda mount: len(mount.destination.parts), default=None)


def _stays(given: str, mapped: Path, mount: Mount) -> bool:
    """Whether `given` is used as it stands, and not what a file's `mount` makes of it."""
    destination = str(mount.destination)
    if not _exists(mount.source):  # as in a container, which has the file of the map and not the folder
        return _holds_files(given) or os.path.ismount(destination) or _holds_files(destination)
    if _exists(destination) and os.path.samefile(mount.source, destination):  # noqa: PTH121
        return True
    if _exists(mapped) or _matches(mapped):
        return False
    return _holds_files(given) or (_holds_files(destination) and not _holds_files(str(mount.source)))


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  (False, and no OSError, for a name that no file can have)


def _matches(pattern: str | Path) -> list[str]:
    """Files of this machine that a glob pattern means."""
    return glob.glob(str(pattern), recursive=True)  # noqa: PTH207  (Path.glob would find hidden files)


def _holds_files(place: str) -> bool:
    """True for a file, a folder with a file anywhere below it, and a pattern that means such a one."""
    for found in [place] if _exists(place) else _matches(place):
        if not os.path.isdir(found) or any(names for _, _, names in os.walk(found)):  # noqa: PTH112
            return True
    return False


def _mount_files(start: Path, variables: Mapping[str, str]) -> list[Path]:
    """The workspace's file and the user's, where they exist, each once."""
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
    """The entries of a list of that file, each checked to hold these two texts."""
    if not isinstance(rows, list):
        raise UsageError(f'{path}: "Envs" needs to be a list; found {rows!r}')
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in fields):
            raise UsageError(f'{path}: entry {number} needs "{fields[0]}" and "{fields[1]}", both text; found {row!r}')
        if "destination" in fields and not row["destination"].startswith("/"):
            raise UsageError(f"{path}: entry {number}: the destination {row['destination']!r} is not an absolute path")
    return list(rows)


def _expand(path: str, variables: Mapping[str, str]) -> str:
    """`~`, `$NAME` and `${NAME}` filled in; an unknown name stays as it is, so that the error shows it."""
    if path == "~" or path.startswith("~/"):
        path = variables.get("HOME", str(Path.home())) + path[1:]
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: variables.get(m[1] or m[2], m[0]), path)
