"""The likeliest classes of each frame, as jetson-inference's imagenet shows them (reference/jetson_workflows.md 8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taolite.sample import Detection
from taolite.stages.inference.look import Seen
from taolite.stages.inference.models import Model
from taolite.tasks.classification.decode import of_every_class

__all__ = ["USUAL", "Manner", "every_class", "least_score", "rankable", "ranked"]


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


USUAL = Manner()


def every_class(model: Model) -> Model:
    """The same classifier, set to return all classes of each picture."""
    return replace(model, decoding=of_every_class(model.decoding or {}, len(model.classes)))


def least_score(model: Model, manner: Manner) -> float:
    """The lowest score at which a class is shown."""
    if manner.threshold is not None:
        return manner.threshold
    return float((model.decoding or {}).get("threshold", 0.01))


def rankable(model: Model, manner: Manner) -> Model:
    """The same classifier, set to return what `ranked` needs of each frame."""
    prep, decoding = model.preprocessing, model.decoding or {}
    if manner.fit is not None:
        prep = replace(prep, fit="cover" if manner.fit == "crop" else "stretch", least_side=0)
    if manner.smoothing:
        decoding = of_every_class(decoding, len(model.classes))
    elif "threshold" in decoding:
        decoding = {**decoding, "threshold": least_score(model, manner)}
    else:
        decoding = {**decoding, "top": _top(model, manner) or len(model.classes)}
    return replace(model, preprocessing=prep, decoding=decoding)


def ranked(frames: Iterable[Seen], model: Model, *, manner: Manner, smooth: bool = True) -> Iterator[Seen]:
    """The frames with their most likely classes, highest score first.

    Args:
        frames: results of `rankable(model, manner)`.
        smooth: the frames follow each other in time; without it, `manner.smoothing` is ignored.
    """
    least, top = least_score(model, manner), _top(model, manner)
    mean: NDArray[np.float64] | None = None
    for seen in frames:
        found = seen.found
        if manner.smoothing and smooth:
            by_name = {one.name: one.score for one in found}
            scores = np.array([by_name[name] for name in model.classes])
            weight = manner.smoothing if manner.smoothing < 1 else 1 / manner.smoothing
            mean = scores if mean is None else mean + weight * (scores - mean)
            order = np.argsort(-mean, kind="stable")
            found = tuple(Detection(model.classes[k], None, float(mean[k])) for k in order)
        yield replace(seen, found=tuple(one for one in found[: top or None] if one.score >= least))


def _top(model: Model, manner: Manner) -> int:
    """The number of classes to show; 0 is all."""
    if manner.top is not None:
        return manner.top
    return 0 if "threshold" in (model.decoding or {}) else 1
