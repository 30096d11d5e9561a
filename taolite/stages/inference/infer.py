"""Run a model over pictures or a video and pass the results to listeners; and the settings of an inference spec."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import ModelError
from taolite.events import Listener, Progress, silent
from taolite.media.sources import Source
from taolite.preprocessing import Preprocessing
from taolite.stages.inference.listeners import Drawing, SeenListener
from taolite.stages.inference.look import looked
from taolite.stages.inference.models import Model
from taolite.stages.inference.pipeline import Pipeline
from taolite.stages.inference.tally import Tally
from taolite.tasks.base import BEST_THRESHOLD, InferencePlan

__all__ = ["InferReport", "infer", "plan_meta", "planned"]


@dataclass(frozen=True)
class InferReport:
    """What was processed and found.

    Attributes:
        seconds_per_image: median time from picture to boxes, without reading and drawing.
        times: median seconds an image of each part (`tally.PARTS`; drawing is in `write`), which overlap.
    """

    images: int
    detections: Mapping[str, int]
    seconds_per_image: float
    times: Mapping[str, float] = field(default_factory=dict)


def infer(
    model: Model,
    source: Source,
    listeners: Sequence[SeenListener],
    *,
    drawing: Drawing,
    batch_size: int = 1,
    listener: Listener = silent,
) -> InferReport:
    """Run the model on every frame of `source`, `batch_size` at once, and pass each to every listener. A live source
    gives only its newest frame. Counts the detections that `drawing` shows.

    Raises DataError, ModelError, StorageError, UsageError.
    """
    counts = dict.fromkeys(model.classes, 0)
    seconds, tally = array("d"), Tally()
    with Pipeline(source.stop) as pipeline:
        for seen in looked(pipeline, model, source, batch_size=batch_size, live=source.is_live):
            began_s = time.perf_counter()
            seconds.append(seen.seconds)
            for one in drawing.chosen(seen.found):
                counts[one.name] += 1
            for take in listeners:
                take(seen)
            tally.add(seen, write_s=time.perf_counter() - began_s)
            unit = "image" if source.kind == "pictures" else "frame"
            listener(Progress("inference", len(seconds), source.total or len(seconds), unit))
    return InferReport(len(seconds), counts, float(np.median(seconds)), tally.report().times)


def plan_meta(plan: InferencePlan) -> OnnxMeta:
    """The description that the spec gives a detector's ONNX without metadata, such as NVIDIA's TAO 5 models, whose
    input is RGB / 255."""
    preprocessing = Preprocessing(plan.input_hw, plan.channels, fit="stretch")
    return OnnxMeta("detectnet", plan.classes, preprocessing, dict(plan.decoding))


def planned(model: Model, plan: InferencePlan | None) -> tuple[Model, Drawing]:
    """The model with the settings of an inference spec, and how to draw results; without a spec, the model's own, from
    its best thresholds on.

    Pictures are stretched to the spec's size, as in TAO, even if training did otherwise (docs/compat/inference.md); but
    a model trained with `taolite { keep_aspect }`, which TAO does not have, keeps their aspect.
    Raises ModelError where classes, channels or a fixed input size do not agree, or the clustering is not known.
    """
    if plan is None:
        if model.decoding is None:
            raise ModelError("this model does not say how its outputs are read; give an inference spec with -e")
        best: Mapping[str, float] = model.decoding.get(BEST_THRESHOLD, {})
        if best:
            model = replace(model, decoding=model.use.at_threshold(model.decoding, min(best.values())))
        return model, Drawing(model.classes, least=best)
    if len(plan.classes) != len(model.classes):
        raise ModelError(
            f"Mismatch in the number of predicted ({len(model.classes)}: {', '.join(model.classes)}) and requested "
            f"({len(plan.classes)}: {', '.join(plan.classes)}) target_classes; list them in the model's order"
        )
    if [name.lower() for name in plan.classes] != [name.lower() for name in model.classes]:
        raise ModelError(
            f"the model finds {', '.join(model.classes)}, and the spec's target_classes are "
            f"{', '.join(plan.classes)}; list them as the model does (output_map renames a class in the results)"
        )
    if plan.channels != model.preprocessing.channels:
        raise ModelError(f"image_channels is {plan.channels}, and the model takes {model.preprocessing.channels}")
    own = model.preprocessing
    keeps_aspect = own.fit == "aspect" and not own.least_side and not own.most_side  # trained with taolite's block
    preprocessing = replace(own, input_hw=plan.input_hw, fit="aspect" if keeps_aspect else "stretch")
    decoding = {**(model.decoding or {}), **plan.decoding}
    drawing = Drawing(plan.classes, plan.names, plan.colours, plan.shown, plan.linewidth)
    return replace(model, classes=plan.classes, preprocessing=preprocessing, decoding=decoding), drawing
