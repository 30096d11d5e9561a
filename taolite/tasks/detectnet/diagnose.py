"""What a low mAP of a DetectNet_v2 can come from: cells that learn no object, thresholds, sizes that are not scored.

Legend: N objects, K classes, h x w grid cells. Boxes are in pixels of the network input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taolite.diagnosis import Answers, Cause
from taolite.metrics.match import BoxLimits
from taolite.sample import Truth
from taolite.tasks.base import Outputs
from taolite.tasks.detectnet.assign import assign
from taolite.tasks.detectnet.cluster import Clustering
from taolite.tasks.detectnet.examples import spec_raster
from taolite.tasks.detectnet.targets import Raster, rasterize
from taolite.tasks.diagnosing import Evidence, Heard, Survey, of_mean, of_overlap

if TYPE_CHECKING:
    from taolite.tasks.detectnet.experiment import DetectNetExperiment

__all__ = ["causes", "heard", "positives"]

_STRIDE = 16  # pixels, of every backbone's last layer
_MOST_OBJECTS = 200  # that are drawn on the grid, to stay below a second
_FAR, _NEAR = 20.0, 0.05  # units of the box outputs; from 0.2 to 10 is usual


def heard(outputs: Outputs, truth: Truth, *, input_hw: tuple[int, int]) -> Heard:
    """The coverage of the cells whose centres lie in an object's box, or of the cell of its centre; and elsewhere, a
    cell or more away, because the cells around a box learn it too."""
    cov_khw = np.asarray(outputs[0], np.float32)
    count, height, width = cov_khw.shape
    stride_y, stride_x = input_hw[0] / height, input_hw[1] / width
    y, x = (np.arange(height) + 0.5) * stride_y, (np.arange(width) + 0.5) * stride_x
    free_khw = np.ones(cov_khw.shape, np.bool_)
    on = np.zeros(len(truth.boxes_n4), np.float32)
    for index, (box, kind) in enumerate(zip(truth.boxes_n4, truth.classes_n, strict=True)):
        rows, columns = _between(y, box[1], box[3]), _between(x, box[0], box[2])
        on[index] = cov_khw[kind, rows, columns].max()
        near_rows = _between(y, box[1] - stride_y, box[3] + stride_y)
        free_khw[kind, near_rows, _between(x, box[0] - stride_x, box[2] + stride_x)] = False
    return Heard(on, np.where(free_khw, cov_khw, 0).reshape(count, -1).max(axis=1))


def _between(centres: NDArray[np.float64], low: float, high: float) -> slice:
    """The centres from `low` to `high`; the nearest one where there is none."""
    first, last = int(np.searchsorted(centres, low)), int(np.searchsorted(centres, high))
    if first < last:
        return slice(first, last)
    nearest = int(np.abs(centres - (low + high) / 2).argmin())
    return slice(nearest, nearest + 1)


def positives(
    truth: Truth, *, raster: Raster, input_hw: tuple[int, int], grid_hw: tuple[int, int], own: bool | None = None
) -> NDArray[np.int64]:
    """(N,) how many cells learn each object: those that keep its box once all objects are drawn. `own`: `smaller_wins`
    of the cost of taolite's `loss`; None for TAO's."""

    def drawn(boxes_n4: NDArray[np.float32], classes_n: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        if own is None:
            made = rasterize(boxes_n4, classes_n, raster=raster, input_hw=input_hw, grid_hw=grid_hw)
        else:
            made = assign(boxes_n4, classes_n, raster=raster, input_hw=input_hw, grid_hw=grid_hw, smaller_wins=own)
        return made.cov, made.bbox

    boxes, kinds = truth.boxes_n4, np.asarray(truth.classes_n, np.int64)
    cov, bbox = drawn(boxes, kinds)
    found = np.zeros(len(boxes), np.int64)
    for index, kind in enumerate(kinds):
        alone_cov, alone_bbox = drawn(boxes[index : index + 1], kinds[index : index + 1])
        same = (bbox[kind] == alone_bbox[kind]).all(axis=0)
        found[index] = int(((cov[kind] > 0) & (alone_cov[kind] > 0) & same).sum())
    return found


def causes(experiment: DetectNetExperiment, evidence: Evidence) -> Iterator[Cause]:
    """The causes that only this task knows."""
    if evidence.train is not None and len(evidence.train.objects.boxes_n4):
        yield from _of_targets(experiment, evidence.train, _grid_hw(experiment, evidence))
    rows = [Clustering.from_json(row) for row in experiment.decoding["clusterings"]]  # type: ignore[attr-defined]
    yield from _of_thresholds(experiment, evidence, dict(zip(experiment.classes, rows, strict=True)))
    if evidence.val is not None:
        yield from _of_scoring(experiment, evidence.val)
    if known := _seen(evidence):
        yield of_overlap(known, experiment.spec.evaluation_config.minimum_detection_ground_truth_overlap)


def _grid_hw(experiment: DetectNetExperiment, evidence: Evidence) -> tuple[int, int]:
    """(rows, columns) of the outputs; those of a head on the last layer where the network is not known."""
    if evidence.shapes is not None:
        return evidence.shapes[0][1], evidence.shapes[0][2]
    height, width = experiment.preprocessing.input_hw
    return -(-height // _STRIDE), -(-width // _STRIDE)


def _of_targets(experiment: DetectNetExperiment, train: Survey, grid_hw: tuple[int, int]) -> Iterator[Cause]:
    """Objects without a cell that learns them, and boxes in units that the head cannot learn well."""
    spec, input_hw = experiment.spec, experiment.preprocessing.input_hw
    raster = spec_raster(spec)
    own = spec.taolite.loss.smaller_wins if spec.taolite and spec.taolite.loss else None
    counts: list[int] = []
    for truth in train.truths:
        if len(counts) >= _MOST_OBJECTS:
            break
        counts += positives(truth, raster=raster, input_hw=input_hw, grid_hw=grid_hw, own=own).tolist()
    sides = train.objects.boxes_n4[:, 2:] - train.objects.boxes_n4[:, :2]
    stride = input_hw[1] / grid_hw[1]
    small = float((sides.max(axis=1) < stride).mean())
    facts = {"objects": len(counts), "cell": round(stride), "smaller": small, "sides": _deciles(sides.max(axis=1))}
    none = sum(count == 0 for count in counts) / len(counts)
    histogram = {str(n): counts.count(n) for n in range(4)} | {"4+": sum(count >= 4 for count in counts)}
    yield Cause("no_cell", "input", none, {**facts, "without": counts.count(0), "cells": histogram})
    yield Cause("small_objects", "input", 0.5 if small >= 0.5 else 0.0, facts)
    scale = spec.model_config_.objective_set.bbox.scale
    units = float(np.median(sides.max(axis=1)) / 2 / scale)
    wrong = units > _FAR or units < _NEAR
    yield Cause("box_scale", "input", 0.5 if wrong else 0.0, {"scale": scale, "units": units, "usual": 35.0})


def _deciles(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 1) for value in np.quantile(values, (0, 0.1, 0.5, 0.9, 1))]


def _of_thresholds(
    experiment: DetectNetExperiment, evidence: Evidence, clusterings: dict[str, Clustering]
) -> Iterator[Cause]:
    """Thresholds above what the network says, and heights below which nothing is found."""
    at = "postprocessing_config.target_class_config.clustering_config"
    lost, told = {}, {}
    for name, answers in _seen(evidence).items():
        row = clusterings[name]
        field, least = _highest(row)
        lost[name] = answers.lost_below(least)
        told[name] = {"field": f"{at}.{field}", "threshold": least, **answers.facts}
    if lost:
        worst = max(lost, key=lambda name: lost[name])
        yield Cause("threshold", "answers", of_mean(lost), {"class": worst, **told[worst]})
    joined = {
        name: float(not answers.results and lost[name] < 0.5 and clusterings[name].algorithm != "nms")
        for name, answers in _seen(evidence).items()
    }
    if any(joined.values()):
        row = clusterings[worst := max(joined, key=lambda name: joined[name])]
        facts = {"class": worst, "field": at, "algorithm": row.algorithm, "dbscan_eps": row.dbscan_eps}
        facts |= {"dbscan_min_samples": row.dbscan_min_samples, "minimum_height": row.minimum_height}
        facts |= {"dbscan_confidence_threshold": row.dbscan_confidence_threshold}
        yield Cause("clustering", "answers", 0.95 * of_mean(joined), facts)
    if evidence.val is not None:
        yield from _too_low(experiment.classes, evidence.val, clusterings, at)


def _highest(row: Clustering) -> tuple[str, float]:
    """The highest threshold that one cell's coverage has to reach."""
    if row.algorithm == "dbscan" or row.coverage_threshold >= row.nms_confidence_threshold:
        return "coverage_threshold", row.coverage_threshold
    return "nms_confidence_threshold", row.nms_confidence_threshold


