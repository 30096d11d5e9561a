"""Inference from spec to files: a network whose answers are known by heart, and what is written of them.

Its input is 96x64 and its cells are 16 pixels wide. Class 0's coverage is how red a cell is, class 1's how green, and
every cell proposes itself as the box; the pictures are twice as large, so boxes double.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from taolite.artifacts.container import KdfCost
from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar
from taolite.cli.main import main
from taolite.engines import build as building
from taolite.engines import onnx_graph
from taolite.engines.buffers import gpu_is_here
from taolite.engines.onnx_graph import OnnxMeta
from taolite.media.sources import Frame, open_source
from taolite.pictures import read_rgb, to_grey
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection
from taolite.stages.exporting.engine import build
from taolite.stages.inference import models
from taolite.stages.inference.infer import infer, planned
from taolite.stages.inference.listeners import Drawing, labels, table
from taolite.stages.inference.look import Seen
from taolite.stages.inference.models import open_model
from taolite.tasks.detectnet.cluster import Clustering
from taolite.tasks.detectnet.inference import load_plan

KEY = Key("tlt_encode")
DBSCAN = """clustering_config {
  coverage_threshold: 0.5 dbscan_eps: 0.3 dbscan_min_samples: 1 minimum_bounding_box_height: 4 }"""
SPEC = """
inferencer_config {{
  target_classes: ["red", "green"]
  image_width: 96 image_height: 64 image_channels: 3 batch_size: 4 stride: 16
  {model}
}}
bbox_handler_config {{
  kitti_dump: true overlay_linewidth: 2
  classwise_bbox_handler_config {{
    key: "red"
    value {{ {dbscan} confidence_model: "aggregate_cov" output_map: "auto" bbox_color {{ R: 250 G: 20 B: 30 }} }}
  }}
  classwise_bbox_handler_config {{ key: "default" value {{ {dbscan} output_map: "other" }} }}
}}
"""


def network() -> bytes:
    """Coverage is the mean of a cell's red or green; the planes say 0.5 px left and up, 15.5 px right and down."""
    planes = np.float32([0.5, 0.5, 15.5, 15.5] * 2) / 35
    weights = [
        numpy_helper.from_array(np.eye(3, dtype=np.float32)[:2].reshape(2, 3, 1, 1), "pick"),
        numpy_helper.from_array(np.zeros((8, 2, 1, 1), np.float32), "nothing"),
        numpy_helper.from_array(planes, "planes"),
    ]
    nodes = [
        helper.make_node("AveragePool", ["input_1"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Conv", ["cells", "pick"], ["output_cov/Sigmoid"]),
        helper.make_node("Conv", ["output_cov/Sigmoid", "nothing", "planes"], ["output_bbox/BiasAdd"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["N", 3, 64, 96])],
        [
            helper.make_tensor_value_info("output_cov/Sigmoid", TensorProto.FLOAT, ["N", 2, 4, 6]),
            helper.make_tensor_value_info("output_bbox/BiasAdd", TensorProto.FLOAT, ["N", 8, 4, 6]),
        ],
        weights,
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(made)
    return onnx_graph.write_meta(
        made.SerializeToString(), OnnxMeta("detectnet", ("red", "green"), Preprocessing((64, 96)))
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """photos/: `both.png` with a red and a green cell, `none.png` black; model.onnx and model.etlt."""
    (tmp_path / "photos").mkdir()
    both = np.zeros((128, 192, 3), np.uint8)
    both[32:64, 64:96, 0] = 255
    both[96:128, 160:192, 1] = 204
    Image.fromarray(both).save(tmp_path / "photos" / "both.png")
    Image.fromarray(np.zeros_like(both)).save(tmp_path / "photos" / "none.png")
    (tmp_path / "model.onnx").write_bytes(network())
    write_etlt(tmp_path / "model.etlt", Etlt(onnx=network()), key=KEY, cost=KdfCost(8, 1, 1))
    return tmp_path


def write_spec(place: Path, model: str = "", *changes: tuple[str, str]) -> Path:
    text = SPEC.format(model=model or f'tlt_config {{ model: "{place}/model.onnx" }}', dbscan=DBSCAN)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (place / "inference.txt").write_text(text)
    return place / "inference.txt"


def inference(place: Path, *words: object) -> int:
    command = ["-e", place / "inference.txt", "-i", place / "photos", "-o", place / "out", *words]
    return main(["detectnet", "inference", *map(str, command)])


def test_labels_are_taos_sixteen_columns_to_the_letter(place: Path, capsys: pytest.CaptureFixture[str]):
    write_spec(place)

    # the green cell is at 204 / 255 = 0.8 in total, and DBSCAN wants 1
    assert inference(place) == 0

    zeros = " ".join(["0.00"] * 7)
    folder = place / "out" / "labels"
    assert (folder / "both.txt").read_text() == f"auto 0.00 0 0.00 64.000 32.000 96.000 64.000 {zeros} 1.000\n"
    assert (folder / "none.txt").read_text() == ""
    assert "Object type green not defined in cluster file. Falling back to default" in capsys.readouterr().err


def test_a_class_of_the_default_entry_keeps_its_own_name(place: Path):
    write_spec(place, "", ("coverage_threshold: 0.5", "clustering_algorithm: NMS coverage_threshold: 0.5"))

    assert inference(place) == 0

    lines = (place / "out" / "labels" / "both.txt").read_text().splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [("auto", "1.000"), ("green", "0.800")]


def test_classes_in_another_order_than_the_models_are_refused(place: Path, capsys: pytest.CaptureFixture[str]):
    write_spec(place, "", ('target_classes: ["red", "green"]', 'target_classes: ["green", "red"]'))

    assert inference(place) == 1

    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: the model finds red, green, and the spec's target_classes are green, red; list them as the "
        "model does (output_map renames a class in the results)"
    )


def test_frames_have_the_specs_colour_and_width_and_empty_pictures_are_kept(place: Path):
    write_spec(place)

    assert inference(place) == 0

    drawn = np.array(Image.open(place / "out" / "images_annotated" / "both.png"))
    # overlay_linewidth 2 is two more rectangles around the first one: three pixels, outside of the object
    assert drawn[48, 61:64].tolist() == [[250, 20, 30]] * 3
    assert drawn[48, 64].tolist() == [255, 0, 0]
    none = np.array(Image.open(place / "out" / "images_annotated" / "none.png"))
    assert none.shape == (128, 192, 3)
    assert not none.any()


def test_overlay_and_labels_can_be_left_out_and_classes_too(place: Path):
    write_spec(
        place,
        "",
        ("kitti_dump: true", 'disable_overlay: true kitti_dump: true postproc_classes: ["green"]'),
        ("dbscan_min_samples: 1", "clustering_algorithm: HYBRID dbscan_min_samples: 1"),
    )

    assert inference(place) == 0

    assert {path.name for path in (place / "out").iterdir()} == {"labels"}
    assert (place / "out" / "labels" / "both.txt").read_text() == ""


def test_pictures_go_through_the_network_in_batches_and_come_out_the_same(place: Path):
    for index in range(5):
        shifted = np.roll(np.array(Image.open(place / "photos" / "both.png")), 32 * index, axis=1)
        Image.fromarray(shifted).save(place / "photos" / f"more{index}.png")
    model, drawing = planned(open_model(place / "model.onnx", key=None), load_plan(write_spec(place)))
    given: list[int] = []

    def predict(pixels):
        given.append(len(pixels))
        return model.predict(pixels)

    source = open_source(place / "photos")
    for size in (1, 3):
        written = labels(place / str(size) / "labels", drawing)
        report = infer(replace(model, predict=predict), source, [written], drawing=drawing, batch_size=size)
        assert set(report.times) == {"read", "prepare", "engine", "decode", "write"}

    assert given == [1] * 7 + [3, 3, 1]
    one, three = ({p.name: p.read_text() for p in (place / n / "labels").iterdir()} for n in ("1", "3"))
    assert one == three
    assert len(one) == 7
    model.close()


def test_a_grey_model_sees_what_training_saw(place: Path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(place / "noise.png")

    np.testing.assert_array_equal(to_grey(noise), read_rgb(place / "noise.png", grey=True))


def test_a_stride_that_is_not_the_models_is_refused(place: Path, capsys: pytest.CaptureFixture[str]):
    write_spec(place, "", ("stride: 16", "stride: 32"))

    assert inference(place) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: stride is 32, and the cells of this model are 16 pixels apart; write that number, or leave the field "
        "out"
    )


def test_without_a_gpu_the_exported_model_stands_in_for_its_engine(place: Path, capsys, monkeypatch):
    monkeypatch.setattr(models, "gpu_is_here", lambda: False)
    etlt, engine = place / "model.etlt", place / "model.trt"
    engine.write_bytes(b"ftrt and weights")
    write_spec(place, f'tensorrt_config {{ parser: ETLT etlt_model: "{etlt}" trt_engine: "{engine}" }}')

    assert inference(place, "-k", "tlt_encode") == 0

    assert (
        f"warning: no NVIDIA GPU is here: {engine} is not used, {etlt} itself runs on the processor"
    ) in capsys.readouterr().err.splitlines()
    assert (place / "out" / "labels" / "both.txt").read_text().startswith("auto ")


def test_an_engine_that_is_there_is_run(place: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    build(place / "model.onnx", key=None, engine=place / "model.trt", backend="openvino", batch=(1, 1, 2))
    write_spec(place, f'tensorrt_config {{ trt_engine: "{place}/model.trt" }}')

    assert inference(place, "-b", 3) == 0

    assert "openvino" in capsys.readouterr().out
    assert (place / "out" / "labels" / "both.txt").read_text().startswith("auto ")


def test_an_engine_that_is_not_there_is_built_and_kept_where_the_spec_says_so(place: Path, monkeypatch):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    monkeypatch.setattr(building, "gpu_is_here", lambda: False)
    monkeypatch.setattr(models, "gpu_is_here", lambda: False)
    words = f'etlt_model: "{place}/model.etlt" trt_engine: "{place}/kept.trt"'
    for save in ("false", "true"):
        write_spec(place, f"tensorrt_config {{ {words} save_engine: {save} }}")
        assert inference(place, "-k", "tlt_encode") == 0
        assert (place / "kept.trt").is_file() == (save == "true")

    sidecar = read_sidecar(place / "kept.trt")
    assert (sidecar.backend, sidecar.precision, sidecar.batch) == ("openvino", "fp32", (1, 4, 4))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            'trt_engine: "{place}/no.trt"',
            "tensorrt_config: {place}/no.trt (trt_engine) does not exist, and there is no etlt_model to build an "
            "engine from; name one",
        ),
        (
            'parser: UFF uff_model: "{place}/model.uff"',
            "tensorrt_config.parser is UFF, and no engine is built from {place}/model.uff here (TensorRT 10 reads "
            "neither UFF nor Caffe); export the model with taolite and name it as etlt_model",
        ),
        (
            'parser: CAFFE caffemodel: "{place}/m.caffemodel"',
            "tensorrt_config.parser is CAFFE, and no engine is built from {place}/m.caffemodel here (TensorRT 10 reads "
            "neither UFF nor Caffe); export the model with taolite and name it as etlt_model",
        ),
    ],
)
def test_what_no_engine_comes_of_is_one_message(place: Path, capsys, config: str, message: str):
    write_spec(place, f"tensorrt_config {{ {config.format(place=place)} }}")

    assert inference(place) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message.format(place=place)}"


