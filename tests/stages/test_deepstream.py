"""DeepStream's two files agree with the model they stand beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite.engines.onnx_graph import OnnxMeta
from taolite.preprocessing import Preprocessing
from taolite.stages import deepstream

OUTPUTS = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
COLOUR = OnnxMeta("detectnet", ("car", "人"), Preprocessing(input_hw=(384, 1248), fit="stretch"))
GREY = OnnxMeta("detectnet", ("car",), Preprocessing(input_hw=(16, 32), channels=1, scale=0.5, offsets=(10.0,)))


def test_the_files_stand_beside_the_model_with_taos_keys_in_taos_order(tmp_path):
    config, labels = deepstream.write_config(tmp_path / "model.onnx", COLOUR, outputs=OUTPUTS)

    assert labels.read_text() == "car\n人\n"
    assert config.read_text() == (
        "net-scale-factor=0.00392156862745098\n"
        "offsets=0.0;0.0;0.0\n"
        "infer-dims=3;384;1248\n"
        "# DeepStream reads plain ONNX and no .etlt of taolite: export once more with -o NAME.onnx.\n"
        "onnx-file=model.onnx\n"
        "# tlt-model-key= is not needed with onnx-file; taolite writes no key into a file.\n"
        "labelfile-path=labels.txt\n"
        "network-type=0\n"
        "num-detected-classes=2\n"
        "output-blob-names=output_cov/Sigmoid;output_bbox/BiasAdd\n"
        "model-color-format=0\n"
        "maintain-aspect-ratio=0\n"
        "output-tensor-meta=0\n"
    )


def test_a_grey_model_has_one_offset_and_colour_format_2():
    lines = deepstream.config_text(GREY, onnx_name="m.onnx", outputs=OUTPUTS).splitlines()

    assert {"net-scale-factor=0.5", "offsets=10.0", "infer-dims=1;16;32", "model-color-format=2"} <= set(lines)


@pytest.mark.parametrize(
    ("model", "meta", "remarks"),
    [
        ("m.onnx", COLOUR, ()),
        ("m.etlt", COLOUR, ("DeepStream cannot open m.etlt; for it, export once more with -o m.onnx",)),
        (
            "m.onnx",
            GREY,
            (
                "this model was trained on photos cut or padded to 32x16, and DeepStream stretches pictures of another "
                "size; train with enable_auto_resize, or feed DeepStream this size",
            ),
        ),
    ],
)
def test_what_deepstream_would_do_differently_is_said(model, meta, remarks):
    assert deepstream.remarks(Path(model), meta) == remarks
