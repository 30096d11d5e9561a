"""What is fuzzed: a target mutates bytes, and reads them as a user's command would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

__all__ = ["GROUPS", "Reader", "Target"]

GROUPS = ("containers", "specs and labels", "pictures", "weights", "records, caches and models")


@dataclass(frozen=True)
class Reader:
    """A target, prepared in a folder of its own.

    mutate: a mutation of one of the seeds; the generator alone decides which. read: reads these bytes, and returns or
    raises. where: stands in every message, as the user's file would. secret: stands in none.
    """

    mutate: Callable[[Random], bytes]
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    where: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Target:
    """A row of the table in `targets`.

    make: prepares it in an empty folder; imports what it needs. share: its part of the group's cases, relative to the
    other targets. most_mib: the rise of resident memory that reading may cause.
    """

    name: str
    group: str
    make: Callable[[Path], Reader]
    share: int = 1
    most_mib: int = 256
