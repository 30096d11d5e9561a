"""What is shown of a run, as set in the spec's `visualizer` (reference 1.13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taolite.tasks.base import Watch
from taolite.tasks.detectnet.cluster import Clustering
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.spec.training import VisualizerConfig
from taolite.tasks.services import clearml_settings, wandb_settings

__all__ = ["watch"]

_OVERLAP = 0.5  # IoU above which only the better of two boxes is drawn


def watch(spec: DetectNetSpec, decoding: Mapping[str, Any]) -> Watch:
    """The settings of the spec's `visualizer`; without a `visualizer`, only curves are shown.

    Boxes are drawn for cells above the class's coverage threshold; of overlapping boxes, only the best is drawn. If
    the visualizer sets no threshold for a class, the threshold of the class's clustering is used.
    """
    config = spec.training_config.visualizer or VisualizerConfig()
    rows = spec.postprocessing_config.target_class_config
    thresholds = [
        config.target_class_config[name].coverage_threshold
        if name in config.target_class_config
        else rows[name].clustering_config.coverage_threshold
        for name in spec.classes
    ]
    drawn = [
        Clustering("nms", coverage_threshold=threshold, nms_iou_threshold=_OVERLAP).to_json()
        for threshold in thresholds
    ]
    return Watch(
        points=config.scalar_logging_frequency,
        every_epochs=config.infrequent_logging_frequency if config.enabled else None,
        pictures=config.num_images,
        decoding={**decoding, "clusterings": drawn},
        wandb=wandb_settings(config.wandb_config, "model"),
        clearml=clearml_settings(config.clearml_config),
    )
