"""A trained network packed as the bundle that every later stage reads."""

from __future__ import annotations

from collections.abc import Mapping

from taolite.artifacts.bundle import Bundle
from taolite.nn.arrays import state_arrays
from taolite.nn.network import TaskNetwork
from taolite.tasks.base import Experiment

__all__ = ["bundle_of"]


def bundle_of(experiment: Experiment, network: TaskNetwork, *, lineage: tuple[Mapping[str, object], ...]) -> Bundle:
    """The bundle from which `network` can be rebuilt; the network is not changed."""
    stored = network.as_stored()
    return Bundle(
        task=experiment.task.name,
        architecture=stored.architecture(),
        classes=experiment.classes,
        preprocessing=experiment.preprocessing,
        tensors=state_arrays(stored),
        spec=experiment.text,
        lineage=lineage,
        decoding=experiment.decoding,
    )
