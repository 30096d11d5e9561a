"""Pieces of a message: a number with its noun, and the known name that a misspelt word is nearest to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["counted", "nearest"]

_LONGEST_WORD = 100  # characters of a word that may be a known one misspelt


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "picture"), counted(2, "picture"), counted(2, "class", "classes")
    ('1 picture', '2 pictures', '2 classes')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean `x`?`, or "" if no known word is similar."""
    if len(word) > _LONGEST_WORD:
        return ""
    known = list(known)
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean `{by_lower[near[0]]}`?" if near else ""
