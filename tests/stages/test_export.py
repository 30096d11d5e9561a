"""From a torch network to ONNX that is the same network, and from a bundle to an artifact."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from taolite.engines import onnx_graph
from taolite.engines.base import open_engine
from taolite.errors import EngineError, ModelError
from taolite.stages.export import to_onnx

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
