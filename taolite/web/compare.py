"""Runs side by side: their curves and scores, and the fields in which their specs differ."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from taolite import spec as specs
from taolite.errors import SpecError
from taolite.spec.flat import Plain, flatten, flatten_text
from taolite.workspace.catalog import RunRecord

__all__ = ["compared", "differences"]

_MODELS = {"detectnet": "DetectNetSpec", "classification": "ClassificationSpec", "ssd": "SsdSpec"}


def compared(records: Sequence[RunRecord]) -> dict[str, Any]:
    """`runs`: rows of metrics and scores of each; `spec`: the `differences` of their specs."""
    runs = [{"rows": one.rows, "scores": one.scores, "parameters": one.manifest.get("parameters")} for one in records]
    return {"runs": runs, "spec": differences([_fields(one) for one in records])}


def differences(fields: Sequence[Mapping[str, Plain]]) -> list[dict[str, Any]]:
    """The fields that are not the same in all specs, in the order of the specs: [{path, values}], a value for each
    spec, None where it is not set.

    >>> differences([{"a.b": 1, "a.c": 2}, {"a.b": 1, "a.c": 3, "d": "x"}])
    [{'path': 'a.c', 'values': ['2', '3']}, {'path': 'd', 'values': [None, 'x']}]
    """
    paths = dict.fromkeys(path for one in fields for path in one)
    rows = [{"path": path, "values": [_shown(one.get(path)) for one in fields]} for path in paths]
    return [row for row in rows if len(set(row["values"])) > 1]


def _fields(record: RunRecord) -> Mapping[str, Plain]:
    """The fields of a run's spec, those that are not given with their default; of a spec that this version does not
    read, those of its text."""
    if record.task in _MODELS:
        module = importlib.import_module(f"taolite.tasks.{record.task}.spec")
        with suppress(SpecError):
            return flatten(specs.loads(record.spec, getattr(module, _MODELS[record.task])))
    return flatten_text(record.spec)


def _shown(value: Plain | None) -> str | None:
    """A value as a spec has it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
