"""Runs side by side: their curves and scores, and the fields in which their specs differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taolite.spec.flat import Plain
from taolite.stages.experiments.compare import differences, flat_spec
from taolite.workspace.catalog import RunRecord

__all__ = ["compared"]


def compared(records: Sequence[RunRecord]) -> dict[str, Any]:
    """`runs`: rows of metrics and scores of each; `spec`: the fields that are not the same in all specs, in order:
    [{path, values}], a value for each run, None where it is not set."""
    runs = [{"rows": one.rows, "scores": one.scores, "parameters": one.manifest.get("parameters")} for one in records]
    rows = differences([flat_spec(one) for one in records])
    return {"runs": runs, "spec": [{"path": row.name, "values": list(map(_shown, row.values))} for row in rows]}


def _shown(value: Plain | None) -> str | None:
    """A value as a spec has it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
