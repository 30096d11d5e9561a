"""The two files that DeepStream's `nvinfer` needs beside a model: `nvinfer_config.txt` and `labels.txt`.

First come TAO's keys of `--gen_ds_config`, in TAO's order (reference/detectnet_v2.md 11.5). Then come the keys that TAO
leaves to the user: precision, clustering and thresholds (reference/deploy.md 8.2, 8.3). With the header `[property]`
DeepStream reads the file as it is. The model is named as ONNX, because DeepStream cannot open our `.etlt`, and no key
is written. nvinfer computes net-scale-factor * (value - offset) and resizes the picture to infer-dims
(reference/deploy.md 8.6); the numbers come from the model's own Preprocessing and decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import UsageError
from taolite.files import write_text
from taolite.preprocessing import Preprocessing
from taolite.tasks.base import DeepStream
from taolite.tasks.registry import find_use

__all__ = ["config_text", "remarks", "write_config"]

_NETWORK_MODES = {"fp32": 0, "int8": 1, "fp16": 2}


def write_config(
    model: Path,
    meta: OnnxMeta,
    *,
    outputs: Sequence[str],
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    calibration_cache: Path | None = None,
) -> tuple[Path, Path]:
    """Write both files into the folder of `model`, replacing older ones. Returns their paths, config first.

    Raises UsageError where nvinfer cannot read the model's outputs or its class names.
    """
    names = _names(meta)
    config, labels = model.with_name("nvinfer_config.txt"), model.with_name("labels.txt")
    text = config_text(
        meta,
        onnx_name=model.with_suffix(".onnx").name,
        outputs=outputs,
        precision=precision,
        calibration_cache=str(calibration_cache) if calibration_cache else "",
    )
    write_text(config, text)
    # nvinfer reads a line for each output (reference/deploy.md 8.1)
    write_text(labels, names + "\n")
    return config, labels


def config_text(
    meta: OnnxMeta,
    *,
    onnx_name: str,
    outputs: Sequence[str],
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    calibration_cache: str = "",
) -> str:
    """The text of `nvinfer_config.txt`. `calibration_cache`: its path as DeepStream reads it, "" for none."""
    preprocessing = meta.preprocessing
    height, width = preprocessing.input_hw
    offsets = ";".join(str(float(value)) for value in preprocessing.offsets[: preprocessing.channels])
    part = _part(meta)
    lines = [
        "[property]",
        f"net-scale-factor={_factor(preprocessing)}",
        f"offsets={offsets}",
        f"infer-dims={preprocessing.channels};{height};{width}",
        "# DeepStream reads plain ONNX and no .etlt of taolite: export once more with -o NAME.onnx.",
        f"onnx-file={onnx_name}",
        "# tlt-model-key= is not needed with onnx-file; taolite writes no key into a file.",
        "labelfile-path=labels.txt",
        f"network-type={find_use(meta.task).network_type}",
        f"num-detected-classes={len(meta.classes)}",
        f"output-blob-names={';'.join(outputs)}",
        f"model-color-format={2 if preprocessing.channels == 1 else int(preprocessing.bgr)}",
        f"maintain-aspect-ratio={int(preprocessing.fit == 'aspect')}",
        "symmetric-padding=0",
        "output-tensor-meta=0",
        "gie-unique-id=1",
        "batch-size=1",
        f"network-mode={_NETWORK_MODES[precision]}",
    ]
    if precision == "int8" and calibration_cache:
        lines.append(f"int8-calib-file={calibration_cache}")
    lines += part.properties
    for index, rows in enumerate(part.classes):
        lines += ["", f"[class-attrs-{index}]", *rows]
    return "\n".join([*lines, ""])


def remarks(model: Path, meta: OnnxMeta) -> tuple[str, ...]:
    """What a user should know: what DeepStream cannot do for this model, or does in another way."""
    found = []
    if model.suffix != ".onnx":
        found.append(f"DeepStream cannot open {model.name}; for it, export once more with -o {model.stem}.onnx")
    if meta.preprocessing.fit == "crop":
        height, width = meta.preprocessing.input_hw
        found.append(
            f"this model was trained on photos cut or padded to {width}x{height}, and DeepStream stretches pictures of "
            "another size; train with enable_auto_resize, or feed DeepStream this size"
        )
    if meta.preprocessing.fit == "cover":
        found.append(
            "this model sees the centre of a photo, and DeepStream stretches all of it to the input; crop before, "
            "or train without enable_center_crop"
        )
    if len(set(meta.preprocessing.stds)) > 1:
        found.append(
            "this model divides each channel by its own deviation, and DeepStream all of them by one number: their "
            "mean is written, and scores will differ a little"
        )
    found += _part(meta).remarks
    if meta.preprocessing.fit == "aspect" and (meta.preprocessing.least_side or meta.preprocessing.most_side):
        found.append(
            "this model was trained with output_image_min, and DeepStream resizes pictures until they fill the input; "
            "where photos did not fill it, objects look larger to it"
        )
    return tuple(found)


def _part(meta: OnnxMeta) -> DeepStream:
    """The task's settings for DeepStream. Raises UsageError where nvinfer cannot read its outputs."""
    return find_use(meta.task).deepstream(meta.classes, meta.decoding)


def _names(meta: OnnxMeta) -> str:
    """The class names in the format of labels.txt."""
    separator = _part(meta).separator
    if wrong := [name for name in meta.classes if separator in name or len(name.splitlines()) > 1]:
        raise UsageError(
            f"DeepStream's labels.txt has {separator!r} between the names of classes; these hold it or a line break: "
            f"{', '.join(map(repr, wrong))}; rename them and train again, or leave out --gen_ds_config"
        )
    return separator.join(meta.classes)


def _factor(preprocessing: Preprocessing) -> float:
    """nvinfer's scale factor, one for all channels."""
    stds = preprocessing.stds[: preprocessing.channels]
    return preprocessing.scale * len(stds) / sum(stds)
