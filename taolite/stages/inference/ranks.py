"""The likeliest classes of each frame, as jetson-inference's imagenet shows them (reference/jetson_workflows.md 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taolite.media.sources import Source
from taolite.sample import Detection
from taolite.stages.inference.look import Seen, look
from taolite.stages.inference.models import Model
from taolite.tasks.classification.decode import of_every_class

__all__ = ["Manner", "every_class", "least_score", "ranked"]


@dataclass(frozen=True)
class Manner:
    """How classes are shown.

    Attributes:
        threshold: the lowest score shown; None is the model's own: 0.01, or for tags the one of training.
        top: number of classes a frame; 0 is all. None is the model's own: the most likely class, or every tag.
        smoothing: over a video's frames: weight of a new frame (0..1), or a number of frames (above 1); 0 is off.
        fit: crop as in training, or stretch as imagenet does; None is the model's own.
    """

    threshold: float | None = None
    top: int | None = None
    smoothing: float = 0.0
    fit: Literal["crop", "stretch"] | None = None


def every_class(model: Model) -> Model:
    """The same classifier, set to return all classes of each picture."""
    return replace(model, decoding=of_every_class(model.decoding or {}, len(model.classes)))


def least_score(model: Model, manner: Manner) -> float:
    """The lowest score at which a class is shown."""
    if manner.threshold is not None:
        return manner.threshold
    return float((model.decoding or {}).get("threshold", 0.01))


def ranked(model: Model, source: Source, *, manner: Manner) -> Iterator[Seen]:
    """Every frame with its most likely classes, highest score first. Raises DataError, ModelError."""
    least = least_score(model, manner)
    top = manner.top if manner.top is not None else 0 if "threshold" in (model.decoding or {}) else 1
    prep = model.preprocessing
    if manner.fit is not None:
        prep = replace(prep, fit="cover" if manner.fit == "crop" else "stretch", least_side=0)
    mean: NDArray[np.float64] | None = None
    for seen in look(every_class(replace(model, preprocessing=prep)), source):
        by_name = {one.name: one.score for one in seen.found}
        scores = np.array([by_name[name] for name in model.classes])
        if manner.smoothing and source.kind != "pictures":
            weight = manner.smoothing if manner.smoothing < 1 else 1 / manner.smoothing
            mean = scores = scores if mean is None else mean + weight * (scores - mean)
        order = np.argsort(-scores, kind="stable")[: top or None]
        found = tuple(Detection(model.classes[k], None, float(scores[k])) for k in order if scores[k] >= least)
        yield replace(seen, found=found)
