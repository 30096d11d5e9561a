"""Every network that a spec can ask for: pruned, it is the dense one without the dropped channels; rebuilt and exported
it stays that."""

from __future__ import annotations

import json

import pytest
import torch

from taolite.engines.opening import open_engine
from taolite.nn.archs import ARCHS
from taolite.nn.backbones import build_backbone
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.tasks.detectnet.model import DetectNet, build
from taolite.tasks.detectnet.use import HEADS

from .pruned import assert_masked_is_cut, assert_prunes, spread_filters

torch.set_num_threads(1)

EXAMPLE = torch.zeros(1, 3, 64, 64)
NETWORKS = [
    *((arch, depths[0], {}) for arch, depths in ARCHS.items() if depths),
    *((arch, 0, {}) for arch, depths in ARCHS.items() if not depths),
    *(
        pytest.param(*network, marks=pytest.mark.slow)
        for network in (
            ("darknet", 53, {}),
            ("resnet", 50, {"graph": "torchvision"}),
            ("mobilenet_v1", 0, {"graph": "tensorflow"}),
            ("mobilenet_v2", 0, {"use_batch_norm": False}),
            ("efficientnet_b0", 0, {"graph": "torchvision"}),
        )
    ),
]


def detector(arch, num_layers, options, livelier):
    torch.manual_seed(1)
    backbone = build_backbone(arch, num_layers=num_layers, **options)
    spread_filters(backbone)
    return livelier(DetectNet(backbone, 2)).eval()


@pytest.mark.parametrize(("arch", "num_layers", "options"), NETWORKS)
def test_the_pruned_detector_is_the_dense_one_with_the_dropped_channels_silenced_and_comes_back_from_json(
    arch, num_layers, options, livelier, silence
):
    dense = detector(arch, num_layers, options, livelier)

    found = plan(dense, EXAMPLE, threshold=0.5, heads=HEADS)
    pruned, silenced = apply(dense, found), silence(dense, found)

    twin = build(json.loads(json.dumps(pruned.architecture()))).eval()
    twin.load_state_dict(pruned.state_dict())

    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for a, b in zip(twin(x), pruned(x), strict=True):
            assert torch.equal(a, b)

    # in double precision, so that rounding does not pass for a difference
    networks = (network.double().forward_logits for network in (pruned, silenced, dense))
    assert_prunes(*networks, x.double(), atol=1e-6, rtol=1e-5)
    assert found.ratio < 0.9
    assert all(len(kept) % 8 == 0 or len(kept) == found.depths[name] for name, kept in found.kept.items())


@pytest.mark.parametrize(("arch", "num_layers", "options"), NETWORKS)
def test_the_silenced_detector_is_the_cut_one_and_both_are_counted_beforehand(arch, num_layers, options, livelier):
    dense = detector(arch, num_layers, options, livelier)

    assert_masked_is_cut(dense, lambda network: network.forward_logits, torch.rand(2, 3, 64, 64), heads=HEADS)


def test_depthwise_layers_and_gates_go_with_what_feeds_them(livelier):
    def kept(arch, *names):
        found = plan(detector(arch, 0, {}, livelier), EXAMPLE, threshold=0.5, heads=HEADS).kept
        assert len({found[name] for name in names}) == 1
        return found

    kept("mobilenet_v1", "conv_pw_5", "conv_dw_6")
    kept("mobilenet_v2", "conv1", "expanded_conv_depthwise")
    kept("mobilenet_v2", "block_10_project", "block_11_project", "block_12_project")
    kept("efficientnet_b0", "block3b_expand_conv", "block3b_dwconv", "block3b_se_expand")
    assert len(kept("efficientnet_b0", "block6a_project_conv", "block6d_project_conv")["block6b_se_reduce"]) <= 48


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mobilenet_v1", "mobilenet_v2", "efficientnet_b0"])
@pytest.mark.parametrize("graph", ["tao", "tensorflow", "torchvision"])
def test_the_pruned_detector_gives_the_same_through_onnx(arch, graph, livelier):
    if (arch, graph) in (("mobilenet_v1", "torchvision"), ("efficientnet_b0", "tensorflow")):
        pytest.skip("this network has no such graph")
    dense = detector(arch, 0, {"graph": graph}, livelier)
    pruned = apply(dense, plan(dense, EXAMPLE, threshold=0.5, heads=HEADS))

    written = to_onnx(pruned, channels=3, input_hw=(64, 96), output_names=("output_cov/Sigmoid", "output_bbox/BiasAdd"))

    x = torch.rand(2, 3, 64, 96)
    with open_engine(written) as engine, torch.no_grad():
        outputs = engine.infer({"input_1": x.numpy()})
        for name, expected in zip(("output_cov/Sigmoid", "output_bbox/BiasAdd"), pruned(x), strict=True):
            scale = float(expected.abs().max())
            torch.testing.assert_close(torch.from_numpy(outputs[name]), expected, atol=1e-4 * scale, rtol=1e-3)
