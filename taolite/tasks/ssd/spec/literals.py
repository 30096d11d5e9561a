"""Numbers and lists of numbers that TAO writes into strings: "[1.0, 2.0, 1.0/3.0]", "[(8, 8), (16, 16)]".

TAO evaluates such a string as Python. Here it is parsed: only numbers, + - * / between them, and lists or tuples are
allowed; names and calls are not.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Nested", "numbers", "parse", "rows"]

Nested: TypeAlias = "float | tuple[Nested, ...]"

_MOST = 10_000  # characters
_BETWEEN: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def parse(text: str) -> Nested:
    """Parse a number or a nested list; lists and tuples become tuples. Raises ValueError, with a reason, otherwise.

    >>> parse("[[1, 2.0], (1.0/4.0, -3)]")
    ((1.0, 2.0), (0.25, -3.0))
    """
    if len(text) > _MOST:
        raise ValueError(f"it is longer than {_MOST} characters")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("it is not closed, or not a list at all") from None
    except ZeroDivisionError:
        raise ValueError("it divides by 0") from None
    except OverflowError:
        raise ValueError("a number is too large") from None


def numbers(text: str) -> tuple[float, ...]:
    """A list of numbers. Raises ValueError."""
    found = parse(text)
    if isinstance(found, float):
        raise ValueError("it is a number, not a list")
    return tuple(_number(item) for item in found)


def rows(text: str) -> tuple[tuple[float, ...], ...]:
    """A list of lists of numbers. Raises ValueError."""
    found = parse(text)
    if isinstance(found, float):
        raise ValueError("it is a number, not a list of lists")
    return tuple(_row(item) for item in found)


def _row(item: Nested) -> tuple[float, ...]:
    if isinstance(item, float):
        raise ValueError(f"{item:g} stands where a list is needed")
    return tuple(_number(inner) for inner in item)


def _number(item: Nested) -> float:
    if not isinstance(item, float):
        raise ValueError("a list stands where a number is needed")
    return item


def _value(node: ast.expr) -> Nested:
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    return _arithmetic(node)


def _arithmetic(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        found = float(node.value)  # type: ignore[arg-type]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _arithmetic(node.operand)
        found = -inner if isinstance(node.op, ast.USub) else inner
    elif isinstance(node, ast.BinOp) and type(node.op) in _BETWEEN:
        found = _BETWEEN[type(node.op)](_arithmetic(node.left), _arithmetic(node.right))
    else:
        raise ValueError(f"`{ast.unparse(node)}` is no number")
    if not math.isfinite(found):
        raise ValueError("a number is too large")
    return found
