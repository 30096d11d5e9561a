"""Ranges learned by layer find their tensors in the ONNX, on every kind of residual network."""

from __future__ import annotations

from functools import cache

import onnx
import pytest
import torch
from onnx import numpy_helper

from taolite.errors import ModelError
from taolite.nn.darknet import DarkNet
from taolite.nn.efficientnet import EfficientNetB0
from taolite.nn.fake_quant import QuantConv2d, quantize, ranges, strip
from taolite.nn.mobilenet import MobileNetV2
from taolite.nn.resnet import ResNet
from taolite.quant import insert_qdq, layers, quantised_tensors
from taolite.quant.learned import learned_ranges
from taolite.stages.exporting.to_onnx import to_onnx

torch.set_num_threads(1)

NETWORKS = {
    "tao": lambda: ResNet(18),
    "torchvision": lambda: ResNet(18, graph="torchvision"),
    "bottlenecks, all projected": lambda: ResNet(50, all_projections=True),
    "no batch norm": lambda: ResNet(10, use_batch_norm=False),
    "darknet": lambda: DarkNet(53),
    "mobilenet v2": MobileNetV2,
    "efficientnet": EfficientNetB0,
}


@cache
def exported(name):
    """A network that learned its ranges, and its float ONNX."""
    network = quantised(NETWORKS[name]())
    return network, written(network)


def quantised(network):
    torch.manual_seed(0)
    quantize(network)
    network(torch.rand(2, 3, 64, 64))
    return network.eval()


def written(network) -> bytes:
    return to_onnx(strip(network), channels=3, input_hw=(64, 64), output_names=("features",))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_that_int8_rounds_has_the_range_of_the_layer_that_reads_it(name):
    network, model = exported(name)

    found = learned_ranges(model, ranges(network))

    assert set(found) == set(quantised_tensors(model))
    for layer, (read, _) in layers(model).items():
        assert found[read] == ranges(network)[layer]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_addend_that_int8_rounds_was_rounded_in_training_by_the_same_range(name):
    network, model = exported(name)

    graph = onnx.load_model_from_string(insert_qdq(model, learned_ranges(model, ranges(network)))).graph

    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    rounded = [
        float(scales[f"{tensor.removesuffix('_dequantized')}_scale"]) * 127
        for node in graph.node
        if node.op_type == "Add"
        for tensor in node.input
        if tensor.endswith("_dequantized")
    ]
    learned = [
        value for path, value in ranges(network).items() if not isinstance(network.get_submodule(path), QuantConv2d)
    ]
    assert rounded == pytest.approx(learned, rel=1e-6)


def test_a_projected_shortcut_has_the_range_of_what_its_convolution_gives():
    network = quantised(ResNet(10))
    model = written(network)

    found = learned_ranges(model, ranges(network))

    for stage in "1234":
        (_, given) = layers(model)[f"block_{stage}a_conv_shortcut"]
        assert found[given] == ranges(network)[f"block_{stage}a_shortcut"]


def test_a_network_that_was_trained_with_other_rounding_is_refused():
    network = quantised(ResNet(10))
    model = written(network)
    read = layers(model)["block_2a_conv_2"][0]
    learned = {name: value for name, value in ranges(network).items() if name != "block_2a_conv_2"}

    with pytest.raises(ModelError) as caught:
        learned_ranges(model, learned)

    assert str(caught.value) == (
        f"this network was not trained with the rounding that int8 has: at {read} only one of the two rounds; "
        "export with --force_ptq, which finds ranges with images"
    )
