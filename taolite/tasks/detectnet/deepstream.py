"""The nvinfer settings that cluster DetectNet_v2 boxes as the model does, and the cases that nvinfer cannot match
(reference/deploy.md 8.2 to 8.4). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taolite.tasks.base import DeepStream

__all__ = ["deepstream"]

_CLUSTER_MODES = {"dbscan": 1, "nms": 2, "hybrid": 3}
_PARSER = {"scale": 35.0, "offset": 0.5}
"""What DeepStream's built-in parser computes boxes with (reference/deploy.md 8.4)."""


def deepstream(classes: Sequence[str], decoding: Mapping[str, Any]) -> DeepStream:
    """The clustering settings of each class, in the model's order; empty where the model stores none."""
    rows: Sequence[Mapping[str, Any]] = decoding.get("clusterings", [])
    return DeepStream(
        properties=(f"cluster-mode={_CLUSTER_MODES[rows[0]['algorithm']]}",) if rows else (),
        classes=tuple(tuple(_thresholds(row)) for row in rows),
        remarks=tuple(_remarks(classes, decoding, rows)),
    )


def _remarks(classes: Sequence[str], decoding: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for name, value in _PARSER.items():
        own = decoding.get(name, value)
        if own != value:
            found.append(
                f"this model's bbox {name} is {own:g}, and DeepStream's built-in parser computes with {value:g}: its "
                "boxes will be wrong; train with that value, or give nvinfer a parse-bbox-func-name of your own"
            )
    if len({row["algorithm"] for row in rows}) > 1:
        found.append(
            f"the classes are clustered differently, and DeepStream has one cluster-mode for all: it is "
            f"{rows[0]['algorithm']}, as for {classes[0]}"
        )
    if any(row["confidence_model"] == "mean_cov" for row in rows):
        found.append("confidence_model mean_cov is not DeepStream's: it compares the sum of a cluster's coverages")
    return found


def _thresholds(row: Mapping[str, Any]) -> list[str]:
    """The config lines of one class. NMS compares coverages only, so its two thresholds become one."""
    suppress = f"nms-iou-threshold={row['nms_iou_threshold'] or 0.3}"
    if row["algorithm"] == "nms":
        return [
            f"pre-cluster-threshold={max(row['coverage_threshold'], row['nms_confidence_threshold'])}",
            suppress,
        ]
    lines = [
        f"pre-cluster-threshold={row['coverage_threshold']}",
        f"eps={row['dbscan_eps']}",
        f"minBoxes={max(int(row['dbscan_min_samples']), 1)}",
        f"dbscan-min-score={row['dbscan_confidence_threshold']}",
        f"detected-min-h={int(row['minimum_height'])}",
    ]
    return [*lines, suppress] if row["algorithm"] == "hybrid" else lines
