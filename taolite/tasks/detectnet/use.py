"""Run a finished DetectNet_v2: an implementation of `taolite.tasks.base.Use`. No torch, for edge devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from taolite.preprocessing import Preprocessing
from taolite.scorecard import AP
from taolite.tasks.base import DeepStream, Outputs
from taolite.tasks.detectnet.decode import OFFSET, SCALE, Clustering, decode
from taolite.tasks.detectnet.deepstream import deepstream
from taolite.tasks.found import Found

__all__ = ["HEADS", "USE", "DetectNetUse"]

HEADS: tuple[str, ...] = ("output_cov", "output_bbox")
"""Layers that pruning leaves alone and pretrained weights never fill."""


class DetectNetUse:
    """Stateless; the protocol documents the members."""

    name = "detectnet"
    title = "DetectNet_v2"
    metric = AP
    onnx_outputs: tuple[str, ...] = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
    network_type = 0
    heads = HEADS

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Found:
        return decode(
            outputs[0],
            outputs[1],
            input_hw=preprocessing.input_hw,
            clusterings=[Clustering.from_json(row) for row in decoding["clusterings"]],
            scale=decoding.get("scale", SCALE),
            offset=decoding.get("offset", OFFSET),
            stride=decoding.get("stride"),
        )

    def at_threshold(self, decoding: Mapping[str, Any], threshold: float) -> dict[str, Any]:
        return {**decoding, "clusterings": [_at_threshold(row, threshold) for row in decoding["clusterings"]]}

    def deepstream(self, classes: Sequence[str], decoding: Mapping[str, Any]) -> DeepStream:
        return deepstream(classes, decoding)


def _at_threshold(row: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """A box's score is its coverage after NMS; that of a DBSCAN cluster is the sum of its cells' coverages, each of
    which may be below the threshold."""
    clustering = Clustering.from_json(dict(row))
    return replace(
        clustering,
        coverage_threshold=min(clustering.coverage_threshold, threshold),
        dbscan_confidence_threshold=threshold,
        nms_confidence_threshold=threshold,
    ).to_json()


USE = DetectNetUse()
