"""The five networks of pytorch-ssd against themselves, written out in plain layers as reference/jetson_workflows.md 4.4
lists them and with the original key names: sizes, arithmetic, weights."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from torch import nn

from taolite.engines.opening import open_engine
from taolite.errors import ModelError
from taolite.nn.structure import channels_of
from taolite.preprocessing import Preprocessing
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.tasks.ssd.coding import decode_tensor
from taolite.tasks.ssd.model import (
    build,
    build_ssd,
    freeze,
    parameter_groups,
    quantize_features,
    set_input,
)
from taolite.tasks.ssd.plan import NetworkPlan
from taolite.tasks.ssd.priors import jetson_levels
from taolite.tasks.ssd.use import HEADS
from taolite.tasks.ssd.weights import load_start, read_start

torch.set_num_threads(1)

NETS = ["mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite", "vgg16-ssd"]
SMALL = 96  # pixels
SIDE = {net: 272 if net == "vgg16-ssd" else SMALL for net in NETS}
"""The least input of each that is worth a test; two of vgg16-ssd's extras put no zeros around."""


class Original(nn.Module):
    """A network of pytorch-ssd's: `taps` are the places in `base_net` behind which the first maps are taken."""

    def __init__(self, base_net, taps, extras, heads, num_classes, add_on=None):
        super().__init__()
        self.base_net = nn.ModuleList(base_net)
        self.extras = nn.ModuleList(extras)
        channels = num_classes + 1
        self.classification_headers = nn.ModuleList(head(boxes * channels) for head, boxes in heads)
        self.regression_headers = nn.ModuleList(head(boxes * 4) for head, boxes in heads)
        self.source_layer_add_ons = nn.ModuleList([add_on] if add_on else [])
        self.taps, self.num_classes = taps, num_classes

    def forward(self, x):
        maps = []
        for i, layer in enumerate(self.base_net):
            if isinstance(self.taps[0], tuple) and i == self.taps[0][0]:  # inside a block: behind its expansion
                maps.append(layer.conv[: self.taps[0][1]](x))
            x = layer(x)
            if i + 1 in self.taps:
                first = not maps and len(self.source_layer_add_ons) > 0
                maps.append(self.source_layer_add_ons[0](x) if first else x)
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        rows = []
        for heads, numbers in ((self.classification_headers, self.num_classes + 1), (self.regression_headers, 4)):
            flat = [head(one).permute(0, 2, 3, 1).flatten(1) for head, one in zip(heads, maps, strict=True)]
            rows.append(torch.cat(flat, dim=1).reshape(len(x), -1, numbers))
        return rows


class Fire(nn.Module):
    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], dim=1)


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, stride, hidden):
        super().__init__()
        expand = [] if hidden == inputs else conv_bn(inputs, hidden, 1, 1, act=nn.ReLU6)
        depthwise = conv_bn(hidden, hidden, 3, stride, groups=hidden, act=nn.ReLU6)
        self.conv = nn.Sequential(*expand, *depthwise, *conv_bn(hidden, outputs, 1, 1, act=nn.ReLU6)[:-1])
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


def conv_bn(inputs, outputs, kernel, stride, groups=1, act=nn.ReLU):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), act()]


def separable(inputs, outputs, stride=1, padding=1, norm=False):
    between = [nn.BatchNorm2d(inputs), nn.ReLU6()] if norm else [nn.ReLU()]
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding, groups=inputs)
    return nn.Sequential(depthwise, *between, nn.Conv2d(inputs, outputs, 1))


def extra(inputs, inner, outputs, lite=False, padding=1, stride=2):
    if lite:
        return nn.Sequential(nn.Conv2d(inputs, inner, 1), nn.ReLU(), separable(inner, outputs, stride, padding))
    last = nn.Conv2d(inner, outputs, 3, stride, padding)
    return nn.Sequential(nn.Conv2d(inputs, inner, 1), nn.ReLU(), last, nn.ReLU())


def plain_heads(widths, boxes=(6,) * 6):
    return [(partial(nn.Conv2d, w, kernel_size=3, padding=1), b) for w, b in zip(widths, boxes, strict=True)]


def lite_heads(widths, norm=False):
    *first, last = widths
    return [(partial(separable, w, norm=norm), 6) for w in first] + [(partial(nn.Conv2d, last, kernel_size=1), 6)]


