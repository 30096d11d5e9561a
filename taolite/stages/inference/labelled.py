"""Models whose classes are named by a labels file, as jetson-inference's commands take them.

A model of ours knows its classes, and the file must agree. An ONNX written by jetson-inference's onnx_export.py scripts
has no metadata: the file names its classes, and its input is assumed to be prepared as in their training.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.engines import onnx_graph
from taolite.engines.base import RuntimeName
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import DataError, ModelError
from taolite.events import Listener, silent
from taolite.formats.part import read_labels
from taolite.formats.text import read_whole, show
from taolite.media.overlay import Colour
from taolite.preprocessing import Preprocessing
from taolite.stages.inference.engine_cache import KeptEngines
from taolite.stages.inference.models import Model, open_model
from taolite.tasks.ssd.foreign import foreign_onnx
from taolite.wording import counted

__all__ = ["open_classifier", "open_detector", "open_named", "read_colours"]

_MEAN, _STD = (123.675, 116.28, 103.53), (0.229, 0.224, 0.225)  # ImageNet's, for values 0..255

_LISTED = 20  # names that a message lists
_IMAGENET_ID = re.compile("n[0-9]{8} .")

Names = tuple[str, ...]


def open_classifier(path: Path, labels: Path | None, *, key: Key | None, listener: Listener = silent) -> Model:
    """Open a classifier whose classes are those of the file `labels`, one a line.

    Raises what `open_model` raises; ModelError where it is not a classifier; DataError where the names in the file are
    not the model's, or where a model without metadata has no labels or another number of them.
    """
    names = _imagenet_labels(labels) if labels else None
    return _open(path, labels, names, key, assume=_from_train_py, of="classification", listener=listener)


def open_detector(
    path: Path, labels: Path | None, *, key: Key | None, decoding: Mapping[str, Any], listener: Listener = silent
) -> Model:
    """Open a detector whose classes are those of the file `labels`, one a line, with or without BACKGROUND. `decoding`
    replaces some of the model's own settings.

    Raises as `open_classifier`; ModelError where it is not a detector.
    """
    names = read_labels(labels)[0] if labels else None
    model = _open(path, labels, names, key, assume=_from_pytorch_ssd, listener=listener)
    if model.use.network_type != 0:
        raise ModelError(
            f"{path}: this is a model for {model.use.title}, not a detector; `taolite jetson imagenet` runs it"
        )
    return replace(model, decoding={**(model.decoding or {}), **decoding})


def open_named(
    path: Path,
    labels: Path | None = None,
    *,
    key: Key | None,
    runtime: RuntimeName | None = None,
    engines: KeptEngines | None = None,
    listener: Listener = silent,
) -> Model:
    """Open a model of any task; the file `labels`, one name a line, names the classes of an ONNX that does not.

    Such an ONNX with outputs `scores` and `boxes` is a detector of pytorch-ssd's, any other a classifier of train.py's.
    Raises as `open_classifier`.
    """

    def assumed() -> OnnxMeta:
        onnx = read_model(path, key=key).onnx
        if {"scores", "boxes"} <= set(onnx_graph.signature(onnx).outputs):
            return _from_pytorch_ssd(path, onnx, read_labels(labels)[0] if labels else None)
        return _from_train_py(path, onnx, _imagenet_labels(labels) if labels else None)

    model = open_model(path, key=key, runtime=runtime, assumed=assumed, engines=engines, listener=listener)
    if labels is not None:
        detects = model.use.network_type == 0
        _compare(labels, read_labels(labels)[0] if detects else _imagenet_labels(labels), model)
    return model


def _open(
    path: Path,
    labels: Path | None,
    names: Names | None,
    key: Key | None,
    *,
    assume: Callable[[Path, bytes, Names | None], OnnxMeta],
    of: str | None = None,
    listener: Listener,
) -> Model:
    def assumed() -> OnnxMeta:
        return assume(path, read_model(path, key=key).onnx, names)

    model = open_model(path, key=key, of=of, assumed=assumed, listener=listener)
    if labels is not None and names is not None:
        _compare(labels, names, model)
    return model


def _compare(labels: Path, names: Names, model: Model) -> None:
    """Raises DataError where the names in the file are not the model's; the model is closed then."""
    if names == model.classes:
        return
    model.close()
    if max(len(names), len(model.classes)) <= _LISTED:
        found = f"{labels} names {', '.join(names)}; {model.source} finds {', '.join(model.classes)}"
    elif len(names) != len(model.classes):
        classes = counted(len(model.classes), "class", "classes")
        found = f"{labels} has {counted(len(names), 'label')}, and {model.source} has {classes}"
    else:
        at = next(at for at, pair in enumerate(zip(names, model.classes, strict=True)) if pair[0] != pair[1])
        found = f"{labels}: label {at + 1} is {names[at]}, and class {at + 1} of {model.source} is {model.classes[at]}"
    raise DataError(f"{found}; leave --labels out, the model knows its classes")


