"""Post-processing: `postprocessing_config`, and clustering settings shared with the inference spec (reference 1.6)."""

from __future__ import annotations

from collections.abc import Iterator

from taolite.spec import Finding, Float, Int, IntOrFloat, SpecEnum, SpecModel, check, field

__all__ = [
    "ClusteringAlgorithm",
    "ClusteringConfig",
    "ConfidenceConfig",
    "PostProcessingConfig",
    "TargetClassPostProcessing",
]


class ClusteringAlgorithm(SpecEnum):
    """The algorithm that turns candidate boxes of one class into detections."""

    DBSCAN = "DBSCAN"
    NMS = "NMS"
    HYBRID = "HYBRID"


class ClusteringConfig(SpecModel):
    """Clustering thresholds of one class."""

    coverage_threshold: Float = field(0.0, ge=0, le=1, doc="Cells with a coverage above this are candidates.")
    minimum_bounding_box_height: Int = field(
        0, ge=0, unit="px", doc="Clusters of this height or less are dropped (DBSCAN only)."
    )
    clustering_algorithm: ClusteringAlgorithm = field(ClusteringAlgorithm.DBSCAN, doc="How candidates are joined.")
    dbscan_eps: Float = field(0.0, ge=0, doc="Largest distance, 1 - IoU, of two neighbours.")
    dbscan_min_samples: IntOrFloat = field(
        0, ge=0, doc="Sum of coverages that makes a core; acts as max(int(value), 1), so 0.05 is 1."
    )
    neighborhood_size: Int = field(0, ge=0, ignored="no code of TAO uses it", doc="Without effect.")
    dbscan_confidence_threshold: Float = field(
        0.0, ge=0, doc="Smallest confidence, the sum of a cluster's coverages, that is kept; may pass 1."
    )
    nms_iou_threshold: Float = field(
        0.3, ge=0, le=1, zero_is_default=True, doc="NMS drops a box that overlaps a better one more; 0 acts as 0.3."
    )
    nms_confidence_threshold: Float = field(0.0, ge=0, doc="Smallest confidence kept after NMS.")


class ConfidenceConfig(SpecModel):
    """A confidence model, which TAO parses and does not use."""

    confidence_threshold: Float = field(0.0, ge=0, le=1, doc="Without effect.")
    confidence_model_filename: str = field("", doc="Without effect.")
    normalization_mode: str = field("", doc="Without effect.")


class TargetClassPostProcessing(SpecModel):
    """Post-processing of one class."""

    clustering_config: ClusteringConfig = field(doc="How candidates of this class become detections.")
    confidence_config: ConfidenceConfig | None = field(
        None, ignored="confidence models are not supported, in TAO neither", doc="Without effect."
    )

    @check("clustering_config.dbscan_eps")
    def _eps_is_a_distance(self) -> Iterator[Finding]:
        eps = self.clustering_config.dbscan_eps
        if eps > 1:
            text = f"is {eps:g}; it needs to be from 0 to 1, a distance of 1 - IoU"
            yield Finding(("clustering_config", "dbscan_eps"), text)

    def spec_notes(self) -> Iterator[Finding]:
        config = self.clustering_config
        if config.dbscan_eps == 0 and config.clustering_algorithm is not ClusteringAlgorithm.NMS:
            text = "is absent or 0: no two candidates are neighbours, and nothing is joined; 0.15 to 0.3 is usual"
            yield Finding(("clustering_config", "dbscan_eps"), text)
        if config.dbscan_min_samples > 1:
            text = "is more than 1, which TAO 5.0 refuses; it is used as written"
            yield Finding(("clustering_config", "dbscan_min_samples"), text)


class PostProcessingConfig(SpecModel):
    """Post-processing for validation and `evaluate`."""

    target_class_config: dict[str, TargetClassPostProcessing] = field(
        min_length=1, doc="Post-processing of each target class."
    )
