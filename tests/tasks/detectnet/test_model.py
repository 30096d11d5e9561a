from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.archs import ARCHS
from taolite.nn.backbones import BACKBONES, build_backbone
from taolite.nn.darknet import DarkNet
from taolite.nn.fake_quant import QuantConv2d, is_quantized, quantize, ranges, strip
from taolite.nn.resnet import ResNet
from taolite.nn.vgg import VGG
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan
from taolite.tasks.detectnet.loss import ClassWeights, DetectNetObjective
from taolite.tasks.detectnet.model import DetectNet, build
from taolite.tasks.detectnet.targets import Ellipse, Raster, rasterize
from taolite.tasks.detectnet.use import HEADS

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("num_layers", "classes", "all_projections", "total", "moving"),
    [
        (18, 1, False, 11_197_893, 9_728),
        (18, 3, False, 11_203_023, 9_728),
        (18, 3, True, 11_555_983, 11_648),
        (34, 3, False, 21_322_319, 17_152),
    ],
)
def test_parameter_counts_are_those_of_tao(num_layers, classes, all_projections, total, moving):
    """The reference 5.2 counts as Keras does: with the batch norms' moving mean and variance, which do not train."""
    with torch.device("meta"):
        model = DetectNet(ResNet(num_layers, all_projections=all_projections), classes)

    statistics = sum(b.numel() for name, b in model.named_buffers() if "running_" in name)
    assert statistics == moving
    assert sum(p.numel() for p in model.parameters()) + statistics == total


def test_the_outputs_are_coverage_and_four_distances_for_each_class_on_the_grid():
    model = DetectNet(ResNet(10), 3).eval()
    x = torch.rand(2, 3, 48, 64)

    with torch.no_grad():
        cov, bbox = model(x)
        logits, same = model.forward_logits(x)

    assert (cov.shape, bbox.shape, model.grid_hw((48, 64))) == ((2, 3, 3, 4), (2, 12, 3, 4), (3, 4))
    assert ((cov > 0) & (cov < 1)).all()
    torch.testing.assert_close(cov, 1 / (1 + torch.exp(-logits)))
    assert torch.equal(bbox, same)


def test_heads_start_at_zero_bias_or_at_the_coverage_asked_for():
    plain, shy = DetectNet(ResNet(10), 2), DetectNet(ResNet(10), 2, cov_bias=-4.0)

    assert plain.output_cov.bias.tolist() == [0, 0]
    assert plain.output_bbox.bias.tolist() == [0] * 8
    assert shy.output_cov.bias.tolist() == [-4, -4]
    assert shy.output_bbox.bias.tolist() == [0] * 8
    assert plain.output_cov.weight.abs().max() <= (6 / (512 + 2)) ** 0.5


def test_outputs_are_float32_and_close_under_bfloat16_and_channels_last():
    torch.manual_seed(0)
    model = DetectNet(ResNet(10), 1).to(memory_format=torch.channels_last).eval()
    x = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)

    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x)

    assert [out.dtype for out in rough] == [torch.float32, torch.float32]
    # A distance that bfloat16 had rounded would have a float32 tail of zeros.
    assert (rough[1].view(torch.int32) & 0xFFFF).any()
    for a, b in zip(rough, exact, strict=True):
        assert (a - b).abs().max() <= 0.03 * b.abs().max()


def test_a_training_step_under_bfloat16_reaches_every_parameter():
    model = DetectNet(ResNet(10), 1).to(memory_format=torch.channels_last)

    with torch.autocast("cpu", torch.bfloat16):
        logits, bbox = model.forward_logits(torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last))
    (nn.functional.binary_cross_entropy_with_logits(logits, torch.rand_like(logits)) + bbox.abs().mean()).backward()

    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_state_dict_keys_are_the_documented_ones():
    keys = set(DetectNet(ResNet(10), 1).state_dict())

    assert {key.split(".")[0] for key in keys} == {"backbone", *HEADS}
    assert {"backbone.conv1.weight", "backbone.conv1.bias", "backbone.bn_conv1.running_var"} <= keys
    assert {"backbone.block_4a_conv_shortcut.weight", "output_cov.weight", "output_bbox.bias"} <= keys
    assert len(keys) == 13 * 2 + 13 * 5 + 4


@pytest.mark.parametrize("graph", ["tao", "torchvision"])
def test_a_pruned_network_comes_back_from_json_bit_for_bit(graph):
    torch.manual_seed(1)
    dense = DetectNet(ResNet(10, graph=graph, freeze_blocks=(0, 2), freeze_bn=True), 2)
    x = torch.rand(1, 3, 64, 64)
    pruned = apply(dense, plan(dense, x, threshold=0.99, min_filters=8, heads=HEADS))

    record = json.loads(json.dumps(pruned.architecture()))
    rebuilt = build(record)
    rebuilt.load_state_dict(pruned.state_dict(), strict=True)

    trains = {name: p.requires_grad for name, p in pruned.named_parameters()}
    assert rebuilt.architecture() == record
    assert record["channels"]["backbone.block_1a_conv_1"][1] < 64
    assert {name: p.requires_grad for name, p in rebuilt.named_parameters()} == trains
    assert not rebuilt.backbone.bn_conv1.training
    assert rebuilt.backbone.out_channels == rebuilt.output_cov.in_channels
    with torch.no_grad():
        for a, b in zip(rebuilt.eval()(x), pruned.eval()(x), strict=True):
            assert torch.equal(a, b)


