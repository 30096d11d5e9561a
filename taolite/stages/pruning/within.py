"""Pruning within a price: step by step, until a target is met or the score has dropped too far.

Each step removes a fifth of the parameters that are left. Without training the steps are thresholds on the model's own
weights, with batch norms measured again. With training each step starts from the network of the step before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from taolite import __version__
from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.keys import Key
from taolite.errors import ModelError
from taolite.events import Exploring, Listener, PruneStepped, silent
from taolite.files import refuse_replacing
from taolite.nn.arrays import state_arrays
from taolite.nn.network import TaskNetwork
from taolite.pruning.anatomy import Size
from taolite.pruning.plan import Plan, apply
from taolite.pruning.ranking import Ranking
from taolite.stages.bundles import best_thresholds
from taolite.stages.pruning.descent import descent, note_pruned
from taolite.stages.pruning.judge import open_judge
from taolite.stages.pruning.settings import PruneSettings, Target, ranked, target_of
from taolite.stages.trained import Trained
from taolite.tasks.base import BEST_THRESHOLD, Experiment
from taolite.tasks.registry import find

__all__ = ["Step", "Within", "prune_within"]

_STEP = 0.8  # of the parameters that are left stay in a step
_REACH = 0.7  # the last step, to the target, may leave as little
_TOO_LITTLE = 0.99  # a step that leaves more than this is none


@dataclass(frozen=True)
class Step:
    """One step: `-pth` on the network that it started from, and what it left. share: of the unpruned network's
    parameters, moving statistics included. score: the task's main metric, 0..1. dropped: points (percent) below the
    unpruned network."""

    threshold: float
    share: float
    parameters: int
    macs: int
    score: float
    dropped: float


@dataclass(frozen=True)
class Within:
    """The result: the file of the best network, which is the smallest within the price. stopped: the target is met, the
    step after the best one dropped too far, or nothing is left to remove. parameters: of the unpruned network. images:
    validation images of a score."""

    output: Path
    steps: tuple[Step, ...]
    best: int
    stopped: Literal["target", "drop", "floor"]
    metric: str
    whole: float
    parameters: int
    images: int
    megabytes: float


def prune_within(
    model: Trained,
    output: Path,
    *,
    key: Key,
    settings: PruneSettings,
    experiment: Experiment,
    max_drop: float,
    epochs: int = 0,
    images: int = 200,
    listener: Listener = silent,
) -> Within:
    """Prune in steps and write the smallest network whose score is at most `max_drop` points below the unpruned one's.

    Args:
        settings: a target ends the steps; without one they go on until the score has dropped.
        experiment: its validation images give the scores, its recipe trains.
        max_drop: points of the task's main metric; 1 is 0.01.
        epochs: of the training in each step; 0 for none.
        images: of a score, at most.

    Raises ModelError where the first step already drops too far; UsageError, DataError, PathError, StorageError.
    """
    refuse_replacing(model.source, output)
    judge = open_judge(model, experiment, images=images, listener=listener)
    network = find(model.bundle.task).network(model.bundle)
    whole = judge.score(network)
    listener(Exploring())
    ranking = ranked(network, model, settings, judge=judge)
    size = ranking.anatomy.size({})
    target = target_of(settings, ranking, network, model)
    steps: list[Step] = []
    best: tuple[TaskNetwork, Mapping[str, Any]] | None = None
    stopped: Literal["target", "drop", "floor"] = "floor"
    left = 1.0
    while (plan := _next(ranking, target, size, left)) is not None:
        smaller = apply(network, plan)
        if epochs:
            smaller = judge.finetuned(smaller, model, epochs=epochs)
        else:
            judge.settle(smaller)
        card = judge.card(smaller)
        steps.append(_step(plan, ranking, size, card.main.value, whole))
        left = steps[-1].share
        listener(PruneStepped(len(steps), metric=card.main.words.short, **asdict(steps[-1])))
        if steps[-1].dropped > max_drop:
            stopped = "drop"
            break
        best = smaller, best_thresholds(card.best, model.classes)
        if target is not None and target.met(plan):
            stopped = "target"
            break
        if epochs:
            network = smaller
            ranking = ranked(network, model, settings, judge=judge)
            target = target_of(settings, ranking, network, model, whole=size)
    if best is None:
        raise _nothing(steps, max_drop, epochs)
    count = len(steps) - (stopped == "drop")
    _write(output, *best, model, key=key, how=_how(settings, max_drop, epochs), steps=steps[:count])
    metric = find(model.bundle.task).metric.short
    megabytes = output.stat().st_size / 1e6
    return Within(
        output, tuple(steps), count - 1, stopped, metric, whole, size.parameters, len(judge.held_out), megabytes
    )


def _next(ranking: Ranking, target: Target | None, whole: Size, left: float) -> Plan | None:
    """The plan of the next step: a fifth less than `left`, or that of the target where it is near; None where nothing
    is left to remove."""
    everything = whole.parameters + whole.moving
    plan = ranking.smallest(lambda one: one.parameters_after <= _STEP * left * everything) or ranking.least
    if target is not None and not target.costly:
        enough = ranking.smallest(target.met)
        if enough is not None and enough.parameters_after >= _REACH * left * everything:
            return enough
    return plan if plan.parameters_after <= _TOO_LITTLE * left * everything else None


def _step(plan: Plan, ranking: Ranking, whole: Size, score: float, before: float) -> Step:
    size = ranking.size(plan)
    share = plan.parameters_after / (whole.parameters + whole.moving)
    return Step(plan.settings["threshold"], share, size.parameters, size.macs, score, 100 * (before - score))


def _how(settings: PruneSettings, max_drop: float, epochs: int) -> dict[str, Any]:
    given = {name: value for name, value in asdict(settings).items() if value is not None and name != "threshold"}
    return {**given, "excluded": sorted(settings.excluded), "max_drop": max_drop, "epochs": epochs}


def _nothing(steps: list[Step], max_drop: float, epochs: int) -> ModelError:
    if not steps:
        return ModelError("prune: no channel can be removed; lower -nf or -pg, or exclude fewer layers")
    first = steps[0]
    way = "Raise --max-drop" if epochs else "Raise --max-drop, or train each step with --finetune N"
    return ModelError(
        f"prune: the first step leaves {100 * first.share:.1f} % of the parameters and drops {first.dropped:.2f} "
        f"points, more than --max-drop {max_drop:g}; nothing was written. {way}"
    )


def _write(
    output: Path,
    network: TaskNetwork,
    thresholds: Mapping[str, Any],
    model: Trained,
    *,
    key: Key,
    how: Mapping[str, Any],
    steps: list[Step],
) -> None:
    """Write the network, with its steps in the lineage."""
    bundle = model.bundle
    entry: dict[str, object] = {
        "stage": "prune",
        **descent(model, output),
        "taolite": __version__,
        "settings": dict(how),
        "steps": [asdict(step) for step in steps],
        "ratio": steps[-1].share,
        "parameters": network.parameter_count,
    }
    known = BEST_THRESHOLD in bundle.decoding
    pruned = replace(
        bundle,
        architecture=network.architecture(),
        tensors=state_arrays(network),
        lineage=(*bundle.lineage, entry),
        decoding={**bundle.decoding, **(thresholds if known else {})},
    )
    write_bundle(output, pruned, key=key)
    note_pruned(model, output, pruned)
