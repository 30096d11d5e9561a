"""Which files a spec's pattern names: on a disk those that match, behind an address those that are counted."""

from __future__ import annotations

import glob
import re

from taolite.errors import PathError
from taolite.formats.ranges import is_url

__all__ = ["named"]


def named(pattern: str, *, missing: str) -> list[str]:
    """The files of a pattern, sorted: `{000..009}` counts, and on a disk `*`, `?` and `[...]` match.

    Raises PathError where a pattern on a disk matches nothing, which `missing` goes on about, or one behind an address
    would have to be matched.

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
