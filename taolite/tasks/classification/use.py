"""Run a finished classifier: an implementation of `taolite.tasks.base.Use`. No torch, for edge devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taolite.preprocessing import Preprocessing
from taolite.scorecard import ACCURACY
from taolite.tasks.base import DeepStream, Outputs
from taolite.tasks.classification.decode import decode
from taolite.tasks.found import Found

__all__ = ["HEADS", "USE", "ClassificationUse"]

HEADS: tuple[str, ...] = ("conv10", "body.network.classifier.1")
"""Convolutions whose outputs are the network's, which pruning leaves alone: of TAO's squeezenet and torchvision's.
Other heads are linear, and of linear layers pruning cuts inputs only."""

_THRESHOLD = 0.2  # the value in NVIDIA's own configs of TAO classifiers


class ClassificationUse:
    """Stateless; the protocol documents the members."""

    name = "classification"
    title = "classification"
    metric = ACCURACY
    onnx_outputs: tuple[str, ...] = ("predictions/Softmax",)
    network_type = 1
    heads = HEADS

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Found:
        return decode(outputs[0], decoding)

    def at_threshold(self, decoding: Mapping[str, Any], threshold: float) -> dict[str, Any]:
        return {**decoding, "threshold": threshold} if "threshold" in decoding else {**decoding}

    def deepstream(self, classes: Sequence[str], decoding: Mapping[str, Any]) -> DeepStream:
        return DeepStream(("process-mode=2", f"classifier-threshold={_THRESHOLD}"), separator=";")


USE = ClassificationUse()
