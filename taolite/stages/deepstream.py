"""The two files that DeepStream's `nvinfer` wants beside a model: `nvinfer_config.txt` and `labels.txt`.

Same keys, order and form as TAO's `--gen_ds_config` (reference/detectnet_v2.md 11.5): lines to be put below
`[property]`, without that header. Two things differ: the model is named as ONNX, because DeepStream opens no `.etlt`
of ours, and the key is not written down. nvinfer computes net-scale-factor * (value - offset) and stretches the
picture to infer-dims (reference/deploy.md 8.6); the numbers come from the model's own Preprocessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.engines.onnx_graph import OnnxMeta
from taolite.files import write_text

__all__ = ["config_text", "remarks", "write_config"]


def write_config(model: Path, meta: OnnxMeta, *, outputs: Sequence[str]) -> tuple[Path, Path]:
    """Write both files into the folder of `model`, replacing older ones; their paths, config first."""
    config, labels = model.with_name("nvinfer_config.txt"), model.with_name("labels.txt")
    write_text(config, config_text(meta, onnx_name=model.with_suffix(".onnx").name, outputs=outputs))
    write_text(labels, "".join(f"{name}\n" for name in meta.classes))
    return config, labels


def config_text(meta: OnnxMeta, *, onnx_name: str, outputs: Sequence[str]) -> str:
    """The lines of `nvinfer_config.txt` for a detector."""
    preprocessing = meta.preprocessing
    height, width = preprocessing.input_hw
    offsets = ";".join(str(float(value)) for value in preprocessing.offsets[: preprocessing.channels])
    return "\n".join(
        [
            f"net-scale-factor={preprocessing.scale}",
            f"offsets={offsets}",
            f"infer-dims={preprocessing.channels};{height};{width}",
            "# DeepStream reads plain ONNX and no .etlt of taolite: export once more with -o NAME.onnx.",
            f"onnx-file={onnx_name}",
            "# tlt-model-key= is not needed with onnx-file; taolite writes no key into a file.",
            "labelfile-path=labels.txt",
            "network-type=0",
            f"num-detected-classes={len(meta.classes)}",
            f"output-blob-names={';'.join(outputs)}",
            f"model-color-format={2 if preprocessing.channels == 1 else 0}",
            "maintain-aspect-ratio=0",
            "output-tensor-meta=0",
            "",
        ]
    )


def remarks(model: Path, meta: OnnxMeta) -> tuple[str, ...]:
    """What its reader should know: the model DeepStream cannot open, and pictures it would fit differently."""
    found = []
    if model.suffix != ".onnx":
        found.append(f"DeepStream cannot open {model.name}; for it, export once more with -o {model.stem}.onnx")
    if meta.preprocessing.fit == "crop":
        height, width = meta.preprocessing.input_hw
        found.append(
            f"this model was trained on photos cut or padded to {width}x{height}, and DeepStream stretches pictures of "
            "another size; train with enable_auto_resize, or feed DeepStream this size"
        )
    return tuple(found)
