"""Command-line words as jetson-inference's C++ code reads them out of `sys.argv` (reference/jetson_workflows.md 8).

Names are compared without case, and `_` is `-`. Flags of others, which a script has too, are passed over. Two things
are kinder than in C++: `--flag value` is read as `--flag=value` for a flag that has a value, and a flag needs its whole
name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from taolite.errors import UsageError

__all__ = ["Words"]


class Words:
    """The flags and the other words of a command line.

    Args:
        words: `sys.argv`, or a list of flags alone. A first word that is no flag is the program's name.
        valued: the flags that have a value, in small letters with hyphens.
    """

    def __init__(self, words: Sequence[str] | None, valued: Collection[str]) -> None:
        self._flags: dict[str, str] = {}
        self.places: list[str] = []
        rest = list(words or ())
        if rest and not rest[0].startswith("-"):
            rest = rest[1:]
        while rest:
            word = rest.pop(0)
            if not word.startswith("--"):
                self.places.append(word)
                continue
            name, equals, value = word[2:].partition("=")
            name = name.lower().replace("_", "-")
            if not equals and name in valued and rest and not rest[0].startswith("--"):
                value = rest.pop(0)
            self._flags[name] = value

    def has(self, *names: str) -> bool:
        """Whether one of the flags is given."""
        return any(name in self._flags for name in names)

    def text(self, *names: str, default: str = "") -> str:
        """The value of the first of the flags that is given and not empty."""
        return next((self._flags[name] for name in names if self._flags.get(name)), default)

    def number(self, *names: str, default: float) -> float:
        """As `text`, as a number. Raises UsageError where it is none."""
        text = self.text(*names)
        try:
            return float(text) if text else default
        except ValueError as error:
            raise UsageError(f"--{names[0]}: {text!r} is no number") from error
