"""From many overlapping candidates to one box per object: DBSCAN, NMS, or both ("hybrid").

Every cell on an object proposes a box, so a large object may have a hundred candidates. `dbscan` groups candidates by
overlap and weights them by coverage. NMS keeps the best box and drops boxes that overlap it. "hybrid" runs NMS over
the members of the clusters that pass DBSCAN. Formulas: reference/detectnet_v2.md 8.2, 8.3, 12.

Boxes are (N, 4) in pixels of the network input, continuous edges; coverages are the network's 0..1. NumPy only:
scikit-learn takes a second to import and rejects TAO's `dbscan_min_samples: 0.05`. The tests compare with scikit-learn.
Memory: DBSCAN holds one byte for each pair of candidates (1 MB for 1,000; 67 MB for a whole 1920x1088 grid).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.tasks.suppress import nms, overlaps

if TYPE_CHECKING:
    from taolite.tasks.detectnet.spec.clustering import ClusteringConfig

__all__ = ["Clustering", "cluster", "dbscan"]

_EPSILON = 1e-5  # added to the union in DBSCAN, as in TAO's evaluation (TAO's inference adds 0.01)
_EPS_SLACK = 1e-12  # so that a distance equal to eps on paper is a neighbour in floating point
_ROWS = 64  # rows of the pair matrix per block: small enough for the processor's cache


@dataclass(frozen=True)
class Clustering:
    """How the candidates of one class become objects; the spec's `clustering_config`, resolved.

    coverage_threshold: 0..1; a cell is a candidate where its coverage is greater.
    minimum_height: pixels of the network input; a DBSCAN cluster of this height or less is dropped.
    dbscan_eps: 0..1; candidates are neighbours where 1 - IoU is at most this.
    dbscan_min_samples: least summed coverage of a core's neighbourhood; used as max(int(value), 1).
    dbscan_confidence_threshold: least confidence of a cluster (a summed coverage may exceed 1).
    nms_iou_threshold: 0..1; a weaker box with a greater IoU is dropped; 0 acts as TAO's inference default, 0.3.
    nms_confidence_threshold: 0..1; least coverage of a box.
    confidence_model: "aggregate_cov" sums the members' coverages; "mean_cov" is (mean - min) / (max - min). "mean_cov"
        is undefined where all members have the same coverage; such clusters are dropped, as in TAO.
    """

    algorithm: Literal["dbscan", "nms", "hybrid"] = "dbscan"
    coverage_threshold: float = 0.0
    minimum_height: float = 0.0
    dbscan_eps: float = 0.0
    dbscan_min_samples: float = 0.0
    dbscan_confidence_threshold: float = 0.0
    nms_iou_threshold: float = 0.3
    nms_confidence_threshold: float = 0.0
    confidence_model: Literal["aggregate_cov", "mean_cov"] = "aggregate_cov"

    def to_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` gives the same Clustering back."""
        return asdict(self)

    @staticmethod
    def from_spec(
        config: ClusteringConfig, *, confidence_model: Literal["aggregate_cov", "mean_cov"] = "aggregate_cov"
    ) -> Clustering:
        """From the spec's `clustering_config`, and the `confidence_model` of an inference spec."""
        algorithms: dict[str, Literal["dbscan", "nms", "hybrid"]] = {
            "DBSCAN": "dbscan",
            "NMS": "nms",
            "HYBRID": "hybrid",
        }
        return Clustering(
            algorithm=algorithms[config.clustering_algorithm.value],
            coverage_threshold=config.coverage_threshold,
            minimum_height=config.minimum_bounding_box_height,
            dbscan_eps=config.dbscan_eps,
            dbscan_min_samples=config.dbscan_min_samples,
            dbscan_confidence_threshold=config.dbscan_confidence_threshold,
            nms_iou_threshold=config.nms_iou_threshold,
            nms_confidence_threshold=config.nms_confidence_threshold,
            confidence_model=confidence_model,
        )

    @staticmethod
    def from_json(value: dict[str, Any]) -> Clustering:
        """The Clustering that `to_json` wrote."""
        return Clustering(**value)


def cluster(
    boxes_n4: Boxes, coverage_n: NDArray[np.float32], clustering: Clustering
) -> tuple[Boxes, NDArray[np.float32]]:
    """Objects among the candidates of one class.

    Args:
        boxes_n4: (N, 4) candidates, already above the coverage threshold.
        coverage_n: (N,) their coverages.
        clustering: the settings; `coverage_threshold` is not applied here.

    Returns:
        (M, 4) float32 boxes and (M,) float32 scores: a cluster's confidence, or a box's coverage after NMS.
        NMS sorts them by descending score; DBSCAN keeps the order of the clusters' first members.
    """
    if clustering.algorithm == "nms":
        return _nms_boxes(boxes_n4, coverage_n, clustering)
    labels_n = dbscan(
        boxes_n4, coverage_n, eps=clustering.dbscan_eps, min_samples=max(int(clustering.dbscan_min_samples), 1)
    )
    merged_m4, confidence_m = _merge(boxes_n4, coverage_n, labels_n, model=clustering.confidence_model)
    tall_m = merged_m4[:, 3] - merged_m4[:, 1] > clustering.minimum_height
    passed_m = tall_m & (confidence_m >= clustering.dbscan_confidence_threshold)  # a NaN does not pass
    if clustering.algorithm == "dbscan":
        return merged_m4[passed_m].astype(np.float32), confidence_m[passed_m].astype(np.float32)
    members_n = np.isin(labels_n, np.flatnonzero(passed_m))
    return _nms_boxes(boxes_n4[members_n], coverage_n[members_n], clustering)


