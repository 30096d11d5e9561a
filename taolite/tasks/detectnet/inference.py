"""The inference spec -> how a model is run and its results are drawn (reference 1.15 and 12). No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taolite import spec as specs
from taolite.tasks.base import InferencePlan
from taolite.tasks.detectnet.decode import Clustering
from taolite.tasks.detectnet.spec import InferenceSpec

__all__ = ["load_plan"]


def load_plan(path: Path) -> InferencePlan:
    """Read the inference spec at `path`; raises SpecError with all its problems."""
    reading = specs.read(path, InferenceSpec)
    spec = reading.model
    inferencer, handler = spec.inferencer_config, spec.bbox_handler_config
    rows = {name: _row(spec, name) for name in inferencer.target_classes}
    tlt, engine = inferencer.tlt_config, inferencer.tensorrt_config
    return InferencePlan(
        model=tlt.model if tlt else (engine.trt_engine or engine.etlt_model) if engine else "",
        classes=inferencer.target_classes,
        input_hw=(inferencer.image_height, inferencer.image_width),
        channels=inferencer.image_channels,
        decoding={"clusterings": [Clustering.from_spec(row.clustering).to_json() for row in rows.values()]},
        names={name: row.output_map for name, row in rows.items() if row.output_map},
        colours={name: (c.R, c.G, c.B) for name, row in rows.items() if (c := row.bbox_color) is not None},
        shown=frozenset(handler.postproc_classes) or None,
        labels=handler.kitti_dump,
        overlay=not handler.disable_overlay,
        linewidth=handler.overlay_linewidth or None,
        warnings=tuple(f"line {warning.line}: {warning.text}" for warning in reading.warnings),
    )


def _row(spec: InferenceSpec, name: str) -> Any:
    """The handler of a class, or the one called `default` (the spec's check made sure that there is one)."""
    handlers = spec.bbox_handler_config.classwise_bbox_handler_config
    return handlers.get(name) or handlers["default"]
