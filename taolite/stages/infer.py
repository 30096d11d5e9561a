"""Run a model over pictures or a video: annotated pictures, and KITTI labels where they are asked for."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.errors import ModelError
from taolite.events import Listener, Notice, Progress, silent
from taolite.files import write_text
from taolite.media.overlay import draw_detections, palette
from taolite.media.sinks import KittiFolder, PictureFolder, VideoFile
from taolite.media.sources import Frame, Source
from taolite.pictures import to_grey
from taolite.sample import Detection
from taolite.sinks.base import Sink
from taolite.stages.models import Model
from taolite.stages.predict import in_photo
from taolite.tasks.base import InferencePlan

__all__ = ["Drawing", "InferReport", "infer", "look", "planned"]


@dataclass(frozen=True)
class Drawing:
    """How results look. `names` and `colours` by class; a class without an entry keeps its name and gets a colour of
    the palette. `shown` None is all classes. `linewidth` None follows the picture's size."""

    names: Mapping[str, str]
    colours: Mapping[str, tuple[int, int, int]]
    shown: frozenset[str] | None = None
    linewidth: int | None = None
    overlay: bool = True
    labels: bool = False


def planned(model: Model, plan: InferencePlan | None) -> tuple[Model, Drawing]:
    """The model as an inference spec wants it run, and how results are drawn; without a spec, as the model says.

    Pictures are stretched to the spec's size, as in TAO, whatever training did (docs/compat/inference.md).
    Raises ModelError where classes, channels or a fixed input size do not agree, or the clustering is not known.
    """
    if plan is None:
        if model.decoding is None:
            raise ModelError("this model does not say how its outputs are read; give an inference spec with -e")
        return model, Drawing({}, {})
    if len(plan.classes) != len(model.classes):
        raise ModelError(
            f"Mismatch in the number of predicted ({len(model.classes)}: {', '.join(model.classes)}) and requested "
            f"({len(plan.classes)}: {', '.join(plan.classes)}) target_classes; list them in the model's order"
        )
    if plan.channels != model.preprocessing.channels:
        raise ModelError(f"image_channels is {plan.channels}, and the model takes {model.preprocessing.channels}")
    preprocessing = replace(model.preprocessing, input_hw=plan.input_hw, fit="stretch")
    decoding = {**(model.decoding or {}), **plan.decoding}
    drawing = Drawing(plan.names, plan.colours, plan.shown, plan.linewidth, plan.overlay, plan.labels)
    return replace(model, classes=plan.classes, preprocessing=preprocessing, decoding=decoding), drawing


@dataclass(frozen=True)
class InferReport:
    """What was looked at and found. `seconds_per_image` is the median from picture to boxes, without
    reading and drawing."""

    images: int
    detections: Mapping[str, int]
    folder: Path
    seconds_per_image: float


def infer(
    model: Model,
    source: Source,
    output: Path,
    *,
    drawing: Drawing,
    batch_size: int = 1,
    sinks: Sequence[Sink] = (),
    table: Path | None = None,
    listener: Listener = silent,
) -> InferReport:
    """Look at every frame of `source`, `batch_size` at once (a camera's one by one); results go to
    `output`/images_annotated (a video: one file) and `output`/labels (reference 12); `sinks` get the pictures too.
    `table` is a CSV file without a header: path, class and score of each find, empty where a picture has none.
    Raises DataError, ModelError, StorageError."""
    assert model.decoding is not None, "the caller gives a model whose decoding is known"
    colours = dict(zip(model.classes, palette(len(model.classes)), strict=True)) | dict(drawing.colours)
    counts = dict.fromkeys(model.classes, 0)
    seconds: list[float] = []
    rows: list[tuple[str, str, float | None]] = []

    def warn(text: str) -> None:
        listener(Notice(text, "warning"))

    with ExitStack() as stack:
        pictures = PictureFolder(output / "images_annotated", protect=source.paths, on_rename=warn)
        labels = KittiFolder(output / "labels", on_rename=warn)
        video = None
        if drawing.overlay and source.kind == "video":
            name = f"{source.paths[0].stem}.mp4"
            video = stack.enter_context(VideoFile(output / "images_annotated" / name, fps=source.fps or 25.0))
        for frames in _batches(source, 1 if source.kind == "camera" else batch_size):
            began = time.perf_counter()
            batch = look(model, [frame.image_hwc for frame in frames])
            seconds += [(time.perf_counter() - began) / len(frames)] * len(frames)
            for looked_at, (frame, found) in enumerate(zip(frames, batch, strict=True), len(seconds) - len(frames)):
                shown = [one for one in found if drawing.shown is None or one.name in drawing.shown]
                for one in shown:
                    counts[one.name] += 1
                path = str(frame.path or frame.name)
                rows += [(path, one.name, one.score) for one in found] or [(path, "", None)]
                if drawing.overlay:
                    annotated = _draw(frame.image_hwc, shown, drawing, colours)
                    if video is not None:
                        video.write(annotated)
                    else:
                        pictures.write(frame.name, annotated)
                    for sink in sinks:
                        sink.pictures({f"inference/{frame.name}": annotated}, looked_at)
                if drawing.labels:
                    renamed = [replace(one, name=drawing.names.get(one.name, one.name)) for one in shown]
                    labels.write(frame.name, renamed)
            unit = "image" if source.kind == "pictures" else "frame"
            listener(Progress("inference", len(seconds), source.total or len(seconds), unit))
    if table is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_text(table, text.getvalue())
    return InferReport(len(seconds), counts, output, float(np.median(seconds)))


def _batches(source: Source, size: int) -> Iterator[list[Frame]]:
    """The frames in groups of `size`, the last one as small as it comes."""
    frames = iter(source)
    while group := list(islice(frames, size)):
        yield group


def look(model: Model, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
    """What the model finds in each (H, W, 3) picture, best first, in pixels of the picture."""
    assert model.decoding is not None
    prep = model.preprocessing
    outputs = model.predict(np.stack([prep.apply(to_grey(one) if prep.channels == 1 else one) for one in images]))
    looked = []
    for index, image_hwc in enumerate(images):
        found = model.task.decode(tuple(output[index] for output in outputs), model.decoding, preprocessing=prep)
        photo_hw = (image_hwc.shape[0], image_hwc.shape[1])
        looked.append(in_photo(model.task, found, model.classes, preprocessing=prep, photo_hw=photo_hw))
    return looked


def _draw(
    image_hwc: NDArray[np.uint8],
    found: list[Detection],
    drawing: Drawing,
    colours: Mapping[str, tuple[int, int, int]],
) -> NDArray[np.uint8]:
    return draw_detections(image_hwc, found, colours, names=drawing.names, linewidth=drawing.linewidth)
