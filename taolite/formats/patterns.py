"""Which files a spec's pattern names: on a disk and in an object store those that match, on a web server those that
are counted."""

from __future__ import annotations

import glob
import re

from taolite.errors import PathError
from taolite.formats import stores
from taolite.formats.ranges import is_url

__all__ = ["named"]


def named(pattern: str, *, missing: str) -> list[str]:
    """The files of a pattern, sorted: `{000..009}` counts, and on a disk or in an object store `*`, `?` and `[...]`
    match.

    Raises PathError where a pattern matches nothing, which `missing` goes on about, or one on a web server would have
    to be matched; for an object store what `stores.glob` raises.

    >>> named("https://host/train-{08..10}-of-011", missing="; correct the path")
    ['https://host/train-08-of-011', 'https://host/train-09-of-011', 'https://host/train-10-of-011']
    """
    counted = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if counted:
        first, last = counted.groups()
        numbers = range(int(first), int(last) + 1)
        before, after = pattern[: counted.start()], pattern[counted.end() :]
        names = (f"{before}{number:0{len(first)}d}{after}" for number in numbers)
        found = [name for spelled in names for name in named(spelled, missing=missing)]
    elif stores.is_stored(pattern):
        found = stores.glob(pattern) if any(mark in pattern for mark in "*?[") else [pattern]
    elif is_url(pattern):
        if "*" in pattern:
            raise PathError(
                f"{pattern}: a server's files cannot be listed; count them instead, as in "
                f"{pattern.replace('*', '{000..009}', 1)}"
            )
        found = [pattern]
    else:
        found = sorted(glob.glob(pattern))  # noqa: PTH207  (the pattern may be absolute)
    if not found:
        raise PathError(f"No files match pattern {pattern}{missing}")
    return found
