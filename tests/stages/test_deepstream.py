"""DeepStream's two files agree with the model they stand beside."""

from __future__ import annotations

import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import UsageError
from taolite.preprocessing import Preprocessing
from taolite.stages.exporting import deepstream
from taolite.tasks.detectnet.decode import Clustering

CLUSTERED = (
    Clustering("dbscan", 0.005, 20, 0.2, 0.05, 0.9),
    Clustering("nms", 0.1, nms_iou_threshold=0.4, nms_confidence_threshold=0.3),
    Clustering("hybrid", 0.05, 4, 0.3, 3, 0.5, nms_iou_threshold=0.0),
)
_KEYS = {  # reference/deploy.md 8.2 and 8.3
    "property": """
        gie-unique-id process-mode interval gpu-id batch-size labelfile-path enable-dla use-dla-core output-tensor-meta
        output-buffer-pool-size input-tensor-meta network-mode model-engine-file int8-calib-file workspace-size
        force-implicit-batch-dim output-io-formats layer-device-precision onnx-file tlt-encoded-model tlt-model-key
        uff-file uff-input-blob-name uff-input-order output-blob-names infer-dims network-input-order net-scale-factor
        offsets mean-file model-color-format maintain-aspect-ratio symmetric-padding scaling-filter scaling-compute-hw
        network-type num-detected-classes cluster-mode enable-dbscan parse-bbox-func-name filter-out-class-ids
    """,
    "class-attrs": """
        pre-cluster-threshold post-cluster-threshold eps minBoxes dbscan-min-score group-threshold nms-iou-threshold
        topk roi-top-offset roi-bottom-offset detected-min-w detected-min-h detected-max-w detected-max-h
    """,
}
KEYS = {section: keys.split() for section, keys in _KEYS.items()}
ASPECT = OnnxMeta("detectnet", ("car",), Preprocessing(input_hw=(16, 32), fit="aspect", least_side=12))
OUTPUTS = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
COLOUR = OnnxMeta("detectnet", ("car", "人"), Preprocessing(input_hw=(384, 1248), fit="stretch"))
GREY = OnnxMeta("detectnet", ("car",), Preprocessing(input_hw=(16, 32), channels=1, scale=0.5, offsets=(10.0,)))


def test_the_files_stand_beside_the_model_with_taos_keys_in_taos_order(tmp_path):
    config, labels = deepstream.write_config(tmp_path / "model.onnx", COLOUR, outputs=OUTPUTS)

    assert labels.read_text() == "car\n人\n"
    assert config.read_text() == (
        "[property]\n"
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
        "symmetric-padding=0\n"
        "output-tensor-meta=0\n"
        "gie-unique-id=1\n"
        "batch-size=1\n"
        "network-mode=0\n"
    )


@pytest.mark.parametrize(
    ("task", "name", "separator"), [("classification", "cat;dog", "';'"), ("detectnet", "cat\ndog", r"'\\n'")]
)
def test_a_class_that_labels_txt_would_read_as_two_is_refused(tmp_path, task, name, separator):
    meta = OnnxMeta(task, ("bird", name), Preprocessing(input_hw=(16, 32)))

    with pytest.raises(UsageError, match=f"^DeepStream's labels.txt has {separator} between the names"):
        deepstream.write_config(tmp_path / "model.onnx", meta, outputs=OUTPUTS)

    assert list(tmp_path.iterdir()) == []


def test_a_grey_model_has_one_offset_and_colour_format_2():
    lines = deepstream.config_text(GREY, onnx_name="m.onnx", outputs=OUTPUTS).splitlines()

    assert {"net-scale-factor=0.5", "offsets=10.0", "infer-dims=1;16;32", "model-color-format=2"} <= set(lines)


def test_a_model_that_keeps_the_aspect_says_so():
    assert "maintain-aspect-ratio=1" in deepstream.config_text(ASPECT, onnx_name="m.onnx", outputs=OUTPUTS).splitlines()


