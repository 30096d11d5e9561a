"""A detector over pictures or a video, as jetson-inference's detectnet does it (reference/jetson_workflows.md 9).

Overlapping boxes are suppressed as the model was evaluated, not merged as detectnet does. An ONNX that pytorch-ssd's
onnx_export.py wrote says nothing of itself: its labels file names the classes, and its input is that of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import DataError, ModelError
from taolite.formats.part import read_labels
from taolite.formats.text import read_whole
from taolite.media.output import Output
from taolite.media.overlay import Colour, draw_detections, palette
from taolite.media.sources import Source
from taolite.sample import Detection
from taolite.stages.device import Device
from taolite.stages.inference.infer import look
from taolite.stages.inference.models import Model, open_model
from taolite.tasks.ssd.jetson import foreign_onnx

__all__ = ["Found", "detect", "open_detector", "read_colours"]


@dataclass(frozen=True)
class Found:
    """A frame, what is in it, best first, in its pixels, and where it was written with that."""

    name: str
    detections: tuple[Detection, ...]
    written: Path | None


def open_detector(
    path: Path, labels: Path | None, *, key: Key | None, device: Device, decoding: Mapping[str, Any]
) -> Model:
    """Open a detector whose classes are those of the file `labels`, one a line, BACKGROUND or not, with settings of
    `decoding` instead of its own.

    Raises what `open_model` raises; ModelError where it is no detector; DataError where the file's names are not the
    model's, or a model that says nothing of itself has no labels or another count of them.
    """
    names = read_labels(labels)[0] if labels else None
    model = open_model(path, key=key, device=device, assumed=_foreign(path, names, key) if path.is_file() else None)
    if model.task.network_type != 0:
        raise ModelError(f"{path} is a model of {model.task.name}, not a detector; its own inference task runs it")
    if names is not None and names != model.classes:
        listed = f"{labels} names {', '.join(names)}; {path} finds {', '.join(model.classes)}"
        raise DataError(f"{listed}; leave --labels out, the model knows its classes")
    return replace(model, decoding={**(model.decoding or {}), **decoding})


def detect(
    model: Model, source: Source, output: Path | None, *, colours: Mapping[str, Colour] | None = None
) -> Iterator[Found]:
    """Look at every frame of `source`. `output`: see `taolite.media.output`; None writes nothing. A class without a
    colour has one of the palette. Raises DataError, UsageError, StorageError."""
    shades = {**dict(zip(model.classes, palette(len(model.classes)), strict=True)), **(colours or {})}
    with ExitStack() as stack:
        writer = None if output is None else Output(output, source, stack)
        for frame in source:
            (detections,) = look(model, [frame.image_hwc])
            written = writer.write(frame, draw_detections(frame.image_hwc, detections, shades)) if writer else None
            yield Found(frame.name, tuple(detections), written)


def read_colours(path: Path, classes: Sequence[str]) -> dict[str, Colour]:
    """The colours of detectnet's file: `r g b`, or `r g b a`, a line, that of BACKGROUND first. Raises DataError."""
    lines = [line.split() for line in read_whole(path).splitlines() if line.strip()]
    for number, words in enumerate(lines, start=1):
        if len(words) not in (3, 4) or not all(word.isdecimal() and int(word) < 256 for word in words):
            raise DataError(
                f"{path}: colour {number} is `{' '.join(words)}`; it needs three or four numbers of 0 to 255"
            )
    if len(lines) != len(classes) + 1:
        raise DataError(f"{path} has {len(lines)} colours; BACKGROUND and {len(classes)} classes need one each")
    return {name: (int(r), int(g), int(b)) for name, (r, g, b, *_) in zip(classes, lines[1:], strict=True)}


def _foreign(path: Path, names: tuple[str, ...] | None, key: Key | None) -> OnnxMeta | None:
    """What is assumed of an ONNX without a word of its own: it is pytorch-ssd's."""
    if sniff(path) is not Kind.ONNX:
        return None
    onnx = read_model(path, key=key).onnx
    if onnx_graph.read_meta(onnx) is not None:
        return None
    signature = onnx_graph.signature(onnx)
    ((_, shape),) = signature.inputs.items()
    scores, boxes = signature.outputs.get("scores"), signature.outputs.get("boxes")
    if scores is None or boxes is None or len(shape) != 4:
        raise DataError(f"{path} is no model of ours, and none of pytorch-ssd's either: it gives no scores and boxes")
    if names is None or scores[-1] != len(names) + 1:
        count = scores[-1] - 1
        given = "no labels are given" if names is None else f"{len(names)} labels are given"
        raise DataError(f"{path} finds {count} classes and does not say which, and {given}; give its labels.txt")
    preprocessing, decoding = foreign_onnx((shape[2], shape[3]), priors=scores[1])
    return OnnxMeta("ssd", names, preprocessing, decoding)
