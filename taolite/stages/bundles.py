"""A trained network packed as the bundle that every later stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from types import MappingProxyType

from taolite.artifacts.bundle import Bundle
from taolite.nn.arrays import state_arrays
from taolite.nn.network import TaskNetwork
from taolite.scorecard import Point
from taolite.tasks.base import BEST_THRESHOLD, Experiment

__all__ = ["bundle_of"]


def bundle_of(
    experiment: Experiment,
    network: TaskNetwork,
    *,
    lineage: tuple[Mapping[str, object], ...],
    best: Mapping[str, Point] = MappingProxyType({}),
) -> Bundle:
    """The bundle from which `network` can be rebuilt; the network is not changed. best: of a detector's classes; one
    without has the mean of the others' thresholds."""
    stored, decoding = network.as_stored(), dict(experiment.decoding)
    if best:
        mean = fmean(point.threshold for point in best.values())
        decoding[BEST_THRESHOLD] = {name: best[name].threshold if name in best else mean for name in experiment.classes}
    return Bundle(
        task=experiment.task.name,
        architecture=stored.architecture(),
        classes=experiment.classes,
        preprocessing=experiment.preprocessing,
        tensors=state_arrays(stored),
        spec=experiment.text,
        lineage=lineage,
        decoding=decoding,
    )
