"""Remove the weakest channels from a trained model and save the smaller model, with the plan in its lineage."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from taolite import __version__
from taolite.artifacts.bundle import weights_hash, write_bundle
from taolite.artifacts.container import artifact_hash
from taolite.artifacts.keys import Key
from taolite.events import Cutting, Exploring, LayersFloored, Listener, silent
from taolite.files import refuse_replacing
from taolite.nn.arrays import state_arrays
from taolite.pruning.importance import Equalization, Normalizer
from taolite.pruning.plan import Plan, apply
from taolite.pruning.ranking import find_threshold, plan
from taolite.stages.trained import Trained
from taolite.tasks.registry import find

__all__ = ["PruneReport", "PruneSettings", "prune"]


@dataclass(frozen=True)
class PruneSettings:
    """TAO's flags. `target` is ours: the fraction of the parameters to keep, from which the threshold is found."""

    threshold: float = 0.1
    normalizer: Normalizer = "max"
    equalization: Equalization = "union"
    granularity: int = 8
    min_filters: int = 16
    excluded: tuple[str, ...] = ()
    target: float | None = None


@dataclass(frozen=True)
class PruneReport:
    """What was removed: the plan, the threshold used, the number of trainable parameters before and after, and the file
    of the smaller model. The plan's ratio also counts the moving statistics of batch norms, as TAO does."""

    output: Path
    plan: Plan
    threshold: float
    megabytes: float
    parameters_before: int
    parameters_after: int


def prune(
    model: Trained, output: Path, *, key: Key, settings: PruneSettings, listener: Listener = silent
) -> PruneReport:
    """Prune a trained model and write it to exactly `output` (reference 9), which must not be the model itself. Raises
    UsageError, ModelError, PathError, StorageError."""
    refuse_replacing(model.source, output)
    bundle = model.bundle
    task = find(bundle.task)
    network = task.network(bundle)
    listener(Exploring())
    example = torch.zeros(1, bundle.preprocessing.channels, *bundle.preprocessing.input_hw)
    common: dict[str, Any] = {
        "normalizer": settings.normalizer,
        "equalization": settings.equalization,
        "granularity": settings.granularity,
        "min_filters": settings.min_filters,
        "excluded": settings.excluded,
        "heads": task.heads,
    }
    threshold = settings.threshold
    if settings.target is not None:
        threshold = find_threshold(network, example, target=settings.target, **common)
    made = plan(network, example, threshold=threshold, **common)
    floored = [name for name, kept in made.kept.items() if len(kept) == settings.min_filters < made.depths[name]]
    if 2 * len(floored) > len(made.kept):
        listener(LayersFloored(len(floored), len(made.kept), settings.min_filters))
    listener(Cutting())
    smaller = apply(network, made)
    step = {
        "stage": "prune",
        "parent": artifact_hash(model.source),
        "parent_weights": weights_hash(bundle.tensors),  # stays when the model is sealed with another key
        "parent_file": _seen_from(output.parent, model.source),
        "taolite": __version__,
        "settings": dict(made.settings),
        "ratio": made.ratio,
        "parameters": smaller.parameter_count,
    }
    pruned = replace(
        bundle,
        architecture=smaller.architecture(),
        tensors=state_arrays(smaller),
        lineage=(*bundle.lineage, step),
    )
    write_bundle(output, pruned, key=key)
    megabytes = output.stat().st_size / 1e6
    return PruneReport(output, made, threshold, megabytes, network.parameter_count, smaller.parameter_count)


def _seen_from(folder: Path, file: Path) -> str:
    """The path of `file` from `folder`, so that it still leads there when both are moved or mounted elsewhere."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return file.absolute().as_posix()