def mobilenet_v1():
    widths = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    blocks, inputs = [nn.Sequential(*conv_bn(3, 32, 3, 2))], 32
    for width, stride in widths:
        depthwise = conv_bn(inputs, inputs, 3, stride, groups=inputs)
        blocks.append(nn.Sequential(*depthwise, *conv_bn(inputs, width, 1, 1)))
        inputs = width
    return blocks


def mobilenet_v2(width_mult=1.0):
    inputs = int(32 * width_mult)
    blocks = [nn.Sequential(*conv_bn(3, inputs, 3, 2, act=nn.ReLU6))]
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for t, c, n, s in stages:
        for i in range(n):
            blocks.append(Inverted(inputs, int(c * width_mult), s if i == 0 else 1, inputs * t))
            inputs = int(c * width_mult)
    last = int(1280 * width_mult) if width_mult > 1 else 1280
    return [*blocks, nn.Sequential(*conv_bn(inputs, last, 1, 1, act=nn.ReLU6))]


def squeezenet():
    pool = partial(nn.MaxPool2d, 3, 2)
    stem = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool()]
    first = [Fire(64, 16, 64), Fire(128, 16, 64), pool(), Fire(128, 32, 128), Fire(256, 32, 128), pool()]
    return [*stem, *first, Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)]


def vgg16():
    layers, inputs = [], 3
    for width in [64, 64, "M", 128, 128, "M", 256, 256, 256, "C", 512, 512, 512, "M", 512, 512, 512]:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=width == "C"))
            continue
        layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
        inputs = width
    fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
    return [*layers, nn.MaxPool2d(3, 1, 1), fc6, nn.ReLU(), nn.Conv2d(1024, 1024, 1), nn.ReLU()]


def original(net, num_classes, width_mult=1.0):
    """In evaluation mode, with batch norms and biases that do something."""
    torch.manual_seed(5)
    tail = [(256, 512), (128, 256), (128, 256), (128, 256)]
    widths = [512, 1024, 512, 256, 256, 256]
    inputs = [1024, 512, 256, 256]
    if net in ("mb1-ssd", "mb1-ssd-lite"):
        lite = net.endswith("lite")
        extras = [extra(i, *pair, lite=lite) for i, pair in zip(inputs, tail, strict=True)]
        heads = lite_heads(widths) if lite else plain_heads(widths)
        network = Original(mobilenet_v1(), [12, 14], extras, heads, num_classes)
    elif net == "mb2-ssd-lite":
        base = mobilenet_v2(width_mult)
        last = base[-1][0].out_channels
        hidden = [(last, 512, 256), (512, 256, 128), (256, 256, 128), (256, 64, 64)]
        extras = [Inverted(i, o, 2, h) for i, o, h in hidden]
        heads = lite_heads([6 * int(96 * width_mult), last, 512, 256, 256, 64], norm=True)
        network = Original(base, [(14, 3), 19], extras, heads, num_classes)
    elif net == "sq-ssd-lite":
        tail = [(512, 256, 512), (512, 256, 512), (512, 128, 256), (256, 128, 256), (256, 128, 256)]
        extras = [extra(*sizes, lite=True, padding=2 if i == 0 else 1) for i, sizes in enumerate(tail)]
        network = Original(squeezenet(), [12], extras, lite_heads([512, 512, 512, 256, 256, 256]), num_classes)
    else:
        steps = [(1, 2), (1, 2), (0, 1), (0, 1)]
        sized = zip(inputs, tail, steps, strict=True)
        extras = [extra(i, *pair, padding=p, stride=s) for i, pair, (p, s) in sized]
        heads = plain_heads(widths, (4, 6, 6, 6, 4, 4))
        network = Original(vgg16(), [23, 35], extras, heads, num_classes, nn.BatchNorm2d(512))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.7, 1.4)
            nn.init.uniform_(layer.bias, -0.3, 0.5)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return network.eval()


def ssd(net="mb1-ssd", num_classes=2, size=None, graph=None, device="cpu", **fields):
    size = size or SIDE[net]
    plan = NetworkPlan(net, (size, size), **fields)
    with torch.device(device):
        return build_ssd(plan, num_classes, lambda sizes: jetson_levels(net, size, sizes), graph=graph)


