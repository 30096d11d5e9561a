"""Validation pictures with the current network's detections, and its weights, for the run's sinks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.media.overlay import draw_detections, palette
from taolite.sinks.base import Pixels
from taolite.tasks.base import Experiment, Predict

__all__ = ["detections", "weights"]


def detections(experiment: Experiment, predict: Predict, examples: Examples) -> dict[str, Pixels]:
    """The first `watch.pictures` of `examples` by name, at the network's size, with the boxes of `watch.decoding`."""
    watch, classes = experiment.watch, experiment.classes
    colours = dict(zip(classes, palette(len(classes)), strict=True))
    drawn: dict[str, Pixels] = {}
    for batch in batches(examples, range(min(watch.pictures, len(examples))), batch_size=1):
        example = batch.examples[0]
        outputs = tuple(output[0] for output in predict(batch.pixels.contiguous().numpy()))
        found = experiment.task.decode(outputs, watch.decoding, preprocessing=examples.preprocessing)
        pixels = example.pixels if example.pixels.shape[2] == 3 else example.pixels.repeat(3, axis=2)
        picture = draw_detections(pixels, found.detections(classes), colours)
        drawn[f"detections/{len(drawn)}_{Path(example.name).stem}"] = picture
    return drawn


def weights(network: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Every parameter of the network, flat, by name."""
    return {
        f"weights/{name}": value.detach().float().cpu().numpy().ravel() for name, value in network.named_parameters()
    }
