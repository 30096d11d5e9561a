from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from taolite.engines.opening import open_engine
from taolite.errors import EngineError, ModelError
from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD
from taolite.nn.weights import load_weights, preferred_graph, read_weights
from taolite.pruning.anatomy import study
from taolite.pruning.groups import convolutions
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.tasks.classification.model import (
    BatchNormSettings,
    TaoClassifier,
    TorchvisionClassifier,
    build,
    tao_classifier,
)
from taolite.tasks.classification.use import HEADS

torch.set_num_threads(1)

TAO = [
    ("resnet", 10),
    ("vgg", 16),
    ("darknet", 19),
    ("cspdarknet", 19),
    ("cspdarknet_tiny", 0),
    ("mobilenet_v1", 0),
    ("mobilenet_v2", 0),
    ("squeezenet", 0),
    ("googlenet", 0),
    ("efficientnet_b0", 0),
    ("efficientnet_b2", 0),
    ("alexnet", 0),
]


def tao(arch, num_layers=18, **options):
    torch.manual_seed(0)
    given = {"input_hw": (64, 64), "use_batch_norm": True} | options
    return tao_classifier(arch, 3, num_layers=num_layers, **given)


def lively(network):
    """Weights and statistics under which every channel matters, and filters differ in their norms."""
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.7, 1.4)
                layer.running_var.uniform_(0.5, 1.5)
            elif isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight).mul_(torch.rand(len(layer.weight), 1, 1, 1) * 1.2 + 0.3)
    return network.eval()


def silenced(dense, found):
    """The dense network with the dropped filters zeroed. No batch norm of a `lively` network shifts, so that what was
    zero stays zero behind it."""
    twin = copy.deepcopy(dense)
    layers = convolutions(twin)
    with torch.no_grad():
        for name, kept in found.kept.items():
            gone = sorted(set(range(found.depths[name])) - set(kept))
            for tensor in layers[name].parameters():
                tensor[gone] = 0
    return twin


def rebuilt(network):
    twin = build(json.loads(json.dumps(network.architecture()))).eval()
    twin.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})
    return twin


@pytest.mark.parametrize("retain_head", [False, True])
@pytest.mark.parametrize(("arch", "num_layers"), TAO)
def test_every_arch_of_tao_takes_a_training_step_that_reaches_every_weight(arch, num_layers, retain_head):
    network = tao(arch, num_layers, use_pooling=True, retain_head=retain_head)

    (logits,) = network(torch.rand(2, 3, 64, 64))
    nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()

    assert (logits.shape, logits.dtype) == ((2, 3), torch.float32)
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("retain_head", [False, True])
@pytest.mark.parametrize(("arch", "num_layers"), TAO)
def test_every_arch_of_tao_comes_back_from_json_bit_for_bit(arch, num_layers, retain_head):
    network = tao(arch, num_layers, retain_head=retain_head, use_bias=True, freeze_blocks=(1,), freeze_bn=True).eval()
    x = torch.rand(1, 3, 64, 64)

    twin = rebuilt(network)

    with torch.no_grad():
        assert torch.equal(twin(x)[0], network(x)[0])
    assert twin.architecture() == network.architecture()
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert [name for name, p in twin.named_parameters() if p.requires_grad] == trained


def test_scores_are_the_activation_of_the_logits_and_training_sees_logits():
    network = tao("squeezenet").eval()
    x = torch.rand(2, 3, 64, 64)

    with torch.no_grad():
        (logits,) = network.forward_logits(x)
        (soft,) = network(x)
        network.activation = "sigmoid"
        (sigmoid,) = network(x)
        network.activation = "none"
        (raw,) = network(x)
        network.activation = "softmax"
        (training,) = network.train()(x)

    exponentials = logits.double().exp()
    torch.testing.assert_close(soft.double(), exponentials / exponentials.sum(dim=1, keepdim=True))
    torch.testing.assert_close(sigmoid, 1 / (1 + torch.exp(-logits)))
    assert torch.equal(raw, logits)
    assert torch.equal(training, logits)