@pytest.fixture
def saved(tmp_path):
    """saved(network): its state dict in a file, as pytorch-ssd's `net.save` writes it."""

    def saved(network, name="mb1-ssd-Epoch-29-Loss-2.5.pth"):
        torch.save(network.state_dict(), tmp_path / name)
        return tmp_path / name

    return saved


@pytest.mark.parametrize(
    ("net", "size", "maps", "count"),
    [
        ("mb1-ssd", 300, [19, 10, 5, 3, 2, 1], 3000),
        ("mb1-ssd-lite", 300, [19, 10, 5, 3, 2, 1], 3000),
        ("mb2-ssd-lite", 300, [19, 10, 5, 3, 2, 1], 3000),
        ("sq-ssd-lite", 300, [17, 10, 5, 3, 2, 1], 2568),
        ("vgg16-ssd", 300, [38, 19, 10, 5, 3, 1], 8732),
        ("mb1-ssd", 320, [20, 10, 5, 3, 2, 1], 3234),
        ("mb1-ssd", 416, [26, 13, 7, 4, 2, 1], 5490),
        ("mb1-ssd", 512, [32, 16, 8, 4, 2, 1], 8190),
        ("mb1-ssd", 600, [38, 19, 10, 5, 3, 2], 11658),
        ("mb1-ssd", 640, [40, 20, 10, 5, 3, 2], 12828),
        ("mb1-ssd", 768, [48, 24, 12, 6, 3, 2], 18438),
        ("mb1-ssd", 1024, [64, 32, 16, 8, 4, 2], 32760),
    ],
)
def test_maps_and_priors_are_as_many_as_in_pytorch_ssd_at_every_resolution(net, size, maps, count):
    network = ssd(net, size=size, device="meta")

    assert network.map_sizes((size, size)) == [(side, side) for side in maps]
    assert network.priors_p4.shape == (count, 4)
    assert [one.shape for one in network.eval()(torch.empty(2, 3, size, size, device="meta"))] == [
        (2, count, 3),
        (2, count, 4),
    ]


@pytest.mark.parametrize("net", NETS)
def test_a_whole_model_of_pytorch_ssds_gives_its_logits_and_offsets_here(net, saved):
    theirs = original(net, 2)
    network = ssd(net).eval()

    report = load_start(network, read_start(saved(theirs)), "whole")

    assert (report.skipped, report.fresh) == ({}, ())
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in theirs.parameters())
    x = torch.rand(1, 3, SIDE[net], SIDE[net])
    with torch.no_grad():
        for ours, expected in zip(network.forward_logits(x), theirs(x), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)


def test_in_evaluation_mode_the_network_gives_probabilities_and_boxes_in_shares_of_the_input():
    network = ssd().eval()
    x = torch.rand(1, 3, SMALL, SMALL)

    with torch.no_grad():
        scores, boxes = network(x)
        logits, offsets = network.forward_logits(x)

    assert torch.equal(scores, logits.softmax(dim=2))
    assert torch.equal(boxes, decode_tensor(offsets, network.priors_p4, (0.1, 0.1, 0.2, 0.2)))
    assert [one.shape for one in network.train()(x.repeat(2, 1, 1, 1))] == [
        (2, *logits.shape[1:]),
        (2, *boxes.shape[1:]),
    ]


@pytest.mark.parametrize("width_mult", [0.5, pytest.param(1.4, marks=pytest.mark.slow)])
def test_mb2_ssd_lite_comes_in_other_widths_and_back_from_json_in_them(width_mult, saved):
    theirs = original("mb2-ssd-lite", 1, width_mult)
    network = ssd("mb2-ssd-lite", 1, width_mult=width_mult).eval()

    load_start(network, read_start(saved(theirs)), "whole")

    x = torch.rand(1, 3, SMALL, SMALL)
    twin = build(json.loads(json.dumps(network.architecture()))).eval()
    twin.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(network.forward_logits(x)[0], theirs(x)[0], atol=1e-3, rtol=1e-4)
        assert torch.equal(twin(x)[1], network(x)[1])