@pytest.mark.parametrize(
    ("model", "meta", "remarks"),
    [
        ("m.onnx", COLOUR, ()),
        ("m.etlt", COLOUR, ("DeepStream cannot open m.etlt; for it, export once more with -o m.onnx",)),
        (
            "m.onnx",
            ASPECT,
            (
                "this model was trained with output_image_min, and DeepStream resizes pictures until they fill the "
                "input; where photos did not fill it, objects look larger to it",
            ),
        ),
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


def parsed(text: str) -> configparser.ConfigParser:
    """As DeepStream's GKeyFile reads it: keys keep their letters."""
    parser = configparser.ConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def clustered(*rows: Clustering, **more: float) -> OnnxMeta:
    names = tuple(f"class{index}" for index in range(len(rows)))
    return replace(COLOUR, classes=names, decoding={"clusterings": [row.to_json() for row in rows], **more})


def test_every_key_is_one_that_deepstream_knows_and_every_class_has_its_thresholds():
    text = deepstream.config_text(
        clustered(*CLUSTERED), onnx_name="m.onnx", outputs=OUTPUTS, precision="int8", calibration_cache="cal.bin"
    )

    config = parsed(text)
    assert config.sections() == ["property", "class-attrs-0", "class-attrs-1", "class-attrs-2"]
    for section in config.sections():
        known = KEYS["property" if section == "property" else "class-attrs"]
        assert [key for key in config[section] if key not in known] == []
    settings = config["property"]
    assert [settings[key] for key in ("network-mode", "int8-calib-file", "cluster-mode")] == ["1", "cal.bin", "1"]
    assert len(settings["infer-dims"].split(";")) == 3
    assert len(settings["offsets"].split(";")) == 3
    assert dict(config["class-attrs-0"]) == {
        "pre-cluster-threshold": "0.005",
        "eps": "0.2",
        "minBoxes": "1",
        "dbscan-min-score": "0.9",
        "detected-min-h": "20",
    }
    assert dict(config["class-attrs-1"]) == {"pre-cluster-threshold": "0.3", "nms-iou-threshold": "0.4"}
    assert config["class-attrs-2"]["minBoxes"] == "3"
    assert config["class-attrs-2"]["nms-iou-threshold"] == "0.3"


@pytest.mark.parametrize(
    ("precision", "algorithm", "modes"),
    [("fp32", "dbscan", ("0", "1")), ("fp16", "nms", ("2", "2")), ("int8", "hybrid", ("1", "3"))],
)
def test_precision_and_clustering_have_deepstreams_numbers(precision, algorithm, modes):
    text = deepstream.config_text(
        clustered(Clustering(algorithm)), onnx_name="m.onnx", outputs=OUTPUTS, precision=precision
    )

    settings = parsed(text)["property"]
    assert (settings["network-mode"], settings["cluster-mode"]) == modes
    assert "int8-calib-file" not in settings


def test_the_output_names_are_ones_that_the_built_in_parser_finds():
    names = parsed(deepstream.config_text(COLOUR, onnx_name="m.onnx", outputs=OUTPUTS))["property"]["output-blob-names"]

    assert [part for part in ("cov", "bbox") if len([name for name in names.split(";") if part in name]) != 1] == []


def test_other_box_constants_mixed_clusterings_and_mean_cov_are_remarked_on():
    meta = clustered(CLUSTERED[0], replace(CLUSTERED[1], confidence_model="mean_cov"), scale=30.0, offset=0.5)

    assert deepstream.remarks(Path("m.onnx"), meta) == (
        "this model's bbox scale is 30, and DeepStream's built-in parser computes with 35: its boxes will be wrong; "
        "train with that value, or give nvinfer a parse-bbox-func-name of your own",
        "the classes are clustered differently, and DeepStream has one cluster-mode for all: it is dbscan, as for "
        "class0",
        "confidence_model mean_cov is not DeepStream's: it compares the sum of a cluster's coverages",
    )


def test_the_cookbooks_application_names_the_config_that_export_writes():
    app = parsed((Path(__file__).parents[2] / "docs" / "cookbook" / "deepstream_app.txt").read_text())

    assert {"application", "source0", "streammux", "primary-gie", "osd", "sink0", "tiled-display"} <= set(
        app.sections()
    )
    assert app["primary-gie"]["config-file"] == "nvinfer_config.txt"
    assert app["primary-gie"]["gie-unique-id"] == "1"
