"""The keys of the API's functions, given as `-k` takes them."""

from __future__ import annotations

from typing import TypeAlias

from taolite.artifacts.keys import Key, find_key, find_key_if_given

__all__ = ["Secret", "opening_key", "sealing_key"]

Secret: TypeAlias = "str | Key | None"
"""A key, `@FILE` for the key in a file, or None for that of the variable TAOLITE_KEY."""


def opening_key(key: Secret) -> Key | None:
    """The key that opens a file; None where none is given. Raises PathError, UsageError for a bad `@FILE`."""
    return key if isinstance(key, Key) else find_key_if_given(key)


def sealing_key(key: Secret) -> Key:
    """The key that seals a file. Raises UsageError where none is given; as `opening_key`."""
    return key if isinstance(key, Key) else find_key(key)
