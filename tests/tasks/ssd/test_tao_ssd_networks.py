"""TAO's SSD on its backbones: maps, names, and arithmetic against a forward pass written out layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, relu

from taolite.errors import ModelError
from taolite.nn.structure import channels_of
from taolite.tasks.ssd.model import build_ssd
from taolite.tasks.ssd.plan import NetworkPlan
from taolite.tasks.ssd.priors import tao_levels

torch.set_num_threads(1)

ARCHS = [
    ("resnet", 10),
    ("resnet", 18),
    ("resnet", 34),
    ("resnet", 50),
    ("resnet", 101),
    ("vgg", 16),
    ("vgg", 19),
    ("darknet", 19),
    ("darknet", 53),
    ("mobilenet_v1", 0),
    ("mobilenet_v2", 0),
    ("squeezenet", 0),
    ("googlenet", 0),
    ("efficientnet_b0", 0),
]
SMALL = {"resnet10", "mobilenet_v1", "mobilenet_v2", "squeezenet"}
MID = {"resnet18", "resnet34", "darknet19"}


def ssd(arch, num_layers=0, *, hw=(300, 300), ratios=(1.0, 0.5, 2.0), pred=0, graph=None, device="meta", **fields):
    def plan_priors(sizes):
        return tao_levels(
            sizes,
            input_hw=hw,
            aspect_ratios=[ratios] * 6,
            scales=[0.1, 0.24, 0.38, 0.52, 0.66, 0.8, 0.94],
            two_boxes_for_ar1=False,
            variances=(0.1, 0.1, 0.2, 0.2),
        )

    plan = NetworkPlan("tao", hw, arch=arch, num_layers=num_layers, pred_num_channels=pred, **fields)
    with torch.device(device):
        return build_ssd(plan, 2, plan_priors, graph=graph)


@pytest.mark.parametrize(("arch", "num_layers"), ARCHS)
def test_every_backbone_has_six_maps_that_halve(arch, num_layers):
    network = ssd(arch, num_layers, hw=(320, 512))

    sizes = network.map_sizes((320, 512))

    assert sizes == [(40, 64), (20, 32), (10, 16), (5, 8), (3, 4), (2, 2)]
    boxes = 3 * sum(rows * columns for rows, columns in sizes)
    assert [one.shape for one in network.eval()(torch.empty(1, 3, 320, 512, device="meta"))] == [
        (1, boxes, 3),
        (1, boxes, 4),
    ]


@pytest.mark.parametrize(("arch", "num_layers"), ARCHS)
def test_expansion_blocks_have_taos_names_and_widths(arch, num_layers):
    counts = channels_of(ssd(arch, num_layers))

    name = f"{arch}{num_layers or ''}"
    if name in SMALL:
        blocks = dict.fromkeys((1, 2, 3, 4), (64, 128))
    elif name in MID:
        blocks = {0: (256, 256), 1: (128, 256), 2: (64, 128), 3: (64, 128), 4: (64, 128)}
    else:
        blocks = {0: (512, 512), 1: (256, 512), 2: (128, 256), 3: (128, 256), 4: (128, 256)}
    if arch in ("darknet", "efficientnet_b0"):
        del blocks[4]
    found = {path.rpartition(".")[2]: width for path, (_, width) in counts.items() if path.startswith("extras")}
    assert found == {
        name: width
        for i, (first, second) in blocks.items()
        for name, width in (
            (f"ssd_expand_block_{i}_conv_0", first),
            (f"ssd_expand_block_{i}_conv_1", second),
            (f"ssd_expand_block_{i}_bn_1", second),
        )
    }


def test_a_resnet_10_at_300_pixels_has_taos_5829_boxes():
    assert len(ssd("resnet", 10).priors_p4) == 5829  # of TAO's own test of this network


def test_expansions_prediction_modules_and_heads_compute_what_taos_graph_does():
    torch.manual_seed(2)
    network = ssd("resnet", 10, hw=(64, 96), pred=256, device="cpu").eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.2, 0.4)
    tensors = {".".join(name.split(".")[-2:]): tensor for name, tensor in network.state_dict().items()}

    def conv(x, name, stride=1):
        kernel = tensors[f"{name}.weight"]
        return conv2d(x, kernel, tensors.get(f"{name}.bias"), stride, kernel.shape[2] // 2)

    def norm(x, name):
        mean, variance, gamma, beta = (
            tensors[f"{name}.{end}"] for end in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        seen = dict(network.backbone.walk(x))
        features = list(seen.values())[-1]
        maps = [seen["block_2a_relu"], features]
        for i in (1, 2, 3, 4):
            features = relu(conv(features, f"ssd_expand_block_{i}_conv_0"))
            features = relu(norm(conv(features, f"ssd_expand_block_{i}_conv_1", 2), f"ssd_expand_block_{i}_bn_1"))
            maps.append(features)
        logits, offsets = [], []
        for i, one in enumerate(maps):
            inner = one
            for c in (0, 1, 2):
                inner = norm(conv(inner, f"ssd_mpred_conv_{c}_block_{i}"), f"ssd_mpred_bn_{c}_block_{i}")
                inner = relu(inner) if c < 2 else inner
            outer = norm(conv(one, f"ssd_mpred_conv_3_block_{i}"), f"ssd_mpred_bn_3_block_{i}")
            one = relu(inner + outer)
            for found, name, width in ((logits, "conf", 3), (offsets, "loc", 4)):
                found.append(conv(one, f"ssd_{name}_{i}").permute(0, 2, 3, 1).reshape(2, -1, width))

        expected = torch.cat(logits, dim=1), torch.cat(offsets, dim=1)
        for ours, theirs in zip(network.forward_logits(x), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


def test_prediction_modules_have_no_biases_and_taos_widths():
    network = ssd("resnet", 18, pred=512)

    counts = {path.rpartition(".")[2]: tuple(pair) for path, pair in channels_of(network).items()}
    assert [counts[f"ssd_mpred_conv_{c}_block_5"] for c in range(4)] == [(128, 128), (128, 128), (128, 512), (128, 512)]
    assert counts["ssd_conf_5"] == (512, 3 * 3)
    assert not any("mpred_conv" in name and name.endswith("bias") for name in network.state_dict())


@pytest.mark.parametrize(
    ("arch", "num_layers", "graph"),
    [("resnet", 18, "torchvision"), ("mobilenet_v1", 0, "tensorflow"), ("mobilenet_v2", 0, "torchvision")],
)
def test_backbones_in_the_graph_of_published_weights_have_the_same_maps(arch, num_layers, graph):
    network = ssd(arch, num_layers, graph=graph)

    assert network.map_sizes((300, 300)) == ssd(arch, num_layers).map_sizes((300, 300))
    assert network.normalises


def test_frozen_blocks_and_batch_norms_of_the_backbone_are_the_specs():
    network = ssd("resnet", 10, freeze_blocks=(0, 1), freeze_bn=True)

    still = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert "backbone.conv1.weight" in still
    assert "backbone.block_2a_conv_1.weight" not in still
    assert not network.backbone.bn_conv1.training
    assert network.extras[0].ssd_expand_block_1_bn_1.training


def test_backbones_that_taos_ssd_does_not_stand_on_are_refused():
    with pytest.raises(ModelError, match="TAO's SSD has no layers on resnet152; it needs to be one of resnet10, "):
        ssd("resnet", 152)
