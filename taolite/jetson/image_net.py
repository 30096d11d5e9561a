"""imageNet of jetson-inference over `taolite.load` (reference/jetson_workflows.md 12.2).

A non-empty `argv` replaces all other arguments of the constructor, as in jetson-inference. Where the class differs from
NVIDIA's is listed in docs/compat/jetson.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from taolite.jetson.image import Array, rgb_of
from taolite.jetson.network import Network, flags

__all__ = ["imageNet"]

_THRESHOLD = 0.01


class imageNet(Network):
    """A classifier.

    Args:
        network: a name (`resnet-18`), or a model's file.
        argv: flags --network, --model, --labels, --threshold, --smoothing; where it is not empty, nothing else counts.
        model: a model's file, instead of `network`. labels: its class names, one a line.
        input_blob, output_blob: taken without effect.

    Raises UsageError, PathError, ArtifactError, EngineError, ModelError, DataError.
    """

    def __init__(
        self,
        network: str = "googlenet",
        argv: Sequence[str] | None = None,
        model: str = "",
        labels: str = "",
        input_blob: str = "data",
        output_blob: str = "prob",
    ) -> None:
        self._threshold: float | None = None
        self._smoothing = 0.0
        if argv:
            words = flags(argv)
            network, model = words.text("network", default="googlenet"), words.text("model")
            model = "" if words.has("network") else model
            labels = words.text("labels", "class-labels")
            self._threshold = words.number("threshold", default=-1.0)
            self._threshold = None if self._threshold < 0 else self._threshold
            self._smoothing = words.number("smoothing", default=0.0)
        self._open(network, model, labels, detects=False)
        self._mean: Any = None

    def Classify(
        self,
        image: Array,
        width: int = 0,
        height: int = 0,
        format: str = "",
        topK: int | None = None,
    ) -> Any:
        """(number, confidence 0..1) of the likeliest class. With `topK` a list of them; 0 is all.

        The number is -1 where no class has the threshold that was set. `width`, `height` and `format` are the image's.
        """
        result = self._model.predict(rgb_of(image), top=0)
        self._seconds = result.seconds
        scores = np.zeros(len(self._model.classes), np.float64)
        scores[[one.index for one in result]] = result.scores
        if self._smoothing:
            weight = self._smoothing if self._smoothing < 1 else 1 / self._smoothing
            self._mean = scores = scores if self._mean is None else self._mean + weight * (scores - self._mean)
        order = np.argsort(-scores, kind="stable")
        if topK is None:
            best = int(order[0])
            return best if scores[best] >= (self._threshold or 0) else -1, float(scores[best])
        kept = [(int(at), float(scores[at])) for at in order if scores[at] >= self.GetThreshold()]
        return kept[: topK or None]

    def GetClassDesc(self, index: int) -> str:
        """The name of a class; "none" for a negative number. Raises IndexError."""
        return "none" if index < 0 else self._model.classes[index]

    def GetClassLabel(self, index: int) -> str:
        """As GetClassDesc."""
        return self.GetClassDesc(index)

    def GetClassSynset(self, index: int) -> str:
        """`n` and the number in eight digits: models here do not know ImageNet's ids. Raises IndexError."""
        self.GetClassDesc(index)
        return f"n{max(index, 0):08d}"

    def GetNumClasses(self) -> int:
        """The number of classes."""
        return len(self._model.classes)

    def GetThreshold(self) -> float:
        """The least confidence."""
        return _THRESHOLD if self._threshold is None else self._threshold

    def SetThreshold(self, threshold: float) -> None:
        """Set the least confidence."""
        self._threshold = float(threshold)

    def GetSmoothing(self) -> float:
        """The weight of a new frame, 0 for none."""
        return self._smoothing

    def SetSmoothing(self, factor: float) -> None:
        """The weight of a new frame (0..1), or the number of frames to average."""
        self._smoothing, self._mean = float(factor), None

    @staticmethod
    def Usage() -> str:
        """The flags that `argv` may have."""
        return "imageNet: --network=NAME --model=FILE --labels=FILE --threshold=P --smoothing=S"
