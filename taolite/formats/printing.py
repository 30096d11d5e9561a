"""Foreign text in messages: safe on a terminal, and on one line."""

from __future__ import annotations

import unicodedata

__all__ = ["is_control", "printable"]

_UNPRINTED = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line and paragraph separators
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they reverse the text around them


def printable(text: str) -> str:
    r"""A text with its control characters as `\x1b`, `\n`, `\ud800`.

    >>> printable("cat\x1b[2J\nA")
    'cat\\x1b[2J\\nA'
    """
    if text.isprintable():
        return text
    return "".join(letter.encode("unicode_escape").decode() if is_control(letter) else letter for letter in text)


def is_control(letter: str) -> bool:
    """Whether a character controls a terminal or the line it stands in, rather than being read."""
    return letter in _TURNING or unicodedata.category(letter) in _UNPRINTED
