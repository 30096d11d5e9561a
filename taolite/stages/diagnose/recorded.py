"""What the folder of a run records, for a diagnosis: the experiment, its scores and its costs. No model is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from taolite.diagnosis import Answers, Cause, Loaded
from taolite.errors import PathError
from taolite.stages.diagnose.diagnose import diagnose
from taolite.tasks.base import Experiment, Resolve
from taolite.tasks.registry import find
from taolite.workspace.catalog import RunRecord, read_run

__all__ = ["Recorded", "diagnose_run", "read_experiment"]


@dataclass(frozen=True)
class Recorded:
    """A run and its causes, likeliest first. answers: whether scores.json holds the network's answers, without which
    thresholds cannot be compared."""

    run: RunRecord
    experiment: Experiment
    causes: tuple[Cause, ...]
    answers: bool


def read_experiment(run: RunRecord, *, resolve: Resolve = Path) -> Experiment:
    """The experiment of a run, from its resolved spec. Raises PathError, SpecError, DataError."""
    path = run.folder / "experiment_spec.txt"
    if not path.is_file():
        raise PathError(f"{path}: no such file; it is the spec of the run, and is needed to look at its data")
    classes = run.run.get("classes")
    return find(run.task).read(path, resolve=resolve, classes=tuple(classes) if classes else None).model


def diagnose_run(folder: Path, *, resolve: Resolve = Path) -> Recorded:
    """Diagnose a run from its records and its labels. Raises PathError, SpecError, DataError."""
    run = read_run(folder)
    card = run.scorecard or {}
    inner = card.get("card")
    answers, confusion = _answers(card.get("answers")), inner.get("confusion", ()) if isinstance(inner, Mapping) else ()
    experiment = read_experiment(run, resolve=resolve)
    found = diagnose(
        experiment,
        answers=answers,
        score=run.score,
        confusion=confusion,
        rows=run.rows,
        random_start="parent" in run.run and not run.run["parent"],
        loaded=Loaded.from_json(run.manifest.get("loaded")),
    )
    if run.state == "failed":
        found.insert(0, Cause("failed", "training", 1.0, {"message": str(run.status[-1].get("message", ""))}))
    return Recorded(run, experiment, tuple(found), bool(answers))


def _answers(found: Any) -> dict[str, Answers]:
    """The answers that scores.json holds; empty where an earlier version wrote it."""
    names = {field.name for field in fields(Answers)}
    if not isinstance(found, Mapping) or not all(
        isinstance(one, Mapping) and names <= set(one) for one in found.values()
    ):
        return {}
    return {
        str(name): Answers(tuple(one["on_objects"]), tuple(one["elsewhere"]), tuple(one["overlaps"]), one["results"])
        for name, one in found.items()
    }