def test_logits_are_float32_under_autocast():
    for network in (tao("resnet", 10), TorchvisionClassifier("resnet18", 3)):
        with torch.autocast("cpu", torch.bfloat16):
            assert network(torch.rand(2, 3, 64, 64))[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"arch": "resnet", "num_layers": 18}, ["avg_pool", "flatten", "predictions"]),
        ({"arch": "resnet", "num_layers": 18, "retain_head": True}, ["avg_pool", "flatten", "head_fc3"]),
        ({"arch": "googlenet", "retain_head": True}, ["avg_pool", "flatten", "top_dropout", "output_fc"]),
        ({"arch": "darknet", "num_layers": 19, "retain_head": True}, ["avg_pool", "flatten", "predictions"]),
        ({"arch": "cspdarknet", "num_layers": 53, "retain_head": True}, ["avg_pool", "flatten", "predictions"]),
    ],
)
def test_heads_have_taos_names(options, layers):
    with torch.device("meta"):
        assert list(dict(tao(**options).head.named_children())) == layers


def test_a_retained_vgg_is_torchvisions_in_size():
    with torch.device("meta"):
        network = tao(
            "vgg", 16, use_batch_norm=False, use_bias=True, use_pooling=True, retain_head=True, input_hw=(224, 224)
        )
        theirs = get_model("vgg16", weights=None, num_classes=3)

    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize(
    ("options", "stride"),
    [
        ({"arch": "resnet", "num_layers": 10}, 16),
        ({"arch": "resnet", "num_layers": 10, "use_pooling": True}, 32),
        ({"arch": "vgg", "num_layers": 16, "use_pooling": True}, 16),
        ({"arch": "darknet", "num_layers": 19}, 32),
        ({"arch": "cspdarknet", "num_layers": 53}, 32),
        ({"arch": "cspdarknet_tiny"}, 32),
        ({"arch": "mobilenet_v1"}, 32),
        ({"arch": "mobilenet_v2"}, 32),
        ({"arch": "squeezenet"}, 16),
        ({"arch": "googlenet"}, 16),
        ({"arch": "googlenet", "retain_head": True}, 32),
        ({"arch": "efficientnet_b0"}, 32),
    ],
)
def test_the_last_map_has_classifications_own_stride(options, stride):
    shapes = list(tao(**options).backbone.shapes((64, 64)).values())

    assert shapes[-1][1:] == (64 // stride, 64 // stride)


def test_batch_norms_have_the_settings_of_classification_or_of_the_spec():
    def settings(network):
        return {(m.eps, round(m.momentum, 6)) for m in network.modules() if isinstance(m, nn.BatchNorm2d)}

    assert settings(tao("resnet", 10)) == {(1e-5, 0.1)}
    assert settings(tao("resnet", 10, batch_norm=BatchNormSettings(0.99, 1e-3))) == {(1e-3, 0.01)}
    assert settings(rebuilt(tao("resnet", 10, batch_norm=BatchNormSettings(0.99, 1e-3)))) == {(1e-3, 0.01)}


@pytest.mark.parametrize("arch", ["resnet", "googlenet", "mobilenet_v2", "efficientnet_b0", "squeezenet"])
def test_convolutions_have_a_bias_where_the_spec_says_so(arch):
    def biased(use_bias):
        layers = convolutions(tao(arch, use_bias=use_bias).backbone)
        return {name for name, layer in layers.items() if layer.bias is not None}, set(layers)

    without, _ = biased(False)
    having, every = biased(True)
    assert having == every
    assert without == (every if arch == "squeezenet" else {name for name in every if "_se_" in name})


def test_a_renewed_head_has_the_new_classes_and_keeps_what_stands_before_it():
    network = tao("vgg", 16, retain_head=True, dropout=0.5)
    fc1 = network.head.fc1.weight.clone()

    network.renew_head(7)

    assert network.eval()(torch.rand(1, 3, 64, 64))[0].shape == (1, 7)
    assert torch.equal(network.head.fc1.weight, fc1)
    assert network.num_classes == network.architecture()["num_classes"] == 7


@pytest.mark.parametrize(
    "arch",
    [
        "resnet18",
        "mobilenet_v2",
        "squeezenet1_1",
        "googlenet",
        "alexnet",
        pytest.param("vgg11", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
    ],
)
def test_a_pruned_torchvision_network_is_the_dense_one_with_the_dropped_channels_silenced(arch):
    assert_pruned_is_silenced(TorchvisionClassifier(arch, 3, input_size=64))


@pytest.mark.parametrize("retain_head", [False, True])
@pytest.mark.parametrize(("arch", "num_layers"), [("resnet", 10), ("vgg", 16), ("squeezenet", 0), ("googlenet", 0)])
def test_a_pruned_tao_network_is_the_dense_one_with_the_dropped_channels_silenced(arch, num_layers, retain_head):
    assert_pruned_is_silenced(tao(arch, num_layers, retain_head=retain_head))


@pytest.mark.parametrize(
    ("arch", "num_layers"),
    [("cspdarknet", 19), ("cspdarknet_tiny", 0), pytest.param("cspdarknet", 53, marks=pytest.mark.slow)],
)
def test_a_pruned_cspdarknet_is_the_dense_one_with_the_dropped_channels_silenced(arch, num_layers):
    assert_pruned_is_silenced(tao(arch, num_layers, hidden_activation="mish"))


def test_what_is_split_keeps_its_channels_and_what_it_feeds_is_cut_on_its_own():
    network = lively(tao("cspdarknet_tiny"))

    found = plan(network, torch.zeros(1, 3, 64, 64), threshold=0.8, heads=HEADS)
    pruned = apply(network, found).backbone

    assert {name for name in convolutions(network) if name not in found.kept} == {
        f"conv_{block}_conv_0" for block in (2, 3, 4)
    }
    assert pruned.conv_2_conv_0.out_channels == 64
    assert pruned.conv_2_conv_1.in_channels == 32
    assert pruned.conv_2_conv_3.in_channels == pruned.conv_2_conv_1.out_channels + pruned.conv_2_conv_2.out_channels
    assert pruned.conv_3_conv_0.in_channels == 64 + pruned.conv_2_conv_3.out_channels < 128


def assert_pruned_is_silenced(dense):
    dense = lively(dense)
    found = plan(dense, torch.zeros(1, 3, 64, 64), threshold=0.5, heads=HEADS)

    pruned = apply(dense, found)
    twin = rebuilt(pruned)

    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(twin(x)[0], pruned(x)[0])
        x = x.double()
        logits, oracle, before = (
            network.double().body(x)[0]
            if isinstance(network, TorchvisionClassifier)
            else network.double().head(network.backbone(x))
            for network in (pruned, silenced(dense, found), dense)
        )
    size = float(before.abs().max())
    torch.testing.assert_close(logits, oracle, atol=1e-6 * size, rtol=1e-5)
    assert not torch.allclose(logits, before, atol=1e-3 * size, rtol=0)
    assert logits.shape == (2, 3)
    assert found.ratio < 0.95
    masked = study(dense.float(), torch.zeros(1, 3, 64, 64), heads=HEADS).silenced(dense, found.kept)
    with torch.no_grad():
        torch.testing.assert_close(masked(x.float())[0], pruned.float()(x.float())[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (
            "vit_b_32",
            "prune: body.network is a VisionTransformer; only networks of convolutions, batch norms and linear layers "
            "can be pruned (no transformers)",
        ),
        (
            "convnext_tiny",
            "prune: body.network.features.0.1 is a LayerNorm2d; only networks of convolutions, batch norms and linear "
            "layers can be pruned (no transformers)",
        ),
        ("shufflenet_v2_x0_5", "prune: this network shuffles its channels, as ShuffleNet does; it cannot be pruned"),
        (
            "resnext50_32x4d",
            "prune: body.network.layer1.0.conv2 has 32 groups of its 128 inputs; only plain convolutions and depthwise "
            "ones with one filter a channel can be pruned",
        ),
    ],
)
def test_a_network_that_cannot_be_cut_is_refused(arch, message):
    network = TorchvisionClassifier(arch, 3, input_size=64)

    with pytest.raises(ModelError) as caught:
        plan(network, torch.zeros(1, 3, 64, 64), heads=HEADS)

    assert str(caught.value) == message


@pytest.mark.parametrize("arch", ["resnet18", "inception_v3", "mnasnet0_5", "vit_b_32", "regnet_y_400mf"])
def test_a_torchvision_network_comes_back_from_json_bit_for_bit(arch):
    size = 96
    network = TorchvisionClassifier(arch, 3, activation="sigmoid", input_size=size, auxiliaries=True)
    network = network.as_stored().eval()
    x = torch.rand(1, 3, size, size)

    twin = rebuilt(network)

    with torch.no_grad():
        assert torch.equal(twin(x)[0], network(x)[0])
    assert twin.architecture() == network.architecture()


@pytest.mark.parametrize(
    "make",
    [
        lambda: tao("resnet", 10),
        lambda: TorchvisionClassifier("squeezenet1_1", 3, activation="sigmoid"),
        lambda: tao("cspdarknet_tiny", hidden_activation="mish"),
        pytest.param(lambda: tao("mobilenet_v2", graph="tensorflow"), marks=pytest.mark.slow),
        pytest.param(lambda: TorchvisionClassifier("resnet18", 3), marks=pytest.mark.slow),
        pytest.param(lambda: TorchvisionClassifier("mobilenet_v3_small", 3), marks=pytest.mark.slow),
        pytest.param(lambda: TorchvisionClassifier("densenet121", 3), marks=pytest.mark.slow),
        pytest.param(lambda: TorchvisionClassifier("inception_v3", 3), marks=pytest.mark.slow),
        pytest.param(lambda: TorchvisionClassifier("vit_b_32", 3, input_size=96), marks=pytest.mark.slow),
        pytest.param(lambda: TorchvisionClassifier("convnext_tiny", 3), marks=pytest.mark.slow),
        pytest.param(lambda: tao("vgg", 16, retain_head=True, input_hw=(96, 96)), marks=pytest.mark.slow),
    ],
)
def test_the_onnx_gives_the_same_scores(make):
    network = lively(make())
    x = torch.rand(3, 3, 96, 96)

    onnx = to_onnx(network, channels=3, input_hw=(96, 96), output_names=["output_0"], input_name="input_0")

    with open_engine(onnx) as engine, torch.no_grad():
        answer = torch.from_numpy(engine.infer({"input_0": x.numpy()})["output_0"])
        torch.testing.assert_close(answer, network(x)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_swin_transformer_that_pads_its_windows_is_written_at_a_later_opset_than_jetsons():
    network = TorchvisionClassifier("swin_t", 3).eval()
    names = {"output_names": ["output_0"], "input_name": "input_0"}
    x = torch.rand(2, 3, 96, 96)

    with pytest.raises(EngineError) as caught:
        to_onnx(network, channels=3, input_hw=(96, 96), **names)
    onnx = to_onnx(network, channels=3, input_hw=(96, 96), opset=18, **names)

    assert "cannot be written at opset 17" in str(caught.value)
    with open_engine(onnx) as engine, torch.no_grad():
        answer = torch.from_numpy(engine.infer({"input_0": x.numpy()})["output_0"])
        torch.testing.assert_close(answer, network(x)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "keras"}, "the stored structure's family is 'keras'; it needs to be tao or torchvision"),
        ({"num_classes": "3"}, "the stored structure's num_classes is '3'; it needs to be of type int"),
        ({"num_classes": 0}, "classification: num_classes is 0; it needs to be 1 to 65536"),
        ({"activation": "tanh"}, "classification: activation is 'tanh'; it needs to be softmax, sigmoid or none"),
        (
            {"input_hw": [64, 10**6]},
            "the stored structure's input_hw is [64, 1000000]; it needs two numbers from 1 to 4096",
        ),
        ({"batch_norm": [0.9]}, "the stored structure's batch_norm is [0.9]; it needs two numbers from 0.0 to 1.0"),
        ({"dropout": 2.0}, "the stored structure's dropout is 2.0; it needs to be 0 to 1"),
        ({"retain_head": None}, "the stored structure's retain_head is None; it needs to be of type bool"),
        ({"network": "helnet"}, "the stored structure's network is 'helnet'; it needs to be one of "),
        ({"num_classes": 2}, "the stored structure gives head.predictions the channels [512, 3]; "),
    ],
)
def test_nothing_in_a_stored_structure_of_tao_is_believed(change, message):
    with pytest.raises(ModelError) as caught:
        build({**tao("resnet", 10).architecture(), **change})

    assert str(caught.value).startswith(message)


