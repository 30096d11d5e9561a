"""ONNX that taolite did not export: recognised by its outputs, and turned into one that runs like ours.

    NVIDIA's TAO 5, DetectNet_v2   output_cov/Sigmoid (N, K, h, w), output_bbox/BiasAdd (N, 4 K, h, w)
    NVIDIA's TAO 5, classification predictions/Softmax (N, K)
    pytorch-ssd's onnx_export.py   scores (N, P, K + 1), background first; boxes (N, P, 4)
    any other classifier           one output (N, K), e.g. jetson-inference's output_0

TAO 5 appends `:0` to the names, and the outputs may be in any order. Such a model has no metadata about its classes,
preprocessing and decoding; these come from a spec or a file of labels:

    onnx, meta = described(onnx, OnnxMeta("detectnet", classes, preprocessing, decoding))

The result is like an export of ours: same names, same order, same metadata.
Legend: N images, K classes, P priors, h x w cells.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import ModelError
from taolite.onnxfile import parse_onnx
from taolite.preprocessing import Preprocessing

__all__ = ["Foreign", "adopted", "described", "recognise"]

Shape = tuple[int, ...]
_DETECTNET = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
_SSD = ("scores", "boxes")
_NVIDIA_CLASSES = "predictions/Softmax"


@dataclass(frozen=True)
class Foreign:
    """A model that was recognised.

    Attributes:
        task: whose network it is, e.g. "detectnet".
        origin: who writes such models, for messages.
        outputs: our name of each output, in the order the task reads them -> its name in the model.
        input_hw, channels: of the pictures it takes.
        classes: how many it tells apart, background not counted.
        priors: of an SSD; 0 for other networks.
    """

    task: str
    origin: str
    outputs: Mapping[str, str]
    input_hw: tuple[int, int]
    channels: int
    classes: int
    priors: int = 0

    def unnamed(self) -> OnnxMeta:
        """Metadata without a spec: classes are numbered, decoding is empty, so running the model needs a spec."""
        preprocessing = Preprocessing(self.input_hw, self.channels)
        return OnnxMeta(self.task, tuple(f"class_{index}" for index in range(self.classes)), preprocessing)


def recognise(onnx: bytes) -> Foreign | None:
    """Recognise a model by the names and shapes of its outputs; None if it is of none of the kinds above.

    Raises EngineError where it is no ONNX.
    """
    signature = onnx_graph.signature(onnx)
    if len(signature.inputs) != 1:
        return None
    ((_, shape),) = signature.inputs.items()
    if len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < 1:
        return None
    named = {name.removesuffix(":0"): name for name in signature.outputs}
    shapes = {name: signature.outputs[theirs] for name, theirs in named.items()}
    task, origin, ours, classes, priors = _kind(shapes)
    if classes < 1:
        return None
    return Foreign(
        task,
        origin,
        outputs={name: named[found] for name, found in ours.items()},
        input_hw=(shape[2], shape[3]),
        channels=shape[1],
        classes=classes,
        priors=priors,
    )


def described(onnx: bytes, assumed: OnnxMeta | None) -> tuple[bytes, OnnxMeta | None]:
    """A model and its metadata: its own, where it has some; else `assumed`, and the model is `adopted` if recognised.

    Raises EngineError where it is no ONNX; ModelError where it is recognised and `assumed` is for another model.
    """
    meta = onnx_graph.read_meta(onnx)
    if meta is not None or assumed is None:
        return onnx, meta
    found = recognise(onnx)
    return (onnx if found is None else adopted(onnx, found, assumed)), assumed


def adopted(onnx: bytes, found: Foreign, meta: OnnxMeta) -> bytes:
    """The model with our names of input and outputs, in our order, with the metadata `meta`.

    Raises ModelError where `meta` is of another task, another number of classes, another input size or other channels.
    """
    wanted = (meta.task, len(meta.classes), meta.preprocessing.input_hw, meta.preprocessing.channels)
    if wanted != (found.task, found.classes, found.input_hw, found.channels):
        raise ModelError(_mismatch(found, meta))
    model = parse_onnx(onnx)
    constants = {tensor.name for tensor in model.graph.initializer}
    (source,) = [value for value in model.graph.input if value.name not in constants]
    new_names = {theirs: ours for ours, theirs in found.outputs.items()} | {source.name: "input_1"}
    _rename(model.graph, new_names)
    by_name = {value.name: value for value in model.graph.output}
    in_order = [copy.deepcopy(by_name[name]) for name in found.outputs]
    del model.graph.output[:]
    model.graph.output.extend(in_order)
    return onnx_graph.write_meta(bytes(model.SerializeToString(deterministic=True)), meta)


def _kind(shapes: Mapping[str, Shape]) -> tuple[str, str, dict[str, str], int, int]:
    """Task, origin, our names -> theirs, classes and priors; no classes where the outputs are of no kind we know."""
    if set(_DETECTNET) <= set(shapes):
        cov, bbox = (shapes[name] for name in _DETECTNET)
        fits = len(cov) == len(bbox) == 4 and bbox[1] == 4 * cov[1] and cov[2:] == bbox[2:]
        return "detectnet", "NVIDIA's TAO", {name: name for name in _DETECTNET}, cov[1] if fits else 0, 0
    if set(_SSD) <= set(shapes):
        scores, boxes = (shapes[name] for name in _SSD)
        fits = len(scores) == len(boxes) == 3 and boxes[2] == 4 and scores[1] == boxes[1]
        return "ssd", "pytorch-ssd", {name: name for name in _SSD}, scores[2] - 1 if fits else 0, scores[1]
    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        origin = "NVIDIA's TAO" if name == _NVIDIA_CLASSES else "another program"
        return "classification", origin, {_NVIDIA_CLASSES: name}, shape[1] if len(shape) == 2 else 0, 0
    return "", "", {}, 0, 0


def _rename(graph: Any, new_names: Mapping[str, str]) -> None:
    """Rename tensors of a GraphProto and of its subgraphs, in place; a tensor that has one of the new names already is
    renamed too."""
    moved = {ours: f"{ours}/before_renaming" for ours in new_names.values() if ours not in new_names}
    names = moved | {theirs: ours for theirs, ours in new_names.items() if theirs != ours}

    def walk(part: Any) -> None:
        for node in part.node:
            for side in (node.input, node.output):
                side[:] = [names.get(name, name) for name in side]
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                    walk(inner)
        for value in (*part.input, *part.output, *part.value_info, *part.initializer):
            value.name = names.get(value.name, value.name)

    walk(graph)


def _mismatch(found: Foreign, meta: OnnxMeta) -> str:
    """The message that names both the model and what was asked for."""

    def told(task: str, classes: int, input_hw: tuple[int, int], channels: int) -> str:
        plural = "" if classes == 1 else "es"
        return f"{task}, {classes} class{plural}, {channels} x {input_hw[0]} x {input_hw[1]} (channels, height, width)"

    model = told(found.task, found.classes, found.input_hw, found.channels)
    prep = meta.preprocessing
    asked = told(meta.task, len(meta.classes), prep.input_hw, prep.channels)
    return (
        f"the ONNX of {found.origin} is {model}; it is asked for as {asked}; give the spec the model was trained with"
    )
