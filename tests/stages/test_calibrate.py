"""From images to an int8 model: where the images come from, what is kept, and what is refused."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from taolite.artifacts.describe import describe
from taolite.artifacts.sidecar import read_sidecar
from taolite.cli.main import main
from taolite.cli.words import Line, lines
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import DataError, EngineError, ModelError, PathError, UsageError
from taolite.events import Event
from taolite.preprocessing import Preprocessing
from taolite.quant.cache import parse_cache
from taolite.quant.tensorfile import write_tensorfile
from taolite.stages.exporting import engine
from taolite.stages.exporting.calibrate import (
    CalibrationOptions,
    calibrate_model,
    calibration_tensorfile,
    find_ranges,
)
from taolite.stages.exporting.ranges import quantise, read_ranges
from taolite.tasks.base import Experiment
from taolite.tasks.registry import find

from .conftest import write_spec

PREPROCESSING = Preprocessing(input_hw=(64, 96))
META = OnnxMeta("detectnet", ("plate",), PREPROCESSING, {"scale": 35.0})
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[{batch},3,64,96] input_1) => (float[{batch},1,32,48] cov, float[{batch},4,32,48] bbox)
{{
   a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (input_1, stem)
   r = Relu(a)
   logits = Conv(r, head)
   cov = Sigmoid(logits)
   bbox = Conv(r, box)
}}
"""


