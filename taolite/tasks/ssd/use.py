"""Inference with a finished SSD: `taolite.tasks.base.Use`. No torch, for edge devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taolite.errors import UsageError
from taolite.preprocessing import Preprocessing
from taolite.scorecard import AP
from taolite.tasks.base import DeepStream, Outputs
from taolite.tasks.found import Found
from taolite.tasks.ssd.decode import decode
from taolite.tasks.ssd.spec.network import MAPS

__all__ = ["HEADS", "USE", "SsdUse"]

HEADS: tuple[str, ...] = tuple(f"ssd_{kind}_{i}" for kind in ("conf", "loc") for i in range(MAPS))
"""Layers that give the network's outputs; pruning does not change them."""


class SsdUse:
    """Stateless; the protocol documents each member."""

    name = "ssd"
    title = "SSD"
    metric = AP
    onnx_outputs: tuple[str, ...] = ("scores", "boxes")
    network_type = 0
    heads = HEADS

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Found:
        return decode(outputs, decoding, preprocessing=preprocessing)

    def at_threshold(self, decoding: Mapping[str, Any], threshold: float) -> dict[str, Any]:
        return {**decoding, "confidence_threshold": threshold}

    def deepstream(self, classes: Sequence[str], decoding: Mapping[str, Any]) -> DeepStream:
        raise UsageError(
            "--gen_ds_config: DeepStream's nvinfer has no parser for an SSD's outputs (scores and boxes of priors); "
            "leave the flag out, and give nvinfer a parse-bbox-func-name of your own library"
        )


USE = SsdUse()
