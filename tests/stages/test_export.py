"""From a torch network to ONNX that is the same network, and from a bundle to an artifact."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from taolite.artifacts.bundle import Bundle, write_bundle
from taolite.artifacts.container import KdfCost
from taolite.artifacts.etlt import read_etlt
from taolite.artifacts.keys import Key
from taolite.cli.words import Line, lines
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import EngineError, ModelError, PathError, UsageError
from taolite.events import Event
from taolite.nn.resnet import ResNet
from taolite.preprocessing import Preprocessing
from taolite.quant.cache import parse_cache
from taolite.stages.exporting import export, ranges
from taolite.stages.exporting.calibrate import CalibrationOptions
from taolite.stages.exporting.export import export_model
from taolite.stages.exporting.proof import parity
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.stages.trained import Trained, open_trained
from taolite.tasks.detectnet.model import DetectNet
from taolite.tasks.detectnet.use import DetectNetUse

COV, BBOX = "output_cov/Sigmoid", "output_bbox/BiasAdd"


class Detector(nn.Module):
    """A convolution with BatchNorm, a residual addition and two heads, as a DetectNet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.cov, self.bbox = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 8, 1)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-1, 1)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.norm(self.stem(x)))
        x = x + torch.relu(x - 0.1)
        return torch.sigmoid(self.cov(x)), self.bbox(x)


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Detector()


@pytest.fixture(scope="module")
def exported(detector: Detector) -> bytes:
    return to_onnx(detector, channels=3, input_hw=(32, 48), output_names=(COV, BBOX))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_onnx_answers_what_the_network_answers_at_any_batch(detector, exported, batch):
    photos = torch.rand(batch, 3, 32, 48, generator=torch.Generator().manual_seed(1))

    with open_engine(exported, threads=1) as engine:
        answer = engine.infer({"input_1": photos.numpy()})

    detector.eval()
    with torch.no_grad():
        cov, bbox = detector(photos)
    detector.train()
    np.testing.assert_allclose(answer[COV], cov.numpy(), atol=1e-6)
    np.testing.assert_allclose(answer[BBOX], bbox.numpy(), atol=1e-5)


def test_the_onnx_has_taos_names_opset_17_and_no_batch_norm(exported):
    model = onnx.load_model_from_string(exported)

    assert onnx_graph.signature(exported).inputs == {"input_1": (-1, 3, 32, 48)}
    assert onnx_graph.signature(exported).outputs == {COV: (-1, 2, 16, 24), BBOX: (-1, 8, 16, 24)}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_exporting_leaves_the_network_as_it_was_and_says_nothing(detector, capfd):
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_onnx(detector, channels=3, input_hw=(32, 48), output_names=(COV, BBOX))

    assert capfd.readouterr() == ("", "")
    assert detector.training
    assert all(torch.equal(before[name], tensor) for name, tensor in detector.state_dict().items())


def test_taos_default_opset_12_is_written_too(detector, exported):
    older = to_onnx(detector, channels=3, input_hw=(32, 48), output_names=(COV, BBOX), opset=12)

    assert [entry.version for entry in onnx.load_model_from_string(older).opset_import] == [12]
    assert parity(copy.deepcopy(detector).eval(), older, PREPROCESSING)[BBOX] < 1e-5


def test_a_static_batch_is_fixed_in_the_model(detector):
    model = to_onnx(detector, channels=3, input_hw=(32, 48), output_names=(COV, BBOX), static_batch=1)

    assert onnx_graph.signature(model).inputs == {"input_1": (1, 3, 32, 48)}


def test_another_number_of_names_than_outputs_is_refused(detector):
    with pytest.raises(EngineError) as caught:
        to_onnx(detector, channels=3, input_hw=(32, 48), output_names=(COV,))

    assert str(caught.value) == "this model has 2 outputs (sigmoid, conv2d_2) and 1 names were given"


def test_a_network_that_cannot_be_written_down_says_what_is_in_the_way():
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError) as caught:
        to_onnx(Branches(), channels=3, input_hw=(8, 8), output_names=("y",))

    assert str(caught.value).startswith("this network cannot be written as ONNX at opset 17: ")
    assert "\n" not in str(caught.value)