def test_a_network_comes_back_from_json_with_its_priors():
    network = ssd().eval()

    twin = build(json.loads(json.dumps(network.architecture()))).eval()
    twin.load_state_dict(network.state_dict())

    x = torch.rand(1, 3, SMALL, SMALL)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(twin(x), network(x), strict=True))
    assert twin.prior_plan == network.prior_plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "mb3-ssd"}, "the SSD network is 'mb3-ssd'; it needs to be one of mb1-ssd"),
        ({"net": "vgg16-ssd"}, "vgg16-ssd stands on vgg16_reduced of stride 32, and not on this mobilenet_v1"),
        ({"num_classes": True}, "num_classes is True; it needs to be of type int"),
        ({"num_classes": 10**9}, "num_classes is 1000000000; it needs to be 1 to 4096"),
        ({"input_hw": [10**6, 96]}, "the input is 96 x 1000000; sides need to be 1 to 4096 pixels"),
        ({"input_hw": [96]}, "input_hw is [96]; it needs two numbers"),
        ({"pred_num_channels": 128}, "pred_num_channels is 128; it needs to be 0, 256, 512 or 1024"),
        ({"priors": {}}, "levels is missing; it needs to be of type list"),
        ({"priors": {"levels": [], "variances": [1, 1, 1, 1], "clip": "none"}}, "priors need 6 levels"),
        ({"channels": {}}, "does not name"),
    ],
)
def test_a_damaged_description_of_a_network_is_refused(change, message):
    described = json.loads(json.dumps(ssd(device="meta").architecture()))

    with pytest.raises(ModelError, match="(?s)" + message.replace("[", r"\[").replace("(", r"\(")):
        build({**described, **change})


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("clip",), "all", "clip is 'all'"),
        (("variances",), [0.1, 0.1, 0.2], "4 numbers are needed"),
        (("variances",), [0.1, 0.1, 0.2, float("nan")], "finite numbers above 0"),
        (("levels", 0, "boxes"), [], "1 to 64 boxes a cell"),
        (("levels", 0, "boxes", 0), [0.1, "0.1"], "2 numbers are needed"),
        (("levels", 0, "step_yx"), [0.1, -0.1], "finite numbers above 0"),
    ],
)
def test_damaged_priors_are_refused(where, value, message):
    described = json.loads(json.dumps(ssd(device="meta").architecture()))
    *path, last = ("priors", *where)
    place = described
    for step in path:
        place = place[step]
    place[last] = value

    with pytest.raises(ModelError, match=message):
        build(described)


