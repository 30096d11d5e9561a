"""Quantisation-aware training through the stages: train, resume, prune, retrain with and without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.engines.onnx_graph import element_types, operators
from taolite.errors import ModelError, PathError, TrainingError
from taolite.nn.fake_quant import QuantConv2d, fake_quantize_kernel, is_quantized, ranges, strip
from taolite.quant import insert_qdq
from taolite.quant.cache import parse_cache
from taolite.stages.exporting.calibrate import CalibrationOptions
from taolite.stages.exporting.export import ExportReport, export_model
from taolite.stages.exporting.learned_int8 import learned_calibration, prove_integers, prove_rounding
from taolite.stages.exporting.ranges import read_ranges
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.stages.prune import PruneSettings, prune
from taolite.stages.trained import open_trained
from taolite.tasks.base import Start
from taolite.tasks.detectnet.task import TASK

from .conftest import write_spec
from .test_life import detectnet, train_once

KEY = Key("tlt_encode")
ENGINE_SPEC = """
inferencer_config {{
  target_classes: "plate" image_width: 96 image_height: 64 image_channels: 3 batch_size: 4
  tensorrt_config {{ parser: ETLT backend_data_type: INT8 trt_engine: "{engine}" }}
}}
bbox_handler_config {{
  kitti_dump: true
  classwise_bbox_handler_config {{ key: "default" value {{ clustering_config {{
    clustering_algorithm: NMS coverage_threshold: 0.3 nms_iou_threshold: 0.3 nms_confidence_threshold: 0.3 }} }} }}
}}
"""


pytestmark = pytest.mark.usefixtures("one_thread")


def qat_spec(root: Path, name: str, *, epochs: int = 2, model: str = "") -> Path:
    path = write_spec(root, name, epochs=epochs, model=model)
    path.write_text(path.read_text().replace("checkpoint_interval: 2", "checkpoint_interval: 2 enable_qat: true"))
    return path


@pytest.fixture(scope="module")
def trained(tiny: Path) -> Path:
    """The `.tlt` of a quantised training of 4 epochs."""
    results = tiny / "qat"
    spec = qat_spec(tiny, "qat.txt", epochs=4)
    assert detectnet("train", "-e", spec, "-r", results, "-n", "plate", "--precision", "fp32") == 0
    return results / "weights" / "plate.tlt"


def loaded(tiny: Path, model: Path, name: str, *, enable_qat: bool) -> Start:
    field = f'pretrained_model_file: "{model}" load_graph: true'
    path = (qat_spec if enable_qat else write_spec)(tiny, name, model=field)
    return TASK.read(path).model.start(key=KEY)


def to_int8(model: Path, output: Path, options: CalibrationOptions) -> ExportReport:
    return export_model(open_trained(model, key=KEY), output, key=KEY, precision="int8", calibration=options)


def test_a_quantised_training_learns_ranges_and_evaluates_as_trained(trained: Path, tiny: Path, capsys):
    network = TASK.network(read_bundle(trained, key=KEY))

    found = ranges(network)
    assert len(found) == 13 + 4
    assert found["backbone.conv1"] == pytest.approx(230 / 255, abs=0.05)  # the plates' grey; 6.0 without learning
    assert 6.0 not in found.values()
    assert detectnet("evaluate", "-e", tiny / "qat.txt", "-m", trained) == 0
    assert "nan" not in capsys.readouterr().out


def test_a_quantised_run_stopped_between_steps_goes_on_to_the_same_weights_and_ranges(tiny: Path):
    spec = qat_spec(tiny, "qat_exact.txt", epochs=2)
    whole = train_once(tiny / "qat_whole", spec)

    with pytest.raises(TrainingError, match="after epoch 1, step 2 of 3"):
        train_once(tiny / "qat_halves", spec, stop_at=4)

    assert train_once(tiny / "qat_halves", spec) == whole


def test_the_loaded_graph_goes_on_quantised_or_sheds_it_as_the_spec_says(trained: Path, tiny: Path):
    again = loaded(tiny, trained, "qat_again.txt", enable_qat=True)
    shed = loaded(tiny, trained, "qat_shed.txt", enable_qat=False)

    assert again.notices[-1] == (
        "enable_qat: training goes on with 8-bit kernels and inputs in 13 convolutions; heads stay float"
    )
    assert ranges(again.network) == ranges(TASK.network(read_bundle(trained, key=KEY)))
    assert all(int(n) == 0 for name, n in again.network.named_buffers() if name.endswith(".batches"))
    assert shed.notices[-1] == "enable_qat is false and the loaded model is quantised: its quantisation is taken off"
    assert not is_quantized(shed.network)
    assert torch.equal(shed.network.backbone.conv1.weight, again.network.backbone.conv1.weight)


def test_a_pruned_quantised_model_retrains_quantised(trained: Path, tiny: Path):
    pruned = tiny / "qat_pruned.tlt"
    report = prune(open_trained(trained, key=KEY), pruned, key=KEY, settings=PruneSettings(target=0.5))

    spec = qat_spec(tiny, "qat_retrain.txt", model=f'pretrained_model_file: "{pruned}" load_graph: true')
    train_once(tiny / "qat_retrained", spec)

    bundle = read_bundle(tiny / "qat_retrained/weights/m.tlt", key=KEY)
    assert report.plan.ratio <= 0.5
    assert bundle.architecture["quantized"] is True
    assert weights_hash(bundle.tensors) != weights_hash(read_bundle(pruned, key=KEY).tensors)


def test_a_quantised_model_gives_its_weights_to_a_float_one_layer_by_layer(trained: Path, tiny: Path):
    path = write_spec(tiny, "by_name.txt", model=f'pretrained_model_file: "{trained}"')

    start = TASK.read(path).model.start(key=KEY)

    assert start.notices[0] == f"{trained}: 26 layers loaded into the tao graph"
    assert list(start.notices[1:]) == [
        f"{trained}: layer {head} skipped: heads begin at random without load_graph"
        for head in ("output_bbox", "output_cov")
    ]


def test_random_numbers_of_a_run_do_not_depend_on_quantisation(tiny: Path):
    def start(path: Path) -> torch.nn.Module:
        return TASK.read(path).model.start(key=None).network

    quantised, floats = start(qat_spec(tiny, "seed_q.txt")), start(write_spec(tiny, "seed_f.txt"))

    assert is_quantized(quantised)
    for (name, ours), (same, theirs) in zip(quantised.named_parameters(), floats.named_parameters(), strict=True):
        assert (name, torch.equal(ours, theirs)) == (same, True)


def test_a_quantised_model_exports_in_fp32_without_its_quantisation(trained: Path, tiny: Path):
    assert detectnet("export", "-m", trained, "-o", tiny / "qat_fp32.onnx") == 0

    written = (tiny / "qat_fp32.onnx").read_bytes()
    assert operators(written) <= {"Conv", "Relu", "Add", "Sigmoid"}
    assert element_types(written) == {"float32"}


def test_a_published_retraining_spec_with_enable_qat_is_read_without_a_word_about_it(shared_data: Path):
    name = "shokoufeh-monjezi__objectdetection-quickdep__detectnet_v2_retrain_resnet18_kitti_qat.txt"

    reading = TASK.read(shared_data / "tao_specs" / "detectnet_v2" / name)

    assert reading.model.spec.training_config.enable_qat
    assert [warning.text for warning in reading.warnings if "qat" in warning.text] == []


def test_an_int8_export_rounds_as_training_did_and_needs_no_images(trained: Path, tiny: Path):
    options = CalibrationOptions(cache=tiny / "qat.bin", json_file=tiny / "qat.json")

    report = to_int8(trained, tiny / "qat_int8.onnx", options)

    written = onnx.load(str(tiny / "qat_int8.onnx"))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    network = TASK.network(read_bundle(trained, key=KEY))
    quantised = [name for name, layer in network.named_modules() if isinstance(layer, QuantConv2d)]
    for name in quantised:
        kernel = network.get_submodule(name).weight.detach()
        norm = network.get_submodule(name.replace("_conv_", "_bn_").replace(".conv1", ".bn_conv1"))
        sign_o = norm.weight.detach().sign().numpy()[:, None, None, None]
        steps_o = np.abs(kernel.numpy()).max(axis=(1, 2, 3), keepdims=True) / 127
        integers = stored[f"{name}.weight_quantized"]
        assert integers.dtype == np.int8
        np.testing.assert_array_equal(integers * sign_o, np.round(fake_quantize_kernel(kernel).numpy() / steps_o))
        assert np.abs(integers * sign_o - kernel.numpy() / steps_o).max() <= 0.5 + 1e-4  # the nearest, but for ties
    assert len(quantised) == sum(name.endswith(".weight_quantized") for name in stored)
    assert set(report.differences) == set(TASK.onnx_outputs)
    scales = json.loads((tiny / "qat.json").read_text())["tensor_scales"]
    assert scales["input_1"] == pytest.approx(ranges(network)["backbone.conv1"])
    assert stored["input_1_scale"] == np.float32(scales["input_1"]) / np.float32(127)
    assert parse_cache((tiny / "qat.bin").read_text()).ranges == pytest.approx(scales)


def test_the_cache_of_a_quantised_model_serves_its_fp32_export(trained: Path, tiny: Path):
    cache = tiny / "qat_for_fp32.bin"
    to_int8(trained, tiny / "q8.onnx", CalibrationOptions(cache=cache))
    export_model(open_trained(trained, key=KEY), tiny / "q32.onnx", key=KEY)

    read = read_ranges(cache, (tiny / "q32.onnx").read_bytes())

    assert read.record["method"] == "quantisation-aware training"
    assert read.ranges["input_1"] == pytest.approx(
        ranges(TASK.network(read_bundle(trained, key=KEY)))["backbone.conv1"]
    )


def test_a_layer_that_is_to_stay_float_has_its_own_kernel_and_the_rest_is_proved_as_ever(trained: Path, tiny: Path):
    layer = "block_2a_conv_1"
    options = CalibrationOptions(cache=tiny / "part.bin", excluded=(layer,))

    report = to_int8(trained, tiny / "part.onnx", options)

    stored = {tensor.name: tensor for tensor in onnx.load(str(tiny / "part.onnx")).graph.initializer}
    network = TASK.network(read_bundle(trained, key=KEY))
    norm = network.backbone.block_2a_bn_1
    factor_o = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel = network.backbone.block_2a_conv_1.weight * factor_o[:, None, None, None]
    found = numpy_helper.to_array(stored[f"backbone.{layer}.weight"])
    np.testing.assert_allclose(found, kernel.detach().numpy(), rtol=1e-4, atol=1e-7)
    assert sum(name.endswith(".weight_quantized") for name in stored) == 12
    assert set(report.differences) == set(TASK.onnx_outputs)


def test_an_existing_cache_is_refused_with_taos_words_and_left_alone(trained: Path, tiny: Path):
    cache = tiny / "there.bin"
    cache.write_text("TRT-8601-EntropyCalibration2\n")

    with pytest.raises(PathError, match=r"A pre-existing cache file exists. Please delete this file and re-run export"):
        to_int8(trained, tiny / "no.onnx", CalibrationOptions(cache=cache))

    assert cache.read_text() == "TRT-8601-EntropyCalibration2\n"
    assert not (tiny / "no.onnx").exists()


def test_force_ptq_calibrates_with_images_whatever_training_learned(trained: Path, tiny: Path, capsys):
    words = (
        "export",
        "-m",
        trained,
        "-o",
        tiny / "ptq.onnx",
        "--data_type",
        "int8",
        "--cal_cache_file",
        tiny / "p.bin",
    )

    code = detectnet(
        *words, "--force_ptq", "--cal_image_dir", tiny / "kitti/image_2", "--batches", 2, "--batch_size", 4
    )

    assert code == 0
    record = json.loads((tiny / "p.bin.json").read_text())
    assert (record["method"], record["images"]) == ("minmax", 8)
    capsys.readouterr()
    assert main(["inspect", str(tiny / "ptq.onnx")]) == 0
    said = capsys.readouterr().out
    assert "  precision   int8\n" in said
    assert "images 8, method minmax" in said


def test_a_kernel_that_is_one_step_off_is_found(trained: Path):
    network = TASK.network(read_bundle(trained, key=KEY))
    written = to_onnx(strip(network, round_kernels=True), channels=3, input_hw=(64, 96), output_names=TASK.onnx_outputs)
    learned = learned_calibration(network, written, heads=TASK.heads)
    right = insert_qdq(written, learned.ranges, excluded=TASK.heads)
    prove_integers(network, right)

    model = onnx.load_model_from_string(right)
    tensor = next(t for t in model.graph.initializer if t.name == "backbone.block_3a_conv_2.weight_quantized")
    integers = numpy_helper.to_array(tensor).copy()
    integers[7, 3, 1, 1] += 1 if integers[7, 3, 1, 1] < 0 else -1
    tensor.CopyFrom(numpy_helper.from_array(integers, tensor.name))

    with pytest.raises(ModelError, match=r"backbone\.block_3a_conv_2: the exported kernel holds other integers"):
        prove_integers(network, model.SerializeToString())


def test_the_notebooks_quantised_cells_end_in_pictures(trained: Path, tiny: Path, capsys):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    final, engine = tiny / "final", tiny / "final/plate_qat.trt.int8"
    (tiny / "engine.txt").write_text(ENGINE_SPEC.format(engine=engine))

    def tao(*words: object) -> str:
        assert main(["tao", "detectnet_v2", *map(str, words)]) == 0
        return capsys.readouterr().out

    def scores(text: str) -> float:
        return float(text.partition("Mean average_precision (in %): ")[2].split()[0])

    trained_ap = scores(tao("evaluate", "-e", tiny / "qat.txt", "-m", trained, "-k", "tlt_encode", "-f", "tlt"))
    said = tao(
        "export", "-m", trained, "-o", final / "plate_qat.etlt", "-k", "tlt_encode", "--data_type", "int8",
        "--batch_size", 64, "--max_batch_size", 64, "--engine_file", engine,
        "--cal_cache_file", final / "calibration_qat.bin", "--verbose",
    )  # fmt: skip
    engine_ap = scores(tao("evaluate", "-e", tiny / "qat.txt", "-m", engine, "-f", "tensorrt"))
    tao("inference", "-e", tiny / "engine.txt", "-o", tiny / "shown", "-i", tiny / "kitti/image_2", "-k", "tlt_encode")

    assert "costliest layers" not in said
    assert json.loads((final / "plate_qat.trt.int8.json").read_text())["precision"] == "int8"
    assert (final / "calibration_qat.bin").read_text().startswith("TRT-8601-EntropyCalibration2\n")
    assert engine_ap == pytest.approx(trained_ap, abs=5)  # of 6 plates
    for folder, ending in (("images_annotated", "*.png"), ("labels", "*.txt")):
        assert len(list((tiny / "shown" / folder).glob(ending))) == 16


def test_a_model_that_rounds_otherwise_is_not_written(trained: Path):
    network = TASK.network(read_bundle(trained, key=KEY))
    plain = strip(network, round_kernels=True)
    written = to_onnx(plain, channels=3, input_hw=(64, 96), output_names=TASK.onnx_outputs)
    inputs = np.random.default_rng(0).random((2, 3, 64, 96), np.float32)
    right = learned_calibration(network, written, heads=TASK.heads)

    good = insert_qdq(written, right.ranges, excluded=TASK.heads)
    prove_rounding(network, strip(network), good, inputs)

    wrong = insert_qdq(written, {name: 20 * value for name, value in right.ranges.items()}, excluded=TASK.heads)
    with pytest.raises(ModelError, match="does not round as the network was trained to"):
        prove_rounding(network, strip(network), wrong, inputs)