def test_an_engine_alone_without_a_gpu_says_what_to_do_instead(place: Path, capsys, monkeypatch):
    if gpu_is_here():
        pytest.skip("this machine has a GPU")
    (place / "model.trt").write_bytes(b"ftrt and weights")
    write_spec(place, f'tensorrt_config {{ trt_engine: "{place}/model.trt" }}')

    assert inference(place) == 1

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        f"error: {place}/model.trt: a TensorRT engine runs on an NVIDIA GPU, and GPU 0 cannot be reached"
    )
    assert last.endswith(
        "or run the model it was built from on the processor: -m MODEL.etlt --runtime openvino (or onnxruntime)"
    )


def test_the_plan_takes_mean_cov_and_refuses_other_confidence_models(place: Path):
    from taolite.errors import SpecError

    plan = load_plan(write_spec(place, "", ("aggregate_cov", "mean_cov")))
    assert [row["confidence_model"] for row in plan.decoding["clusterings"]] == ["mean_cov", "aggregate_cov"]
    assert Drawing(plan.classes, plan.names, plan.colours).colours == {"red": (250, 20, 30)}

    with pytest.raises(SpecError, match='confidence_model is "mlp"; it needs to be aggregate_cov or mean_cov'):
        load_plan(write_spec(place, "", ("aggregate_cov", "mlp")))