def test_nothing_in_a_stored_structure_of_torchvision_is_believed():
    record = TorchvisionClassifier("resnet18", 3).architecture()

    def message(change):
        with pytest.raises(ModelError) as caught:
            build({**record, **change})
        return str(caught.value)

    assert message({"network": "os.system"}).startswith("arch is 'os.system'; it needs to be a classification network ")
    assert message({"input_size": 10**9}) == "resnet18: the input is 1000000000 pixels wide; it needs to be 1 to 4096"
    narrow = {**record["channels"], "body.network.conv1": [3, 32]}
    assert message({"channels": narrow}).startswith("the stored structure's channel counts do not fit together: ")
    one_less = {**record["channels"], "body.network.fc": [512, 2]}
    assert message({"channels": one_less}) == ("the stored structure gives 2 outputs for 3 classes; they need to agree")


@pytest.mark.parametrize("number", range(8))
def test_an_efficientnet_has_as_many_weights_as_torchvisions(number):
    arch = f"efficientnet_b{number}"
    with torch.device("meta"):
        network, theirs = tao(arch, retain_head=True), get_model(arch, weights=None, num_classes=3)

    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert network.head.top_dropout.p == theirs.classifier[0].p


@pytest.mark.parametrize("arch", ["efficientnet_b1", "efficientnet_b2"])
def test_torchvisions_efficientnet_weights_are_known_by_name_and_give_its_scores(arch, tmp_path):
    torch.manual_seed(0)
    theirs = get_model(arch, weights=None, num_classes=3).eval()
    path = tmp_path / "weights.pth"
    torch.save(theirs.state_dict(), path)
    x = torch.rand(2, 3, 64, 64)
    normalised = (x - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)

    weights = read_weights(path)
    network = tao(arch, graph=preferred_graph(weights)).eval()
    load_weights(network.backbone, weights)
    network.head.predictions.load_state_dict(theirs.classifier[1].state_dict())

    assert weights.arch == arch
    with torch.no_grad():
        torch.testing.assert_close(network(x)[0], torch.softmax(theirs(normalised), 1))