KEY = Key("tlt_encode")
PREPROCESSING = Preprocessing(input_hw=(32, 48), fit="stretch")
DECODING = {"scale": 35.0, "offset": 0.5, "clusterings": []}


@pytest.fixture(scope="module")
def network() -> DetectNet:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = DetectNet(ResNet(10), 2)
    made(torch.rand(2, 3, 32, 48))  # moves the batch norms off their start
    return made.eval()


@pytest.fixture(scope="module")
def bundle(network: DetectNet) -> Bundle:
    return Bundle(
        task="detectnet",
        architecture=network.architecture(),
        classes=("cat", "犬"),
        preprocessing=PREPROCESSING,
        tensors={name: tensor.numpy() for name, tensor in network.state_dict().items()},
        lineage=({"stage": "train"},),
        decoding=DECODING,
    )


@pytest.fixture(scope="module")
def tlt(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    path = tmp_path_factory.mktemp("trained") / "model.tlt"
    write_bundle(path, bundle, key=KEY, cost=KdfCost(memory_kib=8, iterations=1))
    return open_trained(path, key=KEY)


def test_a_bundle_becomes_a_sealed_model_that_answers_what_the_network_answers(tlt, network, tmp_path):
    heard: list[Event] = []
    output = tmp_path / "out" / "model.etlt"

    report = export_model(tlt, output, key=KEY, listener=heard.append)

    etlt = read_etlt(output, key=KEY)
    photos = torch.rand(3, 3, 32, 48)
    with open_engine(etlt.onnx, threads=1) as engine:
        answer = engine.infer({etlt.input_name: photos.numpy()})
    with torch.no_grad():
        cov, bbox = network(photos)
    np.testing.assert_allclose(answer[COV], cov.numpy(), atol=1e-5)
    np.testing.assert_allclose(answer[BBOX], bbox.numpy(), atol=1e-5)
    assert onnx_graph.read_meta(etlt.onnx) == OnnxMeta("detectnet", ("cat", "犬"), PREPROCESSING, DECODING)
    assert [step["stage"] for step in etlt.meta["lineage"]] == ["train", "export"]
    assert (etlt.meta["classes"], etlt.meta["decoding"]) == (["cat", "犬"], DECODING)
    assert (report.sealed, report.precision, report.onnx_sha256) == (True, "fp32", onnx_graph.sha256(etlt.onnx))
    assert set(report.differences) == {COV, BBOX}
    assert 0 < max(report.differences.values()) < 1e-4
    assert [lines(event) for event in heard] == [[Line(f"Saving exported model to {output}")]]


@pytest.fixture
def quick(detector, monkeypatch):
    """The stage over a network that is written down in a second; the bundle's own is used once, above."""

    class QuickTask(DetectNetUse):
        heads = ("cov", "bbox")

        def network(self, bundle):
            return copy.deepcopy(detector).eval()

    monkeypatch.setattr(export, "find", lambda name: QuickTask())
    monkeypatch.setattr(ranges, "find_use", lambda name: QuickTask())


@pytest.mark.usefixtures("quick")
def test_a_name_ending_in_onnx_gives_a_plain_model_in_half_precision_with_deepstreams_files(tlt, network, tmp_path):
    report = export_model(tlt, tmp_path / "model.onnx", key=KEY, precision="fp16", gen_ds_config=True)

    data = (tmp_path / "model.onnx").read_bytes()
    assert onnx_graph.element_types(data) == {"float16"}
    assert onnx_graph.read_meta(data).precision == "fp16"
    assert not report.sealed
    assert report.companions == (tmp_path / "nvinfer_config.txt", tmp_path / "labels.txt")
    assert (tmp_path / "labels.txt").read_text() == "cat\n犬\n"
    assert "infer-dims=3;32;48\n" in (tmp_path / "nvinfer_config.txt").read_text()
    assert 0 < max(report.differences.values()) < 2e-2


@pytest.mark.usefixtures("quick")
def test_an_output_that_exists_is_kept_unless_told_otherwise(tlt, tmp_path):
    output = tmp_path / "model.onnx"
    output.write_text("older")

    with pytest.raises(PathError) as caught:
        export_model(tlt, output, key=KEY)

    assert str(caught.value) == (
        f"Default output file {output} already exists; remove it, choose another, or add --force"
    )
    assert output.read_text() == "older"
    export_model(tlt, output, key=KEY, overwrite=True)
    assert output.stat().st_size > 1000


@pytest.mark.usefixtures("quick")
def test_an_int8_export_carries_its_calibration_and_says_what_it_costs(tlt, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(pictures / f"{index}.png")
    settings = CalibrationOptions(cache=tmp_path / "cal.bin", image_dir=pictures, batches=1, batch_size=3)

    report = export_model(tlt, tmp_path / "m.etlt", key=KEY, precision="int8", calibration=settings, gen_ds_config=True)
    again = export_model(
        tlt, tmp_path / "n.etlt", key=KEY, precision="int8", calibration=replace(settings, image_dir=None)
    )

    etlt = read_etlt(tmp_path / "m.etlt", key=KEY)
    assert onnx_graph.element_types(etlt.onnx) == {"float32", "int8"}
    assert (etlt.meta["precision"], etlt.meta["calibration"]["images"]) == ("int8", 3)
    assert etlt.meta["lineage"][-1]["calibration"] == etlt.meta["calibration"]
    assert report.int8 is not None
    assert again.int8 is not None
    assert max(report.differences.values()) < 1e-4  # of the float model, before rounding
    assert all(30 < decibel < 80 for decibel in report.int8.sqnr.values())
    assert {cost.layer for cost in report.int8.layers} == {"stem"}  # the heads stay float
    assert (report.int8.measured_on, again.int8.measured_on) == ("calibration images", "test patterns")
    assert read_etlt(tmp_path / "n.etlt", key=KEY).onnx == etlt.onnx
    assert "network-mode=1\nint8-calib-file=cal.bin\n" in (tmp_path / "nvinfer_config.txt").read_text()
    assert parse_cache((tmp_path / "cal.bin").read_text()).ranges["input_1"] == pytest.approx(1.0)


def test_what_was_written_must_be_the_trained_network(detector, exported):
    other = copy.deepcopy(detector).eval()
    with torch.no_grad():
        other.bbox.bias[3] += 0.01

    with pytest.raises(ModelError) as caught:
        parity(other, exported, PREPROCESSING)

    assert str(caught.value) == (
        "the exported model is not the trained network: output_bbox/BiasAdd differs by 0.01, and "
        "0.001 is allowed in fp32; nothing was written. Try another --target_opset, and report it"
    )
    assert parity(copy.deepcopy(detector).eval(), exported, PREPROCESSING)[BBOX] < 1e-5


def test_a_network_that_gives_no_numbers_is_not_exported(detector):
    broken = copy.deepcopy(detector).eval()
    with torch.no_grad():
        broken.bbox.bias[0] = float("nan")
    written = to_onnx(broken, channels=3, input_hw=(32, 48), output_names=(COV, BBOX))

    with pytest.raises(ModelError, match="output_bbox/BiasAdd differs by nan"):
        parity(broken, written, PREPROCESSING)


@pytest.mark.usefixtures("quick")
def test_a_spec_says_how_to_decode_and_must_have_the_models_classes(tlt, tmp_path):
    own = SimpleNamespace(source="train.txt", classes=("cat", "犬"), decoding={"scale": 40.0})
    other = SimpleNamespace(source="other.txt", classes=("dog",), decoding={})

    export_model(tlt, tmp_path / "m.onnx", key=KEY, experiment=own)
    assert onnx_graph.read_meta((tmp_path / "m.onnx").read_bytes()).decoding == {"scale": 40.0}

    with pytest.raises(UsageError) as caught:
        export_model(tlt, tmp_path / "n.onnx", key=KEY, experiment=other)

    assert str(caught.value) == (
        "other.txt: its target classes are dog, and the model finds cat, 犬; give the spec it was trained with"
    )


def test_exporting_twice_gives_the_same_model(detector, exported):
    assert to_onnx(detector, channels=3, input_hw=(32, 48), output_names=(COV, BBOX)) == exported


def test_a_grey_model_with_a_fixed_batch_is_proved_too():
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid()).eval()
    written = to_onnx(grey, channels=1, input_hw=(32, 32), output_names=(COV,), static_batch=1)

    differences = parity(grey, written, Preprocessing(input_hw=(32, 32), channels=1, offsets=(0.0,)))

    assert differences[COV] < 1e-5
