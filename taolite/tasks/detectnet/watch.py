"""What a spec's `visualizer` asks to see of a run (reference 1.13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from taolite.sinks.clearml import ClearmlSettings
from taolite.sinks.wandb import WandbSettings
from taolite.tasks.base import Watch
from taolite.tasks.detectnet.cluster import Clustering
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.spec.training import ClearMLConfig, VisualizerConfig, WandBConfig, WandBMode

__all__ = ["wandb_settings", "watch"]

_MODES: dict[WandBMode, Literal["online", "offline", "disabled"]] = {
    WandBMode.ONLINE: "online",
    WandBMode.OFFLINE: "offline",
    WandBMode.DISABLED: "disabled",
}
_OVERLAP = 0.5  # of boxes that are drawn as one


def watch(spec: DetectNetSpec, decoding: Mapping[str, Any]) -> Watch:
    """The `visualizer` of a spec; absent, curves alone. Boxes are those of cells above the class's threshold (its
    clustering's, where the visualizer names none), the best of each that overlap."""
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
        clearml=_clearml_settings(config.clearml_config),
    )


def wandb_settings(config: WandBConfig | None, name: str) -> WandbSettings | None:
    """The settings of a `wandb_config`; None where there is none or it says `enabled: false`."""
    if config is None or ("enabled" in config.model_fields_set and not config.enabled):
        return None
    return WandbSettings(
        name=config.name or name,
        project=config.project,
        entity=config.entity,
        tags=config.tags,
        notes=config.notes,
        folder=config.wandb_dir,
        mode=_MODES[config.mode] if "mode" in config.model_fields_set else None,
    )


def _clearml_settings(config: ClearMLConfig | None) -> ClearmlSettings | None:
    return ClearmlSettings(**config.model_dump()) if config is not None else None
