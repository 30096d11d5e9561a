"""The environment variable that holds a key. Every command begins with it, so nothing is imported here."""

from __future__ import annotations

import os

__all__ = ["KEY_VARIABLE", "take_variable", "variable"]

KEY_VARIABLE = "TAOLITE_KEY"

_taken: dict[str, str] = {}  # TAOLITE_KEY, where `take_variable` moved it out of the environment


def take_variable() -> None:
    """Move TAOLITE_KEY from the environment into this process's memory: processes that it starts do not inherit it.
    `find_key` finds it all the same."""
    if (value := os.environ.pop(KEY_VARIABLE, None)) is not None:
        _taken[KEY_VARIABLE] = value


def variable() -> str:
    """The value of TAOLITE_KEY, in the environment or taken out of it; "" if it is not set."""
    return os.environ.get(KEY_VARIABLE) or _taken.get(KEY_VARIABLE, "")
