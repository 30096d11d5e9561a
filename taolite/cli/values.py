"""Types of arguments: numbers within bounds, truth values."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["count", "number", "truth"]


def count(least: int) -> Callable[[str], int]:
    """Whole numbers from `least` on, as an argument's type."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} needs to be a whole number, {least} or more")
        return int(text)

    return whole


def number(low: float, high: float | None, *, least: bool = False) -> Callable[[str], float]:
    """Numbers above `low`, or from it on with `least`, below `high`, as an argument's type."""

    def real(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not (low < value or (least and value == low)) or (high is not None and value >= high):
            lower = f"{low:g} or more" if least else f"more than {low:g}"
            upper = "" if high is None else f" and less than {high:g}"
            raise argparse.ArgumentTypeError(f"{text} needs to be {lower}{upper}")
        return value

    return real


def truth(text: str) -> bool:
    """train.py's scripts take every word for yes, `False` too; here it says what it means."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be true or false")
    return text.lower() in ("true", "1", "yes")