def with_(record, **changes):
    return {**record, **changes}


def test_a_structure_that_nobody_vouches_for_is_checked_before_it_is_built():
    with torch.device("meta"):
        record = DetectNet(ResNet(10), 1).architecture()
    channels = record["channels"]

    def message(value):
        with pytest.raises(ModelError) as caught:
            build(value)
        return str(caught.value)

    assert message({}) == f"the stored structure's network is None; it needs to be one of {', '.join(BACKBONES)}"
    assert message(with_(record, num_layers="18")) == (
        "the stored structure's num_layers is '18'; it needs to be of type int"
    )
    assert message(with_(record, use_batch_norm=1)) == (
        "the stored structure's use_batch_norm is 1; it needs to be of type bool"
    )
    assert message({name: v for name, v in record.items() if name != "graph"}) == (
        "the stored structure's graph is missing; it needs to be of type str"
    )
    assert message(with_(record, num_classes=10**12)) == (
        "DetectNet: num_classes is 1000000000000; it needs to be 1 to 4096"
    )
    assert message(with_(record, freeze_blocks=["x"])) == (
        "ResNet: freeze_blocks is x; it needs to be one of 0, 1, 2, 3, 4"
    )
    assert message(with_(record, channels=[1])) == "the stored structure's channels are not a table of layers"
    assert message(with_(record, channels={**channels, "backbone.conv1": [3, 65]})) == (
        "the stored structure gives backbone.conv1 the channels [3, 65]; "
        "it needs two numbers from 1 to [3, 64] (the unpruned network)"
    )
    assert message(with_(record, channels={**channels, "backbone.conv1": [3, 63]})).startswith(
        "the stored structure's channel counts do not fit together: "
    )


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["tao", "torchvision"])
def test_the_onnx_of_a_pruned_network_gives_the_same_numbers(tmp_path, graph):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(2)
    dense = DetectNet(ResNet(10, graph=graph), 2)
    x = torch.rand(1, 3, 64, 96)
    model = apply(dense, plan(dense, x, threshold=0.97, heads=HEADS)).eval()

    torch.onnx.export(
        model,
        (x,),
        tmp_path / "m.onnx",
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
        external_data=False,
        verbose=False,
    )

    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = torch.rand(batch, 3, 64, 96)
        with torch.no_grad():
            expected = model(x)
        for found, wanted in zip(session.run(None, {session.get_inputs()[0].name: x.numpy()}), expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_a_quantised_network_is_built_again_from_its_architecture_and_state():
    torch.manual_seed(0)
    network = DetectNet(ResNet(10), 2)
    quantize(network.backbone)
    network(torch.rand(2, 3, 64, 64))
    network.eval()

    again = build(json.loads(json.dumps(network.architecture())))
    again.load_state_dict(network.state_dict())

    x = torch.rand(1, 3, 64, 64)
    assert not isinstance(network.output_cov, QuantConv2d)
    assert ranges(again) == ranges(network)
    assert all(torch.equal(a, b) for a, b in zip(again.eval()(x), network(x), strict=True))


def test_an_architecture_of_before_quantisation_builds_a_float_network():
    described = DetectNet(ResNet(10), 1).architecture()
    del described["quantized"]

    assert not is_quantized(build(described))


def test_pruning_a_quantised_network_cuts_what_it_cuts_of_the_float_one():
    torch.manual_seed(0)
    network = DetectNet(ResNet(10), 1)
    quantize(network.backbone)
    x = torch.rand(2, 3, 64, 64)
    network(x)
    network.eval()
    options = {"threshold": 0.97, "min_filters": 8, "heads": HEADS}

    made = plan(network, x, **options)
    smaller = apply(network, made)

    assert made.kept == plan(strip(network), x, **options).kept
    assert made.ratio < 0.9
    assert ranges(smaller) == ranges(network)
    for ours, floats in zip(strip(smaller)(x), apply(strip(network), made)(x), strict=True):
        assert torch.equal(ours, floats)
    again = build(smaller.architecture())
    again.load_state_dict(smaller.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.eval()(x), smaller(x), strict=True))


@pytest.mark.parametrize(
    ("arch", "num_layers", "grid"),
    [("vgg", 16, (5, 7)), ("darknet", 19, (2, 3)), ("darknet", 53, (3, 4)), ("squeezenet", 0, (5, 7))],
)
def test_the_grid_is_that_of_the_outputs_whatever_the_backbone(arch, num_layers, grid):
    with torch.device("meta"):
        model = DetectNet(build_backbone(arch, num_layers=num_layers), 2)

    cov, bbox = model.eval()(torch.empty(1, 3, 80, 112, device="meta"))

    assert model.grid_hw((80, 112)) == grid == cov.shape[2:] == bbox.shape[2:]


