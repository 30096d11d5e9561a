"""A Keras file as the whole network (`load_graph`), and as weights to start from (reference 10.1, 10.2)."""

from __future__ import annotations

import pytest
import torch

from taolite import spec as specs
from taolite.errors import ModelError
from taolite.nn.backbones import build_backbone
from taolite.nn.structure import channels_of
from taolite.nn.weights import read_weights
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan
from taolite.tasks.detectnet.keras_graph import network_from_keras
from taolite.tasks.detectnet.model import DetectNet
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.task import DEFAULT_SPEC, TASK
from taolite.tasks.detectnet.use import HEADS

torch.set_num_threads(1)
pytest.importorskip("h5py")


def detector(arch="resnet", num_layers=10, *, classes=2, **options):
    """A detector whose norms do something, and whose channels differ in weight so that some are pruned."""
    torch.manual_seed(5)
    network = DetectNet(build_backbone(arch, num_layers=num_layers, **options), classes).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels > 8:
            with torch.no_grad():
                layer.weight.mul_(torch.linspace(0.02, 1.5, layer.out_channels).view(-1, 1, 1, 1))
        elif isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network


def start(path, model_config):
    """From TAO's built-in spec, which finds car and pedestrian, and has batch norms and all projections."""
    text = DEFAULT_SPEC.read_text().replace(
        "  all_projections: true\n", f'  pretrained_model_file: "{path}"\n  {model_config}\n'
    )
    return TASK.read(specs.loads(text, DetectNetSpec)).model.start(key=None)