def _from_train_py(path: Path, onnx: bytes, names: Names | None) -> OnnxMeta:
    """The metadata assumed for a classifier's ONNX without any: that of train.py (reference/jetson_workflows.md 3)."""
    signature = onnx_graph.signature(onnx)
    ((_, shape),) = signature.inputs.items()
    outputs = list(signature.outputs.values())
    if names is None or len(shape) != 4 or len(outputs) != 1 or outputs[0][-1] != len(names):
        found = "no labels are given" if names is None else f"{_given(names)}, it gives {outputs}"
        raise DataError(f"{path} does not say its classes, and {found}; give its labels.txt with --labels")
    prep = Preprocessing((shape[2], shape[3]), 3, fit="cover", offsets=_MEAN, stds=_STD)
    return OnnxMeta("classification", names, prep, {"top": 1})


def _from_pytorch_ssd(path: Path, onnx: bytes, names: Names | None) -> OnnxMeta:
    """The metadata assumed for a detector's ONNX without any: that of pytorch-ssd."""
    signature = onnx_graph.signature(onnx)
    ((_, shape),) = signature.inputs.items()
    scores, boxes = signature.outputs.get("scores"), signature.outputs.get("boxes")
    if scores is None or boxes is None or len(shape) != 4:
        raise DataError(f"{path} is not a model of taolite or pytorch-ssd: it has no outputs `scores` and `boxes`")
    if names is None or scores[-1] != len(names) + 1:
        count = scores[-1] - 1
        given = "no labels are given" if names is None else _given(names)
        found = f"{path} finds {counted(count, 'class', 'classes')} and does not say which"
        raise DataError(f"{found}, and {given}; give its labels.txt")
    preprocessing, decoding = foreign_onnx((shape[2], shape[3]), priors=scores[1])
    return OnnxMeta("ssd", names, preprocessing, decoding)


def _given(names: Names) -> str:
    return "1 label is given" if len(names) == 1 else f"{len(names)} labels are given"


def _imagenet_labels(path: Path) -> Names:
    """The names in a labels file, without blank lines at its end and without leading ImageNet ids."""
    lines = [line.strip() for line in read_whole(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise DataError(f"{path}: line {lines.index('') + 1} is blank, and every class after it has a wrong number")
    return tuple(line[10:] if _IMAGENET_ID.match(line) else line for line in lines)


def _is_colour(word: str) -> bool:
    return word.isdecimal() and len(word) <= 3 and int(word) < 256


def read_colours(path: Path, classes: Sequence[str]) -> dict[str, Colour]:
    """The colours of detectnet's file: one `r g b` or `r g b a` a line, BACKGROUND first. Raises DataError."""
    lines = [line.split() for line in read_whole(path).splitlines() if line.strip()]
    for number, words in enumerate(lines, start=1):
        if len(words) not in (3, 4) or not all(_is_colour(word) for word in words):
            raise DataError(
                f"{path}: colour {number} is {show(' '.join(words))}; it needs three or four numbers of 0 to 255"
            )
    if len(lines) != len(classes) + 1:
        wanted = f"BACKGROUND and {counted(len(classes), 'class', 'classes')} need one each"
        raise DataError(f"{path} has {counted(len(lines), 'colour')}; {wanted}")
    return {name: (int(r), int(g), int(b)) for name, (r, g, b, *_) in zip(classes, lines[1:], strict=True)}