def dbscan(
    boxes_n4: Boxes, weights_n: NDArray[np.floating[Any]], *, eps: float, min_samples: float
) -> NDArray[np.int64]:
    """Clusters of boxes under the distance 1 - IoU, IoU = intersection / (union + 1e-5).

    A box is a core where the weights within `eps` of it, its own included, sum to `min_samples` or more. Cores
    within `eps` of each other share a cluster; a box near a core but no core itself joins the first that reaches it.

    Args:
        boxes_n4: (N, 4) boxes.
        weights_n: (N,) weights, here coverages.
        eps: greatest distance of neighbours, 0..1.
        min_samples: least weight of a core's neighbourhood.

    Returns:
        (N,) int64: the cluster of each box, numbered by their first core in the order given, -1 for noise; the same
        labels as scikit-learn's DBSCAN(metric="precomputed") with `sample_weight`.
    """
    near_nn = _neighbours(boxes_n4, eps=eps)
    core_n = near_nn @ np.asarray(weights_n, dtype=np.float64) >= min_samples
    labels_n = np.full(len(boxes_n4), -1, dtype=np.int64)
    label = 0
    for first in np.flatnonzero(core_n):
        if labels_n[first] != -1:
            continue
        labels_n[first] = label
        frontier = np.array([first])
        while frontier.size:
            reached_n = near_nn[frontier].any(axis=0) & (labels_n == -1)
            labels_n[reached_n] = label
            frontier = np.flatnonzero(reached_n & core_n)
        label += 1
    return labels_n


def _nms_boxes(
    boxes_n4: Boxes, coverage_n: NDArray[np.float32], clustering: Clustering
) -> tuple[Boxes, NDArray[np.float32]]:
    """NMS with PASCAL VOC's areas over the boxes at or above the confidence threshold, with their unchanged scores.

    Filtering before NMS gives the same result as filtering after NMS: only a better box can drop a box.
    """
    sure_n = coverage_n >= clustering.nms_confidence_threshold
    boxes, scores = boxes_n4[sure_n], coverage_n[sure_n]
    kept = nms(boxes, scores, iou_threshold=clustering.nms_iou_threshold or 0.3, plus=1.0)
    return boxes[kept].astype(np.float32), scores[kept].astype(np.float32)


def _merge(
    boxes_n4: Boxes, coverage_n: NDArray[np.float32], labels_n: NDArray[np.int64], *, model: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coverage-weighted mean box (M, 4) and confidence (M,) of each cluster, float64."""
    members = labels_n >= 0
    labels, count = labels_n[members], int(labels_n.max(initial=-1)) + 1
    weights = coverage_n[members].astype(np.float64)
    boxes = boxes_n4[members].astype(np.float64)
    total = np.bincount(labels, weights=weights, minlength=count).astype(np.float64)
    merged = np.stack(
        [np.bincount(labels, weights=weights * boxes[:, side], minlength=count) / total for side in range(4)], axis=1
    )
    if model == "aggregate_cov":
        return merged, total
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, labels, weights)
    np.maximum.at(high, labels, weights)
    mean, spread = total / np.maximum(np.bincount(labels, minlength=count), 1), high - low
    return merged, np.divide(mean - low, spread, out=np.full(count, np.nan), where=spread > 0)


def _neighbours(boxes_n4: Boxes, *, eps: float) -> NDArray[np.bool_]:
    """(N, N) bool: 1 - IoU is at most `eps`, or both boxes are the same one (the epsilon keeps that IoU below 1).

    Only one triangle is computed; the matrix is symmetric to the bit.
    """
    boxes = np.asarray(boxes_n4, dtype=np.float64)
    near = np.empty((len(boxes), len(boxes)), dtype=np.bool_)
    for start, stop in _blocks(len(boxes)):
        part = 1.0 - overlaps(boxes[start:stop], boxes[start:], epsilon=_EPSILON) <= eps + _EPS_SLACK
        near[start:stop, start:] = part
        near[start:, start:stop] = part.T
    np.fill_diagonal(near, True)
    return near


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _ROWS):
        yield start, min(start + _ROWS, count)
