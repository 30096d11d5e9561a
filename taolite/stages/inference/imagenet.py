"""A classifier over pictures or a video, as jetson-inference's imagenet does it (reference/jetson_workflows.md 8).

Pictures are cropped as in training, unless they are to be stretched as imagenet does. An ONNX that jetson-inference's
onnx_export.py wrote says nothing of itself: its labels file names the classes, and its input is that of train.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import DataError, ModelError
from taolite.formats.text import read_whole
from taolite.media.output import Output
from taolite.media.overlay import draw_detections, palette
from taolite.media.sources import Source
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection
from taolite.stages.device import Device
from taolite.stages.inference.infer import look
from taolite.stages.inference.models import Model, open_model
from taolite.tasks.classification.decode import of_every_class

__all__ = ["Manner", "Rank", "Seen", "classify", "open_classifier"]

_MEAN, _STD = (123.675, 116.28, 103.53), (0.229, 0.224, 0.225)  # ImageNet's; the mean of values 0..255


@dataclass(frozen=True)
class Manner:
    """`top` classes a picture of at least `threshold`; 0 is all, None the model's own: the likeliest class from 0.01
    on, or every tag from its threshold on. `smoothing` of a video's frames: the weight of a new one (0..1), or a number
    of frames (above 1); 0 is none. `fit` None is the model's own."""

    threshold: float | None = None
    top: int | None = None
    smoothing: float = 0.0
    fit: Literal["crop", "stretch"] | None = None


@dataclass(frozen=True)
class Rank:
    """A class of a picture: its index, name, and confidence 0..1."""

    index: int
    label: str
    confidence: float


@dataclass(frozen=True)
class Seen:
    """A picture, what it shows, the likeliest first, where it was written with that, and which score counts."""

    name: str
    ranks: tuple[Rank, ...]
    written: Path | None
    least: float


def open_classifier(path: Path, labels: Path | None, *, key: Key | None, device: Device) -> Model:
    """Open a classifier whose classes are those of the file `labels`, one a line.

    Raises what `open_model` raises; ModelError where it is no classifier; DataError where the file's names are not the
    model's, or a model that says nothing of itself has no labels or another count of them.
    """
    names = _read_labels(labels) if labels else None
    model = open_model(path, key=key, device=device, assumed=_foreign(path, names, key) if path.is_file() else None)
    if model.task.name != "classification":
        raise ModelError(f"{path} is a model of {model.task.name}; its own inference task runs it")
    if names is not None and names != model.classes:
        listed = f"{labels} names {', '.join(names)}; {path} finds {', '.join(model.classes)}"
        raise DataError(f"{listed}; leave --labels out, the model knows its classes")
    return model


def classify(model: Model, source: Source, output: Path | None, *, manner: Manner) -> Iterator[Seen]:
    """Look at every frame of `source`. `output`: a picture or video file, or a folder; None writes nothing.
    Raises DataError, UsageError, StorageError."""
    least, top = _answer(model, manner)
    fit = {"crop": "cover", "stretch": "stretch", None: model.preprocessing.fit}[manner.fit]
    prep = replace(model.preprocessing, fit=fit, least_side=0 if manner.fit else model.preprocessing.least_side)
    every = replace(model, preprocessing=prep, decoding=of_every_class(model.decoding or {}, len(model.classes)))
    colours = dict(zip(model.classes, palette(len(model.classes)), strict=True))
    mean: NDArray[np.float64] | None = None
    with ExitStack() as stack:
        writer = None if output is None else Output(output, source, stack)
        for frame in source:
            (ranked,) = look(every, [frame.image_hwc])
            by_name = {one.name: one.score for one in ranked}
            scores = np.array([by_name[name] for name in model.classes])
            if manner.smoothing and source.kind != "pictures":
                weight = manner.smoothing if manner.smoothing < 1 else 1 / manner.smoothing
                mean = scores = scores if mean is None else mean + weight * (scores - mean)
            order = np.argsort(-scores, kind="stable")[: top or None]
            ranks = tuple(Rank(int(k), model.classes[k], float(scores[k])) for k in order if scores[k] >= least)
            shown = [Detection(rank.label, None, rank.confidence) for rank in ranks]
            written = writer.write(frame, draw_detections(frame.image_hwc, shown, colours)) if writer else None
            yield Seen(frame.name, ranks, written, least)


def _answer(model: Model, manner: Manner) -> tuple[float, int]:
    """The least score, and how many classes are given; 0 is all."""
    tags = (model.decoding or {}).get("threshold")
    least, top = (0.01, 1) if tags is None else (tags, 0)
    return (
        least if manner.threshold is None else manner.threshold,
        top if manner.top is None else manner.top,
    )


def _read_labels(path: Path) -> tuple[str, ...]:
    """The names of a labels file: blank lines at its end are none, an ImageNet id in front is left out."""
    lines = [line.strip() for line in read_whole(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise DataError(f"{path}: line {lines.index('') + 1} is blank, and every class after it has a wrong number")
    return tuple(
        line.split(" ", 1)[1] if len(line) > 10 and line[0] == "n" and line[1:9].isdigit() else line for line in lines
    )


def _foreign(path: Path, names: tuple[str, ...] | None, key: Key | None) -> OnnxMeta | None:
    """What is assumed of an ONNX without a word of its own: it is train.py's (reference/jetson_workflows.md 3)."""
    if sniff(path) is not Kind.ONNX:
        return None
    onnx = read_model(path, key=key).onnx
    if onnx_graph.read_meta(onnx) is not None:
        return None
    signature = onnx_graph.signature(onnx)
    ((_, shape),) = signature.inputs.items()
    outputs = list(signature.outputs.values())
    if names is None or len(shape) != 4 or len(outputs) != 1 or outputs[0][-1] != len(names):
        found = "no labels are given" if names is None else f"{len(names)} labels are given, it gives {outputs}"
        raise DataError(f"{path} does not say its classes, and {found}; give its labels.txt with --labels")
    prep = Preprocessing((shape[2], shape[3]), 3, fit="cover", offsets=_MEAN, stds=_STD)
    return OnnxMeta("classification", names, prep, {"top": 1})
