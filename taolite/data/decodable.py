"""Whether every picture of a split can be decoded, found out before training starts instead of in the middle of it.

A header tells nothing of a file that was cut short, so every picture is decoded once. What was found to be good is
kept by path, size and time of change in the user's cache folder (`$XDG_CACHE_HOME/taolite`); a file that has changed
since is looked at again. Pictures in tar files are not looked at here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from taolite.cores import usable
from taolite.data.examples import Examples
from taolite.errors import PathError, PictureError, StorageError
from taolite.files import open_file, write_text
from taolite.formats.packed import pack
from taolite.pictures import read_rgb

__all__ = ["MOST", "listed", "undecodable", "without"]

MOST = 50_000
"""Pictures of a split that are decoded before training; a larger one takes too long for it."""

Known = dict[str, list[int]]


def undecodable(
    examples: Examples, *, most: int = MOST, tick: Callable[[int, int], None] = lambda done, total: None
) -> dict[Path, str]:
    """The pictures that cannot be decoded, and why, in the order of the examples; none of a split of more than `most`.

    `tick` hears how many of how many have been looked at.
    """
    paths = [sample.image for source in examples.sources if source.pictures is None for sample in source.samples]
    if len(paths) > most:
        return {}
    place = _cache_folder() / f"pictures-{examples.content_hash()[:32]}.json"
    known = _read(place)
    new = [path for path in dict.fromkeys(paths) if known.get(str(path)) != _stamp(path)]
    broken: dict[Path, str] = {}
    with ThreadPoolExecutor(usable()) as pool:
        for done, (path, problem) in enumerate(zip(new, pool.map(_problem, new), strict=True), start=1):
            if problem:
                broken[path] = problem
            elif (stamp := _stamp(path)) is not None:
                known[str(path)] = stamp
            tick(done, len(new))
    if new:
        with suppress(StorageError, PathError):  # it is a cache: the next run decodes again
            write_text(place, json.dumps(known, ensure_ascii=True))
    return broken


def without(examples: Examples, pictures: Mapping[Path, str]) -> Examples:
    """The same split without these pictures."""
    sources = [
        replace(source, samples=pack([one for one in source.samples if one.image not in pictures]))
        for source in examples.sources
    ]
    return replace(examples, sources=sources)


def _problem(path: Path) -> str:
    """Why a picture cannot be decoded, "" where it can."""
    try:
        read_rgb(path)
    except (PathError, PictureError) as error:
        return str(error)
    return ""


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def _read(place: Path) -> Known:
    """What an earlier run kept; nothing where the file is missing or is not one."""
    try:
        with open_file(place) as stream:
            found = json.loads(stream.read())
    except (PathError, OSError, ValueError, RecursionError):
        return {}
    return dict(_entries(found)) if isinstance(found, dict) else {}


def _entries(found: Mapping[str, object]) -> Iterator[tuple[str, list[int]]]:
    for name, stamp in found.items():
        if isinstance(stamp, list) and len(stamp) == 2 and all(type(value) is int for value in stamp):
            yield name, stamp


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "taolite"


def listed(broken: Mapping[Any, str], *, shown: int = 20) -> Sequence[str]:
    """The reasons, the first `shown` of them."""
    rows = list(broken.values())
    return rows[:shown] + ([f"and {len(rows) - shown} more"] if len(rows) > shown else [])
