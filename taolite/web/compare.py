"""Runs side by side: their curves and scores, and the fields in which their specs differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from taolite.spec.text import Block, Scalar, parse
from taolite.workspace.catalog import RunRecord

__all__ = ["compared", "differences"]

_NAMES = ("key", "name")  # fields by which blocks of one name are told apart


def compared(records: Sequence[RunRecord]) -> dict[str, Any]:
    """`runs`: rows of metrics and scores of each; `spec`: the `differences` of their specs."""
    runs = [{"rows": one.rows, "scores": one.scores, "parameters": one.manifest.get("parameters")} for one in records]
    return {"runs": runs, "spec": differences([one.spec for one in records])}


def differences(specs: Sequence[str]) -> list[dict[str, Any]]:
    """The fields that are not the same in all specs, in the order of the specs: [{path, values}], a value for each
    spec as it is written, None where it is not set.

    >>> differences(["a { b: 1 c: 2 }", "a { b: 1 c: 3 } d: 4"])
    [{'path': 'a.c', 'values': ['2', '3']}, {'path': 'd', 'values': [None, '4']}]
    """
    fields = [dict(_fields(parse(spec).root)) for spec in specs]
    paths = dict.fromkeys(path for one in fields for path in one)
    rows = [{"path": path, "values": [one.get(path) for one in fields]} for path in paths]
    return [row for row in rows if len(set(row["values"])) > 1]


def _fields(block: Block, before: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every field; blocks of one name have the name inside them, or their number, in brackets."""
    many = Counter(entry.name for entry in block.entries for _ in entry.values)
    seen = Counter[str]()
    for entry in block.entries:
        for value in entry.values:
            path = f"{before}{entry.name}"
            if many[entry.name] > 1:
                path += f"[{_name_of(value) or seen[entry.name]}]"
            seen[entry.name] += 1
            if isinstance(value, Scalar):
                yield path, " ".join(token.text for token in value.tokens)
            else:
                yield from _fields(value, f"{path}.")


def _name_of(value: Block | Scalar) -> str:
    if isinstance(value, Scalar):
        return ""
    named = (one.values[0] for one in value.entries if one.name in _NAMES and one.values)
    return next((one.text.strip("\"'") for one in named if isinstance(one, Scalar)), "")
