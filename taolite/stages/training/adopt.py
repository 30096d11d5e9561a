"""Convert the weights of another tool to a model of ours, so that every stage can read them."""

from __future__ import annotations

from pathlib import Path

from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.keys import Key
from taolite.stages.bundles import bundle_of
from taolite.tasks.base import Experiment

__all__ = ["adopt"]


def adopt(experiment: Experiment, output: Path, *, key: Key) -> None:
    """Write the model that training would start from to `output`, sealed. Raises what `Experiment.start` raises, and
    StorageError."""
    start = experiment.start(key=key)
    write_bundle(output, bundle_of(experiment, start.network, lineage=start.lineage), key=key)
