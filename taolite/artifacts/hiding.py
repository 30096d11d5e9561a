"""Take a key out of what other processes can see of this one: its command line and its environment.

Linux shows both in /proc/PID, from the memory where the kernel put them when the process began. `hide_words` and
`hide_variable` write over that memory. The time from the start of the process until then, about 0.1 s, stays. Other
systems, and a /proc that may not be written to, keep showing both; the functions then return False.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["hide_variable", "hide_words"]

_STAT, _MEMORY = Path("/proc/self/stat"), Path("/proc/self/mem")
_ARGUMENTS, _ENVIRONMENT = 48, 50  # fields of proc(5)'s stat: where each begins; the next field is where it ends


def hide_words(hidden: Callable[[Sequence[str]], Sequence[str]]) -> bool:
    """Replace the words of this process's command line by `hidden` of them, none of which may be longer."""

    def replaced(region: bytes) -> bytes:
        words = [os.fsdecode(word) for word in region.rstrip(b"\0").split(b"\0")]
        return b"\0".join(map(os.fsencode, hidden(words)))

    return _rewrite(_ARGUMENTS, replaced)


def hide_variable(name: str) -> bool:
    """Wipe the variable from the memory in which the environment came to this process; `os.environ` stays as it is."""

    def replaced(region: bytes) -> bytes:
        begin = os.fsencode(name) + b"="
        words = region.split(b"\0")
        return b"\0".join(bytes(len(word)) if word.startswith(begin) else word for word in words)

    return _rewrite(_ENVIRONMENT, replaced)


def _rewrite(field: int, replaced: Callable[[bytes], bytes]) -> bool:
    """Replace a region of memory; True if the system showed it and it was changed as asked."""
    try:
        fields = _STAT.read_bytes().rpartition(b") ")[2].split()  # the first is field 3
        begin, end = int(fields[field - 3]), int(fields[field - 2])
        with open(_MEMORY, "r+b", buffering=0) as memory:
            memory.seek(begin)
            region = memory.read(end - begin)
            new = replaced(region).ljust(len(region), b"\0")
            if len(new) > len(region):
                return False
            memory.seek(begin)
            return memory.write(new) == len(new)
    except (OSError, ValueError, IndexError):  # no Linux, or a system that shows or gives nothing
        return False
