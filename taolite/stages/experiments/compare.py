"""What two or more runs have in common, and what not: spec field by field, data, start, versions, scores, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from taolite import spec as specs
from taolite.errors import SpecError, UsageError
from taolite.spec.flat import Plain, flatten, flatten_text
from taolite.spec.model import SpecModel
from taolite.tasks.registry import find_spec
from taolite.workspace.catalog import RunRecord

__all__ = [
    "Comparison",
    "Difference",
    "ScoreRow",
    "compare",
    "differences",
    "facts_of",
    "flat_spec",
    "model_of",
    "scores_of",
    "seconds_of",
]


@dataclass(frozen=True)
class Difference:
    """A field of the specs, or a fact of the runs, that is not the same in all: one value a run, None for none."""

    name: str
    values: tuple[Plain | None, ...]


@dataclass(frozen=True)
class ScoreRow:
    """A score, 0..1, of each run; None where it has none. of_class: "" for one of all classes."""

    metric: str
    of_class: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. same: number of spec fields that all runs share with the same value. seconds: of training."""

    runs: tuple[RunRecord, ...]
    spec: tuple[Difference, ...]
    same: int
    facts: tuple[Difference, ...]
    scores: tuple[ScoreRow, ...]
    seconds: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "runs": [str(run.folder) for run in self.runs],
            "spec": [asdict(one) for one in self.spec],
            "same_fields": self.same,
            "facts": [asdict(one) for one in self.facts],
            "scores": [asdict(one) for one in self.scores],
            "seconds": list(self.seconds),
        }


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Compare two runs or more."""
    flat = [flat_spec(run) for run in runs]
    spec = differences(flat)
    return Comparison(
        tuple(runs),
        spec,
        len({path for one in flat for path in one}) - len(spec),
        differences([facts_of(run) for run in runs]),
        _scores(runs),
        tuple(seconds_of(run) for run in runs),
    )


def flat_spec(run: RunRecord) -> Mapping[str, Plain]:
    """The fields of a run's spec by path, defaults filled in; of a spec that this version does not read, its text's."""
    if (model := model_of(run.task)) is not None:
        with suppress(SpecError):  # of a later version
            return flatten(specs.loads(run.spec, model))
    return flatten_text(run.spec)


def model_of(task: str) -> type[SpecModel] | None:
    """The model of a task's training spec; None for a task that this version does not have."""
    try:
        return find_spec(task)
    except UsageError:
        return None


def facts_of(run: RunRecord) -> dict[str, Plain]:
    """What a run's result depends on beside its spec, by the words of a reader; facts that are unknown are left out."""
    manifest, classes = run.manifest, run.run.get("classes")
    device, hardware, versions = (_object(manifest.get(name)) for name in ("device", "hardware", "versions"))
    named = {
        "task": run.task,
        "classes": ", ".join(classes) if isinstance(classes, list) and all(isinstance(n, str) for n in classes) else "",
        "data": str(run.run.get("data_hash", ""))[:12],
        "start model": str(run.run.get("parent", ""))[:12],
        "teacher": str(run.run.get("teacher", ""))[:12],
        "seed": manifest.get("seed"),
        "images a step": manifest.get("batch_size"),
        "parameters": manifest.get("parameters"),
        "device": "processor" if device and device.get("gpu") is None else device.get("name"),
        "number format": device.get("dtype"),
        "threads": device.get("threads"),
        "processor": hardware.get("processor"),
        **{str(name): value for name, value in versions.items()},
    }
    return {name: value for name, value in named.items() if isinstance(value, (str, int)) and value != ""}


def scores_of(run: RunRecord) -> dict[tuple[str, str], float]:
    """The scores of a run, 0..1, by (metric, class), the main one first: of the final validation or, before the end, of
    the newest one."""
    newest: Mapping[str, Any] = next((row for row in reversed(run.rows) if run.metric in row), {})
    named = run.scores if run.metric in run.scores else newest
    found: dict[tuple[str, str], float] = {}
    for metric in sorted(named, key=lambda name: (name != run.metric, isinstance(named[name], dict), name)):
        value = named[metric]
        rows = (
            {(metric, str(name)): one for name, one in value.items()}
            if isinstance(value, dict)
            else {(metric, ""): value}
        )
        if metric not in ("epoch", "validation_cost"):
            found |= {key: float(one) for key, one in rows.items() if isinstance(one, (int, float))}
    return found


def seconds_of(run: RunRecord) -> float | None:
    """Seconds that the epochs of a run took, without validations; None before the first one ended."""
    found = [row["seconds"] for row in run.rows if isinstance(row.get("seconds"), (int, float))]
    return float(sum(found)) if found else None


def differences(sides: Sequence[Mapping[str, Plain]]) -> tuple[Difference, ...]:
    """The fields that are not the same on all sides, in their order."""
    names = list(dict.fromkeys(name for side in sides for name in side))
    rows = (Difference(name, tuple(side.get(name) for side in sides)) for name in names)
    return tuple(row for row in rows if any(value != row.values[0] for value in row.values))


def _scores(runs: Sequence[RunRecord]) -> tuple[ScoreRow, ...]:
    sides = [scores_of(run) for run in runs]
    names = list(dict.fromkeys(name for side in sides for name in side))
    return tuple(ScoreRow(*name, tuple(side.get(name) for side in sides)) for name in names)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