def test_a_model_with_best_thresholds_shows_what_reaches_them_and_a_spec_keeps_its_own(place: Path):
    nms = Clustering("nms", coverage_threshold=0.02, nms_confidence_threshold=0.02).to_json()
    opened = open_model(place / "model.onnx", key=None)
    stretched = Preprocessing((64, 96), fit="stretch")
    model = replace(
        opened,
        preprocessing=stretched,
        decoding={"clusterings": [nms, nms], "best_threshold": {"red": 0.5, "green": 0.9}},
    )
    source = open_source(place / "photos" / "both.png")

    own, drawing = planned(model, None)
    seen: list[Seen] = []
    report = infer(own, source, [lambda one: seen.append(one)], drawing=drawing)

    assert report.detections == {"red": 1, "green": 0}  # green reaches 0.8
    assert own.decoding["clusterings"][0]["nms_confidence_threshold"] == 0.5
    with_spec, drawing = planned(model, load_plan(write_spec(place)))
    assert (with_spec.decoding["clusterings"][0]["algorithm"], drawing.least) == ("dbscan", {})


def test_a_model_that_keeps_the_aspect_of_pictures_keeps_it_with_a_spec_too(place: Path):
    opened = open_model(place / "model.onnx", key=None)
    plan = load_plan(write_spec(place))

    for prep, fit in (
        (Preprocessing((64, 96), fit="aspect"), "aspect"),
        (Preprocessing((64, 96), fit="aspect", least_side=32), "stretch"),
        (Preprocessing((64, 96)), "stretch"),
    ):
        assert planned(replace(opened, preprocessing=prep), plan)[0].preprocessing.fit == fit


