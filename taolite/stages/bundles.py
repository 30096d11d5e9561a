"""A trained network packed as the bundle that every later stage reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from types import MappingProxyType

from taolite.artifacts.bundle import Bundle
from taolite.nn.arrays import state_arrays
from taolite.nn.network import TaskNetwork
from taolite.scorecard import Point
from taolite.tasks.base import BEST_THRESHOLD, Experiment

__all__ = ["best_thresholds", "bundle_of"]


def bundle_of(
    experiment: Experiment,
    network: TaskNetwork,
    *,
    lineage: tuple[Mapping[str, object], ...],
    best: Mapping[str, Point] = MappingProxyType({}),
) -> Bundle:
    """The bundle from which `network` can be rebuilt; the network is not changed. best: of a detector's classes; one
    without has the mean of the others' thresholds."""
    stored = network.as_stored()
    return Bundle(
        task=experiment.task.name,
        architecture=stored.architecture(),
        classes=experiment.classes,
        preprocessing=experiment.preprocessing,
        tensors=state_arrays(stored),
        spec=experiment.text,
        lineage=lineage,
        decoding={**experiment.decoding, **best_thresholds(best, experiment.classes)},
    )


def best_thresholds(best: Mapping[str, Point], classes: Sequence[str]) -> dict[str, object]:
    """The entry of a decoding with each class's best threshold; a class without one has the mean of the others'. Empty
    where no class has one."""
    if not best:
        return {}
    mean = fmean(point.threshold for point in best.values())
    return {BEST_THRESHOLD: {name: best[name].threshold if name in best else mean for name in classes}}
