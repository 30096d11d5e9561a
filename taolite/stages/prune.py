"""Cut the weakest channels out of a trained model and save the smaller one, with the plan in its lineage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from taolite import __version__
from taolite.artifacts.bundle import read_bundle, write_bundle
from taolite.artifacts.container import artifact_hash
from taolite.artifacts.keys import Key
from taolite.events import Listener, Notice, silent
from taolite.files import refuse_replacing
from taolite.nn.arrays import state_arrays
from taolite.pruning.importance import Equalization, Normalizer
from taolite.pruning.plan import Plan, apply, find_threshold, plan
from taolite.tasks import base

__all__ = ["PruneReport", "PruneSettings", "prune"]


@dataclass(frozen=True)
class PruneSettings:
    """TAO's flags. `target` is ours: the share of the parameters to keep, from which the threshold is found."""

    threshold: float = 0.1
    normalizer: Normalizer = "max"
    equalization: Equalization = "union"
    granularity: int = 8
    min_filters: int = 16
    excluded: tuple[str, ...] = ()
    target: float | None = None


@dataclass(frozen=True)
class PruneReport:
    """What was cut: the plan, the threshold that was used, and where the smaller model lies."""

    output: Path
    plan: Plan
    threshold: float
    megabytes: float


def prune(model: Path, output: Path, *, key: Key, settings: PruneSettings, listener: Listener = silent) -> PruneReport:
    """Prune the `.tlt` at `model` into exactly `output` (reference 9), which cannot be `model` itself.

    Raises PathError, ArtifactError, UsageError.
    """
    refuse_replacing(model, output)
    bundle = read_bundle(model, key=key)
    task = base.find(bundle.task)
    network = task.network(bundle)
    listener(Notice("Exploring graph for retainable indices"))
    example = torch.zeros(1, bundle.preprocessing.channels, *bundle.preprocessing.input_hw)
    common = {
        "normalizer": settings.normalizer,
        "equalization": settings.equalization,
        "granularity": settings.granularity,
        "min_filters": settings.min_filters,
        "excluded": settings.excluded,
        "heads": task.heads(),
    }
    threshold = settings.threshold
    if settings.target is not None:
        threshold = find_threshold(network, example, target=settings.target, **common)  # type: ignore[arg-type]
    made = plan(network, example, threshold=threshold, **common)  # type: ignore[arg-type]
    floored = [name for name, kept in made.kept.items() if len(kept) == settings.min_filters < made.depths[name]]
    if 2 * len(floored) > len(made.kept):
        listener(
            Notice(
                f"{len(floored)} of {len(made.kept)} layers are cut to the minimum of {settings.min_filters} filters, "
                "and such a network seldom learns its way back; a greater -nf spreads the cut",
                "warning",
            )
        )
    listener(Notice("Pruning model and appending pruned nodes to new graph"))
    smaller = apply(network, made)
    step = {
        "stage": "prune",
        "parent": artifact_hash(model),
        "taolite": __version__,
        "settings": dict(made.settings),
        "ratio": made.ratio,
        "parameters": made.parameters_after,
    }
    pruned = replace(
        bundle,
        architecture=task.architecture(smaller),
        tensors=state_arrays(smaller),
        lineage=(*bundle.lineage, step),
    )
    write_bundle(output, pruned, key=key)
    return PruneReport(output, made, threshold, output.stat().st_size / 1e6)