@pytest.mark.parametrize(
    ("arch", "num_layers", "options", "layers"),
    [
        ("resnet", 18, {"all_projections": True}, ()),
        ("resnet", 50, {"use_batch_norm": False, "in_channels": 1}, ()),
        ("vgg", 16, {"use_pooling": True}, ("block1_pool", "block2_pool", "block3_pool", "block4_pool")),
        ("darknet", 19, {}, ("maxpool_1",)),
        ("googlenet", 0, {}, ("pool1",)),
        ("squeezenet", 0, {}, ("pool1",)),
        ("mobilenet_v1", 0, {}, ()),
        ("mobilenet_v2", 0, {}, ()),
        ("efficientnet_b0", 0, {}, ()),
    ],
)
def test_a_pruned_keras_detector_is_rebuilt_from_its_tensors(tmp_path, write_keras, arch, num_layers, options, layers):
    full = detector(arch, num_layers, **options)
    picture = torch.rand(1, full.backbone.in_channels, 64, 96)
    pruned = apply(full, plan(full, picture, threshold=0.3, heads=HEADS)).eval()
    path = write_keras(tmp_path / "pruned.hdf5", pruned.state_dict(), layers=layers)

    network = network_from_keras(read_weights(path), num_classes=7, inputs={}).eval()

    assert channels_of(network) == channels_of(pruned) != channels_of(full)
    assert network.backbone.config == full.backbone.config
    with torch.no_grad():
        for ours, theirs in zip(network(picture), pruned(picture), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_load_graph_takes_a_keras_model_with_its_heads_whatever_the_spec_s_arch_says(tmp_path, write_keras):
    source = detector("vgg", 16)
    path = write_keras(tmp_path / "vgg.hdf5", source.state_dict())

    started = start(path, "load_graph: true")

    assert started.notices == (f"{path}: the whole graph is taken from this file",)
    assert started.network.backbone.config == source.backbone.config
    assert torch.equal(started.network.output_bbox.weight, source.output_bbox.weight)
    assert started.parent


def test_without_load_graph_heads_and_what_was_pruned_begin_at_random_and_that_is_said(tmp_path, write_keras):
    state = detector("resnet", 18).state_dict()
    for end in ("weight", "bias"):
        name = f"backbone.block_4b_conv_1.{end}"
        state[name] = state[name][:400]
    path = write_keras(tmp_path / "model.hdf5", state)

    started = start(path, "")

    assert started.notices == (
        f"{path}: 41 layers loaded into the tao graph; 1 begin at random (block_4b_conv_1). "
        "A pruned model needs load_graph: true",
        f"{path}: layer block_4b_conv_1 skipped: its weight is 400x512x3x3 and 512x512x3x3 is needed",
        f"{path}: layer output_bbox skipped: heads begin at random without load_graph",
        f"{path}: layer output_cov skipped: heads begin at random without load_graph",
    )
    assert not torch.equal(started.network.output_cov.weight, state["output_cov.weight"])


def test_other_classes_and_missing_heads_are_refused_unless_the_spec_allows_fresh_ones(tmp_path, write_keras):
    full = detector(classes=3)
    three = write_keras(tmp_path / "three.hdf5", full.state_dict())
    headless = write_keras(tmp_path / "backbone.hdf5", full.backbone.state_dict())
    difference = (
        f"{three} finds 3 classes, of which it does not hold the names, and the spec asks for 2 (car, pedestrian)"
    )

    def message(path):
        with pytest.raises(ModelError) as caught:
            start(path, "load_graph: true")
        return str(caught.value)

    assert message(three) == (
        f"{difference}; with load_graph the two must agree, or allow_loaded_model_modification: true "
        "puts fresh heads on it"
    )
    assert message(headless) == (
        f"{headless}: Objective head is missing from model (a backbone alone), and model modification is not allowed. "
        "Take load_graph out of the spec, or put in allow_loaded_model_modification: true"
    )
    allowed = "load_graph: true allow_loaded_model_modification: true"
    assert start(three, allowed).notices[1] == (
        f"{difference}: its heads are replaced by fresh ones, which begin at random"
    )
    started = start(headless, allowed)
    assert started.notices[1] == f"{headless}: it has no heads and gets fresh ones, which begin at random"
    assert started.network.num_classes == 2
    assert torch.equal(started.network.backbone.conv1.weight, full.backbone.conv1.weight)


def test_what_load_graph_cannot_rebuild_is_said_by_name(tmp_path, write_keras):
    state = detector().state_dict()

    def message(change, layers=()):
        changed = {name: value for name, value in {**state, **change}.items() if value is not None}
        path = write_keras(tmp_path / "m.hdf5", changed, layers=layers)
        with pytest.raises(ModelError) as caught:
            network_from_keras(read_weights(path), num_classes=2, inputs={})
        return str(caught.value).removeprefix(f"{path}: ")

    assert message({}, layers=["max_pooling2d_1"]) == (
        "this ResNet has a max-pool (use_pooling), which gives it a stride of 224; load_graph needs one without"
    )
    assert message({"backbone.block_4a_conv_2.weight": None}) == (
        "block_4a_conv_2 is missing, without which this is no resnet of TAO's"
    )
    assert message({"backbone.block_1a_conv_1.weight": torch.zeros(40, 64, 3, 3)}).startswith(
        "the stored structure's channel counts do not fit together: "
    )
    assert message({"backbone.block_1a_conv_1.weight": torch.zeros(64, 64, 5, 5)}) == (
        "load_graph needs every layer to fit, and block_1a_conv_1 does not: its weight is 64x64x5x5 and 64x64x3x3 is "
        "needed"
    )
    assert message({"output_bbox.weight": torch.zeros(7, 512, 1, 1), "output_bbox.bias": torch.zeros(7)}) == (
        "output_cov has 2 channels and output_bbox 7; it needs 4 each"
    )
    extra = {"block_1a_projected_inputs.weight": torch.zeros(64, 64, 1, 1)}
    assert message(extra) == (
        "load_graph needs every layer to fit, and block_1a_projected_inputs does not: this network has no such layer"
    )


def test_taos_quantised_models_are_taken_as_floats_with_a_notice(tmp_path, write_keras):
    state = detector().state_dict()
    path = write_keras(tmp_path / "qat.hdf5", state, layers=["conv1_qdq"])

    assert start(path, "load_graph: true").notices[1:] == (
        f"{path}: it was trained with TAO's quantisation, which is taken off, and its ReLU6 becomes ReLU",
    )
