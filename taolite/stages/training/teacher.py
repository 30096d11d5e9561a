"""The teacher of a run: found, checked against what it teaches, and opened.

A teacher has the task, classes and input of the run, and its outputs have the same meaning. Where the spec names no
file, the teacher is the model that the run's pruned model was made from: `prune` wrote its hash and its path into the
lineage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from taolite.artifacts.bundle import Bundle, weights_hash
from taolite.artifacts.container import artifact_hash
from taolite.artifacts.keys import Key
from taolite.errors import ModelError, PathError
from taolite.nn.network import TaskNetwork
from taolite.stages.agree import agree
from taolite.stages.trained import open_trained
from taolite.tasks.base import Experiment, Start

__all__ = ["Teacher", "open_teacher"]

_WAY_OUT = "Name another model in taolite.teacher.model, or leave the block teacher out"


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode, without gradients.

    Attributes:
        file: where it was read from.
        weights: the hash of its weights (`weights_hash`).
        weight, temperature: of the spec's `teacher`.
    """

    network: TaskNetwork
    file: Path
    weights: str
    weight: float
    temperature: float


def open_teacher(experiment: Experiment, start: Start, *, key: Key | None) -> Teacher | None:
    """The teacher of an experiment that begins with `start`; None where the experiment has none. `key` opens it.

    Raises PathError, ArtifactError; ModelError for a model that cannot teach here.
    """
    teaching = experiment.teaching
    if teaching is None:
        return None
    parent = _parent(experiment, start) if teaching.model is None else None
    file = teaching.model or _beside(start, parent or {})
    model = open_trained(file, key=key, of=experiment.task.name)
    weights = weights_hash(model.bundle.tensors)
    if parent is not None and weights != parent.get("parent_weights") and artifact_hash(file) != parent["parent"]:
        raise ModelError(
            f"{file}: this is not the model that {start.file} was pruned from (hash {artifact_hash(file)[:12]}, "
            f"recorded {str(parent['parent'])[:12]}). Name the teacher in taolite.teacher.model"
        )
    agree(experiment, model, way_out=_WAY_OUT)
    network = experiment.task.network(model.bundle).eval().requires_grad_(False)
    differences = [*experiment.against_teacher(model.bundle), *_shapes(network, model.bundle, start)]
    if differences:
        raise ModelError(f"{file}: this model cannot teach {experiment.source}: {'; '.join(differences)}. {_WAY_OUT}")
    return Teacher(network, file, weights, teaching.weight, teaching.temperature)


def _parent(experiment: Experiment, start: Start) -> Mapping[str, object]:
    """The last pruning in the lineage of `start`."""
    for step in reversed(start.lineage):
        if step.get("stage") == "prune":
            return step
    raise ModelError(
        f"{experiment.source}: taolite.teacher names no model, and training does not start from a pruned one, whose "
        "parent it would be. Name the teacher in taolite.teacher.model"
    )


def _beside(start: Start, parent: Mapping[str, object]) -> Path:
    """Where the parent lies, seen from the pruned model."""
    recorded, pruned = parent.get("parent_file"), start.file
    assert pruned is not None, "a lineage comes from a file"
    way_out = "Name the teacher in taolite.teacher.model"
    if not recorded:
        raise PathError(f"{pruned}: an earlier taolite pruned this model and did not record the file. {way_out}")
    file = Path(os.path.normpath(pruned.parent / str(recorded)))  # by names, as `prune` computed it: links stay
    if not file.is_file():
        digest = str(parent["parent"])[:12]
        raise PathError(f"{file}: no such file; {pruned} was pruned from it (hash {digest}). {way_out}")
    return file


def _shapes(network: TaskNetwork, bundle: Bundle, start: Start) -> list[str]:
    """What differs in the shapes of the outputs, for one image."""
    preprocessing = bundle.preprocessing
    with torch.no_grad():
        outputs = network.training_outputs(torch.zeros(1, preprocessing.channels, *preprocessing.input_hw))
    found = tuple(tuple(output.shape[1:]) for output in outputs)
    return (
        [] if found == start.shapes else [f"its outputs are {_listed(found)} and the network's {_listed(start.shapes)}"]
    )


def _listed(shapes: tuple[tuple[int, ...], ...]) -> str:
    return " and ".join(" x ".join(map(str, shape)) for shape in shapes)
