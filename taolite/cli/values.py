"""Types of arguments: numbers within bounds, true or false."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["amount", "count", "number", "truth"]


def count(least: int) -> Callable[[str], int]:
    """An argument type: whole numbers of at least `least`."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} needs to be a whole number, {least} or more")
        return int(text)

    return whole


def number(low: float, high: float | None, *, least: bool = False) -> Callable[[str], float]:
    """An argument type: numbers above `low` (with `least`, also `low` itself) and below `high`."""

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


def amount(text: str) -> float:
    """An argument type: a number above 0, with k, M or G for thousands, millions and thousand millions: `1.3M`."""
    scale = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower(), 1.0)
    try:
        value = float(text[:-1] if scale > 1 else text) * scale
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be a number above 0, such as 1300000 or 1.3M")
    return value


def truth(text: str) -> bool:
    """An argument type: true or false. train.py's scripts read every word as true, even `False`; this reads it as
    false."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be true or false")
    return text.lower() in ("true", "1", "yes")
