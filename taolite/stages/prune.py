"""Remove the weakest channels from a trained model and save the smaller model, with the plan in its lineage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from taolite import __version__
from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.keys import Key
from taolite.events import Cutting, Exploring, LayersFloored, Listener, silent
from taolite.files import refuse_replacing
from taolite.nn.arrays import state_arrays
from taolite.pruning.plan import Plan, apply
from taolite.stages.pruning.descent import descent, note_pruned
from taolite.stages.pruning.judge import open_judge
from taolite.stages.pruning.settings import PruneSettings, chosen, ranked, target_of
from taolite.stages.trained import Trained
from taolite.tasks.base import Experiment
from taolite.tasks.registry import find

__all__ = ["PruneReport", "PruneSettings", "prune"]

_FEW = 8  # validation images that are checked where only training data is needed


@dataclass(frozen=True)
class PruneReport:
    """What was removed: the plan, the threshold used, the number of trainable parameters before and after, and the file
    of the smaller model. The plan's ratio also counts the moving statistics of batch norms, as TAO does. macs:
    multiply-accumulates for one image. reading: what the target limits, in its unit; None without a target."""

    output: Path
    plan: Plan
    threshold: float
    megabytes: float
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    reading: float | None = None


def prune(
    model: Trained,
    output: Path,
    *,
    key: Key,
    settings: PruneSettings,
    experiment: Experiment | None = None,
    listener: Listener = silent,
) -> PruneReport:
    """Prune a trained model and write it to exactly `output` (reference 9), which must not be the model itself.

    `experiment`: the source of the training data that the importance "taylor" needs. Raises UsageError, ModelError,
    DataError, PathError, StorageError.
    """
    refuse_replacing(model.source, output)
    bundle = model.bundle
    network = find(bundle.task).network(bundle)
    needs_data = settings.importance == "taylor" and experiment is not None
    judge = open_judge(model, experiment, images=_FEW, listener=listener) if experiment and needs_data else None
    listener(Exploring())
    ranking = ranked(network, model, settings, judge=judge)
    target = target_of(settings, ranking, network, model)
    made = chosen(ranking, target, settings)
    floored = [name for name, kept in made.kept.items() if len(kept) == settings.min_filters < made.depths[name]]
    if 2 * len(floored) > len(made.kept):
        listener(LayersFloored(len(floored), len(made.kept), settings.min_filters))
    listener(Cutting())
    smaller = apply(network, made)
    step: dict[str, object] = {
        "stage": "prune",
        **descent(model, output),
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
    note_pruned(model, output, pruned)
    megabytes = output.stat().st_size / 1e6
    return PruneReport(
        output,
        made,
        made.settings["threshold"],
        megabytes,
        network.parameter_count,
        smaller.parameter_count,
        ranking.anatomy.size({}).macs,
        ranking.size(made).macs,
        target.reading(made) if target is not None else None,
    )
