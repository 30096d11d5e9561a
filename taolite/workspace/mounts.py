"""Container paths on a machine without the container: `/workspace/tao-experiments/...` in specs and flags resolves.

The map is the one TAO's launcher reads (reference/detectnet_v2.md 2.9): a JSON file with a list `Mounts` of
`{"source", "destination"}`. It comes from `--mount SOURCE:DESTINATION` flags, from the workspace's own
`.tao_mounts.json` (the nearest one at or above the current folder), and from `~/.tao_mounts.json` (or the file that
LAUNCHER_MOUNTS names). The longest destination that covers a path wins; between equal ones, in that order.

Inside a container the paths exist, and are used as they are, whatever the files say; a flag is an order and always
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

from taolite.errors import PathError, UsageError

__all__ = ["MOUNTS_FILE", "Mount", "Mounts"]

MOUNTS_FILE = ".tao_mounts.json"


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
        if mount is None or (not mount.forced and _is_here(given, mount)):
            return Path(given)
        if not mount.source.exists():
            raise PathError(
                f"{mount.source}: {mount.origin} mounts this folder at {mount.destination}, and it does not exist; "
                "make it, or change the mount"
            )
        return mount.source / PurePosixPath(os.path.normpath(given)).relative_to(mount.destination)

    def glob(self, pattern: str | Path) -> list[Path]:
        """Files that `pattern` means on this machine, sorted; a path that exists literally is just itself."""
        resolved = self.resolve(pattern)
        if resolved.exists():
            return [resolved]
        matches = glob.glob(str(resolved), recursive=True)  # noqa: PTH207  (Path.glob would find hidden files)
        return sorted(Path(match) for match in matches)

    def explain(self, path: str | Path) -> str:
        """A sentence to add to an error about `path`; "" where the map has nothing to do with it."""
        given = _expand(str(path), self.variables)
        if not given.startswith("/") or Path(given).exists():
            return ""
        mount = self._covering(given)
        if mount is not None:
            here = self.resolve(path)
            return "" if str(here) == given else f"{given} is {here} on this machine, by {mount.origin}"
        root = PurePosixPath(*PurePosixPath(given).parts[:3])
        if Path(root).exists():
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


def _is_here(path: str, mount: Mount) -> bool:
    """True inside the container: the path exists, or the mount's destination does (for paths yet to be made)."""
    return Path(path).exists() or Path(mount.destination).is_dir()


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
    """The mounts and the `Envs` of one file."""
    text = path.read_text(encoding="utf-8")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg}); correct this line") from error
    rows = value.get("Mounts") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise UsageError(
            f'{path}: a list "Mounts" is needed, e.g. '
            '{"Mounts": [{"source": "~/tao", "destination": "/workspace/tao-experiments"}]}'
        )
    envs = {
        str(row["variable"]): str(row["value"]) for row in _rows(value.get("Envs", []), ("variable", "value"), path)
    }
    known = {**envs, **variables}
    mounts = []
    for row in _rows(rows, ("source", "destination"), path):
        source = (path.parent / _expand(row["source"], known)).resolve()
        mounts.append(Mount(source, PurePosixPath(os.path.normpath(row["destination"])), str(path)))
    return mounts, envs


def _rows(rows: Any, fields: tuple[str, str], path: Path) -> list[dict[str, str]]:
    """The entries of a list of that file, each checked to hold these two texts."""
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