def test_an_efficientnet_takes_the_activation_of_the_spec():
    swish, relu = tao("efficientnet_b0").eval(), tao("efficientnet_b0", hidden_activation="relu").eval()
    relu.load_state_dict(swish.state_dict())
    x = torch.rand(1, 3, 64, 64)

    with torch.no_grad():
        activations = dict(relu.backbone.walk(x))
        assert torch.equal(activations["stem_activation"], torch.relu(activations["stem_bn"]))
        assert not torch.equal(relu(x)[0], swish(x)[0])
        assert torch.equal(rebuilt(relu)(x)[0], relu(x)[0])
    with pytest.raises(ModelError) as caught:
        tao("efficientnet_b0", hidden_activation="gelu")
    assert str(caught.value) == (
        "classification: activation_type is gelu; it needs to be one of relu, relu6, leaky_relu, elu, mish, swish"
    )


def test_an_alexnet_is_frozen_block_by_block_its_dense_layers_too():
    network = tao("alexnet", retain_head=True, freeze_blocks=(2, 7))

    assert [name for name, p in network.named_parameters() if not p.requires_grad] == [
        "backbone.conv2.weight",
        "backbone.conv2.bias",
        "head.fc7.weight",
        "head.fc7.bias",
    ]


def test_an_input_that_the_network_cannot_see_is_refused():
    network = TorchvisionClassifier("inception_v3", 3)

    network.check_input((96, 96))
    with pytest.raises(ModelError) as caught:
        network.check_input((32, 48))
    assert str(caught.value).startswith("this inception_v3 does not take an input of 48 x 32 pixels: ")


@pytest.mark.parametrize("arch", ["resnet", "mobilenet_v1", "mobilenet_v2"])
def test_the_published_weights_fill_taos_networks(arch, shared_data):
    name = {"resnet": "resnet18"}.get(arch, arch)
    weights = read_weights(shared_data / "pretrained" / f"{name}.safetensors")

    network = tao(arch, graph=preferred_graph(weights))
    report = load_weights(network.backbone, weights)

    layers = [name for name, child in network.backbone.named_children() if list(child.parameters())]
    assert sorted(report.loaded) == sorted(layers)
    assert isinstance(network, TaoClassifier)
    assert network.normalises