def _too_low(classes: Sequence[str], val: Survey, rows: dict[str, Clustering], at: str) -> Iterator[Cause]:
    """Objects that are not taller than `minimum_bounding_box_height`, which NMS does not use."""
    objects, lost, facts = val.objects, {}, {}
    heights = objects.boxes_n4[:, 3] - objects.boxes_n4[:, 1]
    for kind, name in enumerate(classes):
        own = heights[objects.classes_n == kind]
        if len(own) and rows[name].algorithm != "nms":
            least = rows[name].minimum_height
            lost[name] = float((own <= least).mean())
            facts[name] = {"class": name, "least": least, "objects": len(own), "median": float(np.median(own))}
        elif len(own):
            lost[name] = 0.0
    if facts:
        worst = max(facts, key=lambda name: lost[name])
        yield Cause(
            "minimum_height", "answers", of_mean(lost), {"field": f"{at}.minimum_bounding_box_height"} | facts[worst]
        )


def _of_scoring(experiment: DetectNetExperiment, val: Survey) -> Iterator[Cause]:
    """Objects that `evaluation_box_config` leaves out."""
    config, objects, lost, facts = experiment.spec.evaluation_config, val.objects, {}, {}
    for kind, name in enumerate(experiment.classes):
        own, box = objects.boxes_n4[objects.classes_n == kind], config.evaluation_box_config[name]
        if not len(own):
            continue
        limits = BoxLimits(box.minimum_height, box.maximum_height, box.minimum_width, box.maximum_width)
        lost[name] = float((~limits.allow(own)).mean())
        width, height = np.median(own[:, 2:] - own[:, :2], axis=0)
        facts[name] = {
            "class": name,
            "objects": len(own),
            "height": float(height),
            "width": float(width),
            "limits": {field: getattr(box, field) for field in type(box).model_fields},
        }
    if lost:
        worst = max(lost, key=lambda name: lost[name])
        yield Cause("box_limits", "scoring", of_mean(lost), facts[worst])


def _seen(evidence: Evidence) -> dict[str, Answers]:
    """The answers of the classes that have labelled objects."""
    return {name: answers for name, answers in evidence.answers.items() if answers.on_objects}