def test_an_input_smaller_than_a_cell_is_refused():
    with torch.device("meta"):
        model = DetectNet(DarkNet(53), 1)

    with pytest.raises(ModelError) as caught:
        model.grid_hw((16, 64))

    assert str(caught.value) == "darknet sees 32 x 32 pixels a cell; an input of 64 x 16 is smaller than one"


def test_heads_sit_on_the_layers_that_the_spec_names_and_what_lies_behind_is_dropped():
    torch.manual_seed(3)
    whole = ResNet(18).eval()
    model = DetectNet(
        copy.deepcopy(whole), 2, inputs={"output_cov": "3b_relu_1", "output_bbox": "block_3a_bn_2"}
    ).eval()
    x = torch.rand(1, 3, 64, 96)

    with torch.no_grad():
        activations = dict(whole.walk(x))
        logits, bbox = model.forward_logits(x)
        wanted = model.output_cov(activations["block_3b_relu_1"]), model.output_bbox(activations["block_3a_bn_2"])

    assert model.inputs == {"output_cov": "block_3b_relu_1", "output_bbox": "block_3a_bn_2"}
    assert torch.equal(logits, wanted[0])
    assert torch.equal(bbox, wanted[1])
    assert not {"block_3b_conv_2", "block_4a_conv_1"} & {name for name, _ in model.backbone.named_children()}
    logits, bbox = model.train().forward_logits(x.expand(2, -1, -1, -1))
    (logits.sum() + bbox.sum()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_heads_on_a_finer_grid_are_pruned_and_come_back_from_json():
    torch.manual_seed(3)
    dense = DetectNet(VGG(16), 1, inputs={"output_cov": "block_3c_relu", "output_bbox": "block_3c_relu"})
    x = torch.rand(1, 3, 64, 96)
    pruned = apply(dense, plan(dense, x, threshold=0.99, min_filters=8, heads=HEADS)).eval()

    record = json.loads(json.dumps(pruned.architecture()))
    rebuilt = build(record).eval()
    rebuilt.load_state_dict(pruned.state_dict(), strict=True)

    assert dense.grid_hw((64, 96)) == rebuilt.grid_hw((64, 96)) == (16, 24)
    assert record["channels"]["output_cov"][0] < 256
    with torch.no_grad():
        for a, b in zip(rebuilt(x), pruned(x), strict=True):
            assert torch.equal(a, b)


def test_a_head_with_no_layer_of_its_own_is_said_with_the_nearest():
    def message(**inputs):
        with pytest.raises(ModelError) as caught, torch.device("meta"):
            DetectNet(ResNet(10), 1, inputs=inputs)
        return str(caught.value)

    assert message(output_cov="block_4a_relu3") == (
        "resnet: no layer's name contains 'block_4a_relu3'; "
        "the nearest are block_4a_relu, block_4a_relu_1, block_3a_relu"
    )
    assert message(output_cov="4a_relu") == (
        "resnet: 2 layers' names contain '4a_relu' (block_4a_relu_1, block_4a_relu); write one of them in full"
    )
    assert message(output_cov="block_2a_relu") == (
        "DetectNet: output_cov on block_2a_relu and output_bbox on block_4a_relu have grids of different size; "
        "put both on layers of the same stride"
    )


def test_head_inputs_of_a_file_are_checked():
    with torch.device("meta"):
        record = DetectNet(ResNet(10), 1).architecture()

    assert "inputs" not in record
    for value in ([1], {"output_cov": 3}, {"conv1": "bn_conv1"}):
        with pytest.raises(ModelError, match="the stored structure's inputs are "):
            build(with_(record, inputs=value))


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if arch != "resnet"])
def test_a_few_steps_on_one_batch_lower_the_cost(arch):
    torch.manual_seed(4)
    depth = min(ARCHS[arch], default=0)
    model = DetectNet(build_backbone(arch, num_layers=depth), 1)
    raster = Raster((Ellipse(0.5, 0.5, 0.8, 0.8, 1.0),), 0.4, scale=35.0, offset=0.5)
    boxes, grid_hw = np.float32([[8, 16, 48, 60]]), model.grid_hw((64, 96))
    targets = rasterize(boxes, np.array([0]), raster=raster, input_hw=(64, 96), grid_hw=grid_hw)
    planes = {name: torch.from_numpy(value)[None] for name, value in vars(targets).items()}
    pixels = torch.rand(1, 3, 64, 96).expand(2, -1, -1, -1)
    planes = {name: value.expand(2, *value.shape[1:]) for name, value in planes.items()}
    row = ClassWeights("plate", 1.0, 0.5, (1.0, 10.0), (1.0, 10.0))
    objective = DetectNetObjective([row], autoweight=False, least=0.0, most=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    costs = []
    for _ in range(12):
        cost = objective.cost(model(pixels), planes)
        optimizer.zero_grad()
        cost.total.backward()
        optimizer.step()
        costs.append(float(cost.total.detach()))

    assert sum(costs[-4:]) / 4 < 0.9 * costs[0]