@pytest.mark.slow
@pytest.mark.sockets
def test_annotated_pictures_go_to_weights_and_biases_where_the_spec_asks_for_it(place: Path):
    pytest.importorskip("wandb")
    write_spec(place, "", ("overlay_linewidth: 2", 'wandb_config { project: "p" mode: OFFLINE }'))

    assert inference(place) == 0

    written = list((place / "out" / "images_annotated").iterdir())
    sent = list((place / "out").glob("wandb/offline-run-*/files/media/images/inference/*.png"))
    assert len(sent) == len(written) > 0


def test_a_table_has_no_name_that_a_spreadsheet_computes(tmp_path: Path):
    frame = Frame("=1+1.png", np.zeros((2, 2, 3), np.uint8), 0)

    with ExitStack() as stack:
        take = table(tmp_path / "result.csv", stack)
        take(Seen(frame, (Detection("@cat", (0.0, 0.0, 1.0, 1.0), 0.5), Detection("dog", None, 0.25)), 0.0))

    assert (tmp_path / "result.csv").read_text() == "'=1+1.png,'@cat,0.5\n'=1+1.png,dog,0.25\n"


def test_an_export_older_than_the_model_beside_it_is_told(place: Path, capsys: pytest.CaptureFixture[str]):
    write_spec(place)
    (place / "model.tlt").touch()
    os.utime(place / "model.onnx", (1, 1))

    assert inference(place, "-m", place / "model.onnx") == 0
    assert f"{place}/model.onnx is older than {place}/model.tlt beside it" in capsys.readouterr().err

    os.utime(place / "model.tlt", (0, 0))

    assert inference(place, "-m", place / "model.onnx") == 0
    assert "older" not in capsys.readouterr().err


def test_without_a_gpu_the_model_beside_an_engine_for_one_runs_instead(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(models, "gpu_is_here", lambda: False)
    write_spec(place)
    (place / "other.etlt").write_bytes((place / "model.etlt").read_bytes())  # sealed; no key is given below
    build(place / "model.onnx", key=None, engine=place / "model.engine", backend="tensorrt_rtx")

    assert inference(place, "-m", place / "model.engine") == 0

    said = f"no NVIDIA GPU is here: {place}/model.engine is not used, {place}/model.onnx itself runs on the processor"
    assert said in capsys.readouterr().err
    assert (place / "out" / "labels" / "both.txt").read_text().startswith("auto 0.00 0 0.00 64.000 32.000 96.000")
