"""The inference spec -> settings that run a model and draw its results (reference 1.15 and 12). No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from taolite import spec as specs
from taolite.tasks.base import EnginePlan, InferencePlan
from taolite.tasks.detectnet.decode import Clustering
from taolite.tasks.detectnet.spec import BackendDataType, ClasswiseBboxHandler, InferenceSpec, TensorRTConfig
from taolite.tasks.services import wandb_settings

__all__ = ["load_plan"]

_PRECISIONS: dict[BackendDataType, Literal["fp32", "fp16", "int8"]] = {
    BackendDataType.FP32: "fp32",
    BackendDataType.FP16: "fp16",
    BackendDataType.INT8: "int8",
}


def load_plan(path: Path) -> InferencePlan:
    """Read the inference spec at `path`; raises SpecError with all its problems."""
    reading = specs.read(path, InferenceSpec)
    spec = reading.model
    inferencer, handler = spec.inferencer_config, spec.bbox_handler_config
    handlers = handler.classwise_bbox_handler_config
    own = {name: handlers[name] for name in inferencer.target_classes if name in handlers}
    rows = {
        name: own.get(name) or handlers["default"] for name in inferencer.target_classes
    }  # the spec's validation guarantees that each lookup succeeds
    decoding: dict[str, Any] = {"clusterings": [_clustering(row).to_json() for row in rows.values()]}
    if "stride" in inferencer.model_fields_set:
        decoding["stride"] = inferencer.stride
    return InferencePlan(
        model=inferencer.tlt_config.model if inferencer.tlt_config else "",
        engine=_engine(inferencer.tensorrt_config) if inferencer.tensorrt_config else None,
        batch_size=inferencer.batch_size,
        gpu_index=inferencer.gpu_index,
        classes=inferencer.target_classes,
        input_hw=(inferencer.image_height, inferencer.image_width),
        channels=inferencer.image_channels,
        decoding=decoding,
        names={name: row.output_map for name, row in own.items() if row.output_map},
        colours={name: (c.R, c.G, c.B) for name, row in rows.items() if (c := row.bbox_color) is not None},
        shown=frozenset(handler.postproc_classes) or None,
        labels=handler.kitti_dump,
        overlay=not handler.disable_overlay,
        linewidth=handler.overlay_linewidth + 1 if "overlay_linewidth" in handler.model_fields_set else None,
        notes=tuple(
            f"Object type {name} not defined in cluster file. Falling back to default values"
            for name in rows
            if name not in own
        ),
        wandb=wandb_settings(handler.wandb_config, "detectnet_v2_inference"),
        warnings=tuple(warning.said for warning in reading.warnings),
    )


def _clustering(row: ClasswiseBboxHandler) -> Clustering:
    model: Literal["aggregate_cov", "mean_cov"] = "mean_cov" if row.confidence_model == "mean_cov" else "aggregate_cov"
    return Clustering.from_spec(row.clustering, confidence_model=model)


def _engine(config: TensorRTConfig) -> EnginePlan:
    return EnginePlan(
        file=config.trt_engine,
        source=config.etlt_model or config.uff_model or config.caffemodel,
        parser=config.parser.value,
        precision=_PRECISIONS[config.backend_data_type],
        save=config.save_engine,
        calibration_cache=config.calibrator_config.calibration_cache if config.calibrator_config else "",
    )