def network(*, seed: int = 0, batch: str = "N") -> bytes:
    rng = np.random.default_rng(seed)
    model = onnx.parser.parse_model(TEXT.format(batch=batch))
    for name, shape in (("stem", (4, 3, 3, 3)), ("head", (1, 4, 1, 1)), ("box", (4, 4, 1, 1))):
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return onnx_graph.write_meta(model.SerializeToString(), META)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures of plain colours, one in a folder below; the largest value of number k is 50 k / 255."""
    for number in range(1, 6):
        path = tmp_path / "pictures" / ("below" if number == 5 else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 96, 3), 50 * number, np.uint8)).save(path)
    return tmp_path / "pictures"


def options(tmp_path: Path, **changes: object) -> CalibrationOptions:
    return replace(CalibrationOptions(cache=tmp_path / "cal.bin", batches=1, batch_size=5), **changes)


def ranges(settings: CalibrationOptions, model: bytes | None = None, heard: list[Event] | None = None):
    return find_ranges(
        model or network(),
        preprocessing=PREPROCESSING,
        options=settings,
        listener=(lambda event: None) if heard is None else heard.append,
    )


def experiment(spec: Path) -> Experiment:
    return find("detectnet").read(spec).model


def test_pictures_give_ranges_a_cache_of_every_tensor_and_a_record(folder, tmp_path):
    found = ranges(options(tmp_path, image_dir=folder, json_file=tmp_path / "cal.json", tensorrt="10.3.0"))

    assert found.ranges["input_1"] == pytest.approx(250 / 255)
    assert list(found.ranges) == ["input_1", "a", "r", "logits", "cov", "bbox"]
    cache = parse_cache((tmp_path / "cal.bin").read_text())
    assert cache.header == "TRT-100300-EntropyCalibration2"
    assert cache.ranges == pytest.approx(found.ranges, rel=1e-6)
    record = json.loads((tmp_path / "cal.bin.json").read_text())
    assert (record["method"], record["images"], record["source"]) == ("minmax", 5, "the pictures in pictures")
    assert json.loads((tmp_path / "cal.json").read_text()) == {"tensor_scales": dict(found.ranges)}
    assert found.samples is not None
    assert found.samples.shape == (2, 3, 64, 96)


def test_fewer_images_are_drawn_the_same_way_every_time(folder, tmp_path):
    first, second = (
        ranges(options(tmp_path, cache=tmp_path / name, image_dir=folder, batch_size=3)) for name in ("a", "b")
    )

    assert first.record == second.record
    assert first.ranges == second.ranges
    assert first.record["images"] == 3


def test_a_cache_is_used_without_a_look_at_images_and_only_for_its_own_model(folder, tmp_path):
    found = ranges(options(tmp_path, image_dir=folder))
    heard: list[Event] = []

    again = ranges(options(tmp_path, image_dir=tmp_path / "gone"), network(batch="2"), heard)

    assert again.ranges == pytest.approx(found.ranges, rel=1e-6)
    assert again.record == found.record
    text = f"{tmp_path / 'cal.bin'}: its ranges are used, no image is looked at"
    assert [lines(event) for event in heard] == [[Line(text)]]
    with pytest.raises(ModelError) as caught:
        ranges(options(tmp_path, image_dir=folder), network(seed=1))
    assert str(caught.value) == (
        f"{tmp_path / 'cal.bin'}: its ranges are of another model, as cal.bin.json says; remove both files to "
        "calibrate again, or name another --cal_cache_file"
    )


def test_a_cache_without_a_record_must_have_the_models_tensors(tmp_path):
    cache = tmp_path / "cal.bin"
    heard: list[Event] = []

    cache.write_text("TRT-8502-EntropyCalibration2\ninput_1: 3c010a14\n")
    part = read_ranges(cache, network(), listener=heard.append)
    cache.write_text("TRT-8502-EntropyCalibration2\nconv1/BiasAdd: 3c010a14\n")
    with pytest.raises(ModelError) as caught:
        read_ranges(cache, network())

    assert part.record == {"method": "TRT-8502-EntropyCalibration2"}
    assert lines(heard[0])[0] == Line(f"{cache}: no range for r; the layers that read them stay float", warns=True)
    assert str(caught.value) == f"{cache}: no tensor of it is in this model; its ranges are of another one"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "an object is needed"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_damaged_record_of_a_cache_is_refused_by_its_name(tmp_path, text, reason):
    (tmp_path / "cal.bin").write_text("TRT-8502-EntropyCalibration2\ninput_1: 3c010a14\n")
    (tmp_path / "cal.bin.json").write_text(text)

    with pytest.raises(DataError) as caught:
        read_ranges(tmp_path / "cal.bin", network())

    assert str(caught.value) == (
        f"{tmp_path / 'cal.bin.json'}: not the record of a calibration cache ({reason}); remove it and the cache to "
        "calibrate again"
    )


def test_nothing_is_calibrated_on_noise(tmp_path):
    with pytest.raises(UsageError) as nothing:
        ranges(options(tmp_path))
    with pytest.raises(UsageError) as missing:
        ranges(options(tmp_path, data_file=tmp_path / "t"))

    way_out = "give -e SPEC for its training images, --cal_image_dir FOLDER, or --cal_data_file FILE"
    assert str(nothing.value) == f"int8 needs images to calibrate with, and there are none: {way_out}"
    assert str(missing.value) == (
        f"int8 needs images to calibrate with, and {tmp_path / 't'} does not exist, and there is no other source: "
        + way_out
    )
    assert not (tmp_path / "cal.bin").exists()


def test_too_few_images_are_told_as_tao_tells_it(folder, tmp_path):
    with pytest.raises(DataError) as caught:
        ranges(options(tmp_path, image_dir=folder, batches=2))

    assert str(caught.value) == (
        "Not enough number of images provided: the pictures in pictures are 5, and --batches 2 x --batch_size 5 "
        "are 10; lower one of them"
    )


def test_a_tensorfile_is_read_and_written_from_pictures_where_there_is_none(folder, tmp_path):
    tensorfile = tmp_path / "calibration.tensor"
    settings = options(tmp_path, image_dir=folder, data_file=tensorfile, batches=2, batch_size=2)

    written = ranges(settings)
    (tmp_path / "cal.bin").unlink()
    read = ranges(replace(settings, image_dir=None))

    with h5py.File(tensorfile) as file:
        assert (int(file.attrs["count"]), file.attrs["shape"].tolist()) == (2, [2, 3, 64, 96])
    assert read.ranges == written.ranges
    assert read.record["source"] == "the tensorfile calibration.tensor"
    assert read.record["data_sha256"] == hashlib.sha256(tensorfile.read_bytes()).hexdigest()
    with pytest.raises(DataError) as few:
        ranges(options(tmp_path, cache=tmp_path / "c", data_file=tensorfile, batches=3))
    assert str(few.value) == (f"{tensorfile}: The dataset contains 2 minibatches, while the requested amount is 3.")


def test_a_tensorfile_of_another_size_is_refused(tmp_path):
    write_tensorfile(tmp_path / "t", [np.zeros((2, 3, 32, 32), np.float32)])

    with pytest.raises(DataError, match=r"its inputs are \(3, 32, 32\) \(C, H, W\), and the model takes \(3, 64, 96\)"):
        ranges(options(tmp_path, data_file=tmp_path / "t"))


def test_a_spec_gives_its_training_images(tiny, tmp_path):
    spec = write_spec(tiny, "calibrate.txt")

    found = ranges(options(tmp_path, experiment=experiment(spec), batches=3, batch_size=4))

    assert (found.record["source"], found.record["images"]) == ("the training images of calibrate.txt", 12)
    assert found.ranges["input_1"] == pytest.approx(230 / 255)  # the plates


def test_training_images_in_a_tar_give_what_those_in_a_folder_give(tiny, tmp_path):
    with tarfile.open(tmp_path / "plates.tar", "w") as tar:
        tar.add(tiny / "kitti" / "image_2", "image_2")
    spec = write_spec(tiny, "in_tar.txt")
    spec.write_text(spec.read_text().replace(f'"{tiny}/kitti"', f'"{tmp_path}/plates.tar"'))

    folder, tar_ = (
        ranges(
            options(tmp_path, experiment=experiment(path), batches=3, batch_size=4, cache=tmp_path / f"{path.name}.bin")
        )
        for path in (write_spec(tiny, "in_folder.txt"), spec)
    )
    assert tar_.ranges == folder.ranges
    assert tar_.record["data_sha256"] == folder.record["data_sha256"]


def test_the_int8_model_says_how_it_was_calibrated(folder, tmp_path):
    quantised = quantise(network(), ranges(options(tmp_path, image_dir=folder)), excluded=("box",))

    meta = onnx_graph.read_meta(quantised)
    assert meta is not None
    assert (meta.precision, meta.classes, meta.preprocessing) == ("int8", META.classes, META.preprocessing)
    assert (meta.calibration["method"], meta.calibration["excluded"]) == ("minmax", ["box"])
    convolutions = [
        node.input[1] for node in onnx.load_model_from_string(quantised).graph.node if node.op_type == "Conv"
    ]
    assert convolutions == ["stem_dequantized", "head_dequantized", "box"]


def test_a_cache_turns_a_float_model_into_an_int8_engine(folder, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")
    model, target, heard = tmp_path / "model.onnx", tmp_path / "model.engine", []
    model.write_bytes(network())
    ranges(options(tmp_path, image_dir=folder))

    report = engine.build(
        model, key=None, engine=target, backend="tensorrt_rtx", precision="int8", calibration=tmp_path / "cal.bin"
    )
    engine.build(model, key=None, engine=tmp_path / "float", backend="tensorrt_rtx", calibration=tmp_path / "cal.bin",
                 listener=heard.append)  # fmt: skip

    sidecar = read_sidecar(target)
    assert (report.precision, sidecar.precision) == ("int8", "int8")
    assert sidecar.meta["calibration"]["images"] == 5
    assert sidecar.onnx_sha256 == onnx_graph.sha256(network())
    assert describe(target, key=None)["calibration"]["method"] == "minmax"
    text = f"the calibration cache {tmp_path / 'cal.bin'} is not used: it is for int8 only"
    assert lines(heard[0]) == [Line(text, warns=True)]


def test_a_cache_beside_a_quantised_model_is_not_used(folder, tmp_path):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    model, heard = tmp_path / "model.onnx", []
    model.write_bytes(quantise(network(), ranges(options(tmp_path, image_dir=folder))))

    report = engine.build(
        model, key=None, engine=tmp_path / "e", backend="openvino", precision="int8", calibration=tmp_path / "cal.bin",
        listener=heard.append,
    )  # fmt: skip

    assert report.precision == "int8"
    text = f"the calibration cache {tmp_path / 'cal.bin'} is not used: the model is quantised already"
    assert [lines(event) for event in heard] == [[Line(text, warns=True)]]
    assert not calibrate_model(model, key=None, options=options(tmp_path, image_dir=folder))


def test_half_precision_is_not_quantised(folder, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(onnx_graph.to_fp16(network()))
    ranges(options(tmp_path, image_dir=folder))

    with pytest.raises(EngineError) as caught:
        engine.build(model, key=None, engine=tmp_path / "e", precision="int8", calibration=tmp_path / "cal.bin")

    assert str(caught.value) == "this model's weights are float16; int8 is built from a model exported in fp32"


def test_tensor_scales_of_a_json_file_become_a_cache_and_never_replace_one(folder, tmp_path):
    model, scales = tmp_path / "model.onnx", tmp_path / "scales.json"
    model.write_bytes(network())
    scales.write_text(json.dumps({"tensor_scales": {"input_1": 1.0, "r": 2.54}}))
    settings = options(tmp_path, json_file=scales, image_dir=folder)

    assert calibrate_model(model, key=None, options=settings)
    with pytest.raises(PathError) as caught:
        calibrate_model(model, key=None, options=settings)
    other = replace(settings, cache=tmp_path / "ptq.bin", force_ptq=True)
    assert calibrate_model(model, key=None, options=other)

    assert parse_cache((tmp_path / "cal.bin").read_text()).ranges == pytest.approx({"input_1": 1.0, "r": 2.54})
    assert str(caught.value) == (
        f"{tmp_path / 'cal.bin'} already exists; the ranges come from {scales}: remove it first"
    )
    assert "logits" in parse_cache((tmp_path / "ptq.bin").read_text()).ranges
    scales.write_text("[]")
    with pytest.raises(DataError, match="no JSON with tensor_scales in it"):
        calibrate_model(model, key=None, options=replace(settings, cache=tmp_path / "c"))


def test_calibration_tensorfile_holds_the_shuffled_training_images_in_0_to_1(tiny, tmp_path):
    spec = write_spec(tiny, "tensorfile.txt")
    output = tmp_path / "new" / "calibration.tensor"

    code = main(["detectnet", "calibration_tensorfile", "-e", str(spec), "-o", str(output), "-m", "3", "-k", "unused"])

    assert code == 0
    photos = [np.asarray(Image.open(path)) for path in sorted((tiny / "kitti" / "image_2").glob("*.png"))]
    with h5py.File(output) as file:
        batches = np.concatenate([file[f"_tensorfile_array_key__{i}"]["_tensorfile_array_key_"] for i in range(3)])
    which = [
        next(i for i, photo in enumerate(photos) if np.array_equal(np.rint(image * 255), photo.transpose(2, 0, 1)))
        for image in batches
    ]
    assert batches.shape == (12, 3, 64, 96)
    assert sorted(which) == list(range(4, 16))  # fold 0 is held out
    assert which != sorted(which)
    assert batches.max() == pytest.approx(230 / 255)


def test_calibration_tensorfile_takes_the_validation_set_in_order_and_no_more_than_there_is(tiny, tmp_path):
    asked = experiment(write_spec(tiny, "tensorfile.txt"))

    assert calibration_tensorfile(asked, tmp_path / "val", split="val") == 1
    with pytest.raises(DataError) as caught:
        calibration_tensorfile(asked, tmp_path / "t", max_batches=4)

    first = np.asarray(Image.open(tiny / "kitti/image_2/000.png")).transpose(2, 0, 1)
    with h5py.File(tmp_path / "val") as file:
        np.testing.assert_allclose(
            file["_tensorfile_array_key__0"]["_tensorfile_array_key_"][0] * 255, first, atol=1e-4
        )
    assert str(caught.value) == "The dataset contains 3 minibatches, while the requested amount is 4."
    assert not (tmp_path / "t").exists()