def test_from_another_ssd_all_is_taken_but_the_heads(saved):
    theirs = original("mb1-ssd", 20)
    network = ssd(num_classes=2).eval()
    heads = {name: t.clone() for name, t in network.state_dict().items() if "_heads" in name}

    report = load_start(network, read_start(saved(theirs)), "features")

    assert report.fresh == ("heads",)
    assert len(report.loaded) == 54 + 8
    assert len(report.skipped) == 12
    assert all("headers" in name for name in report.skipped)
    assert all(torch.equal(network.state_dict()[name], t) for name, t in heads.items())
    x = torch.rand(1, 3, SMALL, SMALL)
    with torch.no_grad():
        torch.testing.assert_close(network.backbone(x), nn.Sequential(*theirs.base_net)(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("net", NETS)
def test_a_backbone_alone_has_the_keys_of_pytorch_ssds_base_net(net, saved):
    theirs = original(net, 1)
    network = ssd(net, 1).eval()

    report = load_start(network, read_start(saved(nn.Sequential(*theirs.base_net))), "backbone")

    assert all(layer.startswith("backbone.") for layer in report.loaded)
    assert report.fresh == ("extras", "heads")
    with torch.no_grad():
        expected = nn.Sequential(*theirs.base_net)(torch.ones(1, 3, SMALL, SMALL))
        size = float(expected.abs().max())
        torch.testing.assert_close(
            network.backbone(torch.ones(1, 3, SMALL, SMALL)), expected, atol=1e-4 * size, rtol=1e-4
        )


def test_weights_that_do_not_fit_are_refused_before_anything_is_copied(saved):
    whole, backbone = saved(original("mb1-ssd", 20), "a.pth"), saved(nn.Sequential(*mobilenet_v1()), "b.pth")
    network = ssd(num_classes=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def message(path, net, extent):
        with pytest.raises(ModelError) as caught:
            load_start(net, read_start(path), extent)
        return str(caught.value)

    assert message(whole, network, "whole") == (
        f"{whole}: its classification_headers.0.weight is 126x512x3x3 and 18x512x3x3 is needed; it has other "
        "classes than these 2. Start from all but its heads by --pretrained-ssd"
    )
    assert message(whole, ssd("mb2-ssd-lite"), "features") == (
        f"{whole}: its base_net has 54 layers and that of mb2-ssd-lite has 104; it is of another network"
    )
    assert message(whole, ssd("mb1-ssd-lite"), "features") == (
        f"{whole}: its extras has 8 layers and that of mb1-ssd-lite has 12; it is of another network"
    )
    assert message(backbone, network, "features") == (
        f"{backbone}: this is a backbone alone; start from it by --base-net"
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_published_imagenet_weights_see_the_photo_as_they_were_trained_to(shared_data):
    weights = read_start(shared_data / "pretrained" / "mobilenet_v1.safetensors")
    network = ssd(graph=weights.graph).eval()
    report = load_start(network, weights, "backbone")
    photo_chw = torch.randint(0, 256, (3, SMALL, SMALL), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        expected = network.backbone(photo_chw[None] / 255)

    set_input(network, Preprocessing((SMALL, SMALL), scale=1.0, offsets=(127.0,) * 3, stds=(128.0,) * 3))

    with torch.no_grad():
        found = network.backbone((photo_chw[None] - 127) / 128)
    assert network.backbone.graph == "tensorflow"
    assert (len(report.loaded), report.fresh) == (54, ("extras", "heads"))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("net", ["mb1-ssd", "mb2-ssd-lite"])
def test_frozen_parts_keep_parameters_and_statistics_and_the_others_have_their_own_rates(net, saved):
    network = ssd(net)
    load_start(network, read_start(saved(original(net, 2))), "whole")
    rates = {"backbone": 0.1, "extras": 0.5, "heads": 1.0}

    assert [group["rate"] for group in parameter_groups(network, rates)] == [0.1, 0.5, 1.0]
    assert sum(len(group["params"]) for group in parameter_groups(network, rates)) == len(list(network.parameters()))

    freeze(network, ["backbone", "extras"])
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    groups = parameter_groups(network, rates)
    logits, offsets = network(torch.rand(2, 3, SMALL, SMALL))
    (logits.square().mean() + offsets.square().mean()).backward()
    torch.optim.SGD([one for group in groups for one in group["params"]], lr=0.1).step()

    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert [group["rate"] for group in groups] == [1.0]
    assert all("_heads" in name for name in changed)
    assert changed >= {name for name in before if "_heads" in name and before[name].ndim == 4}


def test_fresh_heads_for_other_classes_stand_on_the_same_maps():
    network = ssd(num_classes=2).eval()
    x = torch.rand(1, 3, SMALL, SMALL)
    maps = network._maps(x)

    network.renew_heads(7)

    assert all(torch.equal(a, b) for a, b in zip(network._maps(x), maps, strict=True))
    assert [one.shape[2] for one in network.eval()(x)] == [8, 4]
    assert channels_of(network)["conf_heads.0.ssd_conf_0"] == [512, 6 * 8]


def test_all_but_the_heads_is_quantised_and_comes_back_from_json():
    network = ssd(num_classes=1)

    count = quantize_features(network)
    network(torch.rand(2, 3, SMALL, SMALL))

    assert count == 27 + 8
    twin = build(json.loads(json.dumps(network.architecture()))).eval()
    twin.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, SMALL, SMALL)
    with torch.no_grad():
        assert torch.equal(twin(x)[0], network.eval()(x)[0])


def test_the_exported_network_gives_the_same_scores_and_boxes_for_any_batch():
    network = ssd(size=64).eval()

    written = to_onnx(network, channels=3, input_hw=(64, 64), output_names=("scores", "boxes"), input_name="input_0")

    x = torch.rand(3, 3, 64, 64)
    with open_engine(written) as engine, torch.no_grad():
        outputs = engine.infer({"input_0": x.numpy()})
        for name, expected in zip(("scores", "boxes"), network(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(outputs[name]), expected, atol=1e-5, rtol=1e-4)


def test_an_input_too_small_for_six_maps_is_refused():
    with pytest.raises(ModelError, match="vgg16-ssd does not take an input of 32 x 32 pixels"):
        ssd("vgg16-ssd", size=32, device="meta")


def test_the_heads_are_called_alike_in_all_networks():
    for net in NETS:
        names = {path.rpartition(".")[2] for path in channels_of(ssd(net, device="meta"))}
        assert set(HEADS) <= names
