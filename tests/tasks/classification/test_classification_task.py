"""Classification's answers to the stages, one by one: input, cost, mixup, optimisers, regulariser, ranking."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from taolite import spec as specs
from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.keys import Key
from taolite.data.order import generator
from taolite.errors import ModelError
from taolite.nn.activations import ACTIVATIONS as NAMES
from taolite.nn.inputs import swap_colours
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.scorecard import ACCURACY
from taolite.stages.bundles import bundle_of
from taolite.tasks.classification.decode import decode
from taolite.tasks.classification.examples import spec_augment, spec_preprocessing
from taolite.tasks.classification.experiment import ClassificationExperiment
from taolite.tasks.classification.inference import as_judged
from taolite.tasks.classification.inputs import set_input
from taolite.tasks.classification.jetson import Settings, spec_of
from taolite.tasks.classification.loss import ClassificationObjective, mixup
from taolite.tasks.classification.model import (
    Classifier,
    TaoClassifier,
    TorchvisionClassifier,
    build,
    tao_classifier,
)
from taolite.tasks.classification.scoring import class_card
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.classification.spec.jetson import JetsonConfig
from taolite.tasks.classification.spec.network import ACTIVATIONS
from taolite.tasks.classification.task import TASK

SPEC = """
model_config {{ arch: "{arch}" n_layers: 10 use_batch_norm: true input_image_size: "{size}" {model} }}
train_config {{
  train_dataset_path: "t" val_dataset_path: "v" batch_size_per_gpu: 2 n_epochs: 4 n_workers: 1
  optimizer {{ {optimizer} }}
  reg_config {{ type: "L2" scope: "{scope}" weight_decay: 0.001 }}
  lr_config {{ step {{ learning_rate: 0.1 step_size: 50 gamma: 0.1 }} }}
  preprocess_mode: "{mode}" {more}
}}
"""


def make_spec(**words: str) -> ClassificationSpec:
    usual = {
        "arch": "resnet", "size": "3,32,48", "model": "", "optimizer": "sgd { lr: 1 momentum: 0.9 }",
        "scope": "Conv2D,Dense", "mode": "caffe", "more": "",
    }  # fmt: skip
    return specs.loads(SPEC.format(**(usual | words)), ClassificationSpec)


def experiment_of(spec: ClassificationSpec, classes: tuple[str, ...] = ("a", "b")) -> ClassificationExperiment:
    return TASK.read(spec, classes=classes).model


@pytest.mark.parametrize(
    ("mode", "more", "wanted"),
    [
        ("caffe", "", [30 - 103.939, 20 - 116.779, 10 - 123.68]),
        (
            "caffe",
            'image_mean { key: "r" value: 1 } image_mean { key: "g" value: 2 } image_mean { key: "b" value: 3 }',
            [27, 18, 9],
        ),
        ("tf", "", [10 / 127.5 - 1, 20 / 127.5 - 1, 30 / 127.5 - 1]),
        ("torch", "", [(10 / 255 - 0.485) / 0.224, (20 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.224]),
    ],
)
def test_pixels_become_what_tao_makes_of_them(mode: str, more: str, wanted: list[float]):
    made = spec_preprocessing(make_spec(mode=mode, more=more), crops=False)

    assert made.normalise(np.array([10, 20, 30], np.uint8)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("mode", "wanted"), [("caffe", 10 - 117.3786), ("tf", 10 / 127.5 - 1), ("torch", None)])
def test_grey_pixels_have_means_of_their_own(mode: str, wanted: float | None):
    made = spec_preprocessing(make_spec(mode=mode, size="1,32,48"), crops=False)

    expected = (10 / 255 - 0.449) / 0.224 if wanted is None else wanted
    assert made.normalise(np.array([10], np.uint8)) == pytest.approx([expected], abs=1e-5)


def test_the_centre_is_cut_out_of_a_photo_that_covers_32_pixels_more_each_way():
    crops = spec_preprocessing(make_spec(), crops=True)

    # the input of 48 x 32 and 32 more are 80 x 64; a photo of 40 x 40 grows to 80 x 80, cut at 16 and 24
    assert crops.boxes_to_input(np.float32([[0, 0, 40, 40]]), photo_hw=(40, 40)).tolist() == [[-16, -24, 64, 56]]
    stretched = spec_preprocessing(make_spec(), crops=False)
    assert as_judged(stretched, crops=True) == crops
    assert as_judged(crops, crops=False) == stretched
    assert as_judged(crops, crops=True) is crops


def test_training_pictures_are_mirrored_unless_the_spec_says_no():
    photo = np.zeros((32, 48, 3), np.uint8)
    photo[:, :24] = 200
    truth = Truth(np.float32([[0, 0, 48, 32]]), np.array([1]))

    def left_is_bright(more: str) -> set[bool]:
        augment = spec_augment(make_spec(more=more))
        return {bool(augment(photo, truth, generator(seed))[0][0, 0, 0] == 200) for seed in range(20)}

    assert left_is_bright("") == {True, False}
    assert left_is_bright("disable_horizontal_flip: true") == {True}


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("graph", ["torchvision", "tensorflow", "network of torchvision's"])
def test_a_network_with_published_weights_sees_the_same_photo_through_every_preprocess_mode(mode: str, graph: str):
    torch.manual_seed(0)
    network: Classifier
    if graph == "network of torchvision's":
        network = TorchvisionClassifier("squeezenet1_1", 3)
    else:
        arch = {"torchvision": "resnet", "tensorflow": "mobilenet_v1"}[graph]
        network = tao_classifier(arch, 3, use_batch_norm=True, input_hw=(64, 64), graph=graph)  # type: ignore[arg-type]
    network.eval()
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    prep = spec_preprocessing(make_spec(size="3,64,64", mode=mode), crops=False)

    def answer(preprocessing: Preprocessing) -> torch.Tensor:
        with torch.no_grad():
            return network(torch.from_numpy(preprocessing.apply(photo))[None])[0]

    plain = answer(Preprocessing((64, 64)))
    if prep.bgr:
        swap_colours(network)
    set_input(network, prep)

    torch.testing.assert_close(answer(prep), plain, atol=1e-5, rtol=1e-4)


def test_the_cost_is_cross_entropy_with_labels_smoothed_in_training_alone():
    targets = {"classes": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])  # scores 1/2, 1/2 and 1/4, 3/4
    scores = torch.softmax(logits, dim=1)
    objective = ClassificationObjective(smoothing=0.2)

    judged = objective.cost((scores,), targets, training=False)
    trained = objective.cost((logits,), targets)

    assert float(judged.total) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    by_hand = (math.log(2) + 0.9 * math.log(4 / 3) + 0.1 * math.log(4)) / 2
    assert float(trained.total) == pytest.approx(by_hand)
    assert trained.parts == {"accuracy": 1.0}


@pytest.mark.parametrize("training", [True, False])
def test_of_five_classes_and_more_the_share_within_the_likeliest_five_is_told(training: bool):
    targets = {"classes": torch.eye(6)[[0, 5, 2, 3]]}
    scores = torch.tensor([[0.30, 0.25, 0.2, 0.1, 0.1, 0.05]]).repeat(4, 1)

    cost = ClassificationObjective().cost((scores,), targets, training=training)

    # the first is the likeliest class, class 5 is none of the likeliest five, 2 and 3 are
    assert cost.parts == {"accuracy": 0.25, "top_5": 0.75}


def test_auxiliary_classifiers_count_three_tenths_each():
    targets = {"classes": torch.tensor([[1.0, 0.0]])}
    even = torch.zeros(1, 2)

    cost = ClassificationObjective().cost((even, even, even), targets)

    assert float(cost.total) == pytest.approx(1.6 * math.log(2))


def test_tags_have_a_cost_each_and_scores_and_logits_agree_on_it():
    targets = {"classes": torch.tensor([[1.0, 0.0, 1.0]])}
    logits = torch.tensor([[0.0, math.log(3), math.log(3)]])  # scores 1/2, 3/4, 3/4
    objective = ClassificationObjective(tags=True)

    trained, judged = objective.cost((logits,), targets), objective.cost((logits.sigmoid(),), targets, training=False)

    assert float(trained.total) == pytest.approx((math.log(2) + math.log(4) + math.log(4 / 3)) / 3)
    assert float(judged.total) == pytest.approx(float(trained.total))
    assert judged.parts["accuracy"] == trained.parts["accuracy"] == pytest.approx(2 / 3)


def test_mixup_keeps_more_than_half_of_a_picture_and_the_same_share_of_its_label():
    torch.manual_seed(0)
    pixels, targets = torch.eye(4).view(4, 4, 1, 1), {"classes": torch.eye(4)}

    mixed, labels = mixup(0.4)(pixels, targets, range(4), 4)

    share = mixed.view(4, 4)
    assert torch.equal(share, labels["classes"])
    assert bool((share.diagonal() >= 0.5).all())
    torch.testing.assert_close(share.diagonal() + share.flip(1).diagonal(), torch.ones(4))
    assert len(set(share.diagonal().tolist())) > 1


def test_mixup_blends_part_of_a_batch_as_it_blends_all_of_it():
    pixels, targets = torch.eye(6).view(6, 6, 1, 1), {"classes": torch.eye(6)}
    torch.manual_seed(3)
    whole, _ = mixup(0.4)(pixels, targets, range(6), 6)
    places = [0, 1, 4, 5]

    torch.manual_seed(3)
    part, labels = mixup(0.4)(pixels[places], {"classes": targets["classes"][places]}, places, 6)

    assert torch.equal(part, whole[places])
    assert torch.equal(labels["classes"], whole[places].view(4, 6))


@pytest.mark.parametrize(
    ("text", "kind", "settings"),
    [
        ("sgd { lr: 1 momentum: 0.9 nesterov: true decay: 0.5 }", "SGD", {"momentum": 0.9, "nesterov": True}),
        ("sgd { lr: 1 nesterov: true decay: 0.5 }", "SGD", {"momentum": 0.0, "nesterov": False}),
        (
            "adam { lr: 1 beta_1: 0.8 beta_2: 0.9 epsilon: 1e-4 decay: 0.5 }",
            "Adam",
            {"betas": (0.8, 0.9), "eps": 1e-4},
        ),
        ("rmsprop { lr: 1 rho: 0.7 epsilon: 1e-4 decay: 0.5 }", "RMSprop", {"alpha": 0.7, "eps": 1e-4}),
    ],
)
def test_each_optimiser_has_its_settings(text: str, kind: str, settings: dict[str, object]):
    recipe = experiment_of(make_spec(optimizer=text)).recipe

    made = recipe.optimizer([{"params": [torch.nn.Parameter(torch.zeros(1))], "rate": 1.0}])

    assert type(made).__name__ == kind
    group = {name: pytest.approx(value) for name, value in settings.items()}
    assert {name: made.param_groups[0][name] for name in settings} == group
    assert recipe.decay == 0.5


@pytest.mark.parametrize(("scope", "kinds"), [("Conv2D", {4}), ("dense", {2}), ("Conv2D,Dense", {2, 4})])
def test_the_regulariser_acts_on_the_kernels_of_its_scope_but_for_depthwise_ones(scope: str, kinds: set[int]):
    experiment = experiment_of(make_spec(arch="mobilenet_v1", size="3,64,64", scope=scope))

    chosen = experiment.start(key=None).regularised

    assert {one.ndim for one in chosen} == kinds
    convolutions = [one for one in chosen if one.ndim == 4]
    assert len(convolutions) == (14 if 4 in kinds else 0)  # conv1 and 13 pointwise; 13 depthwise are left out
    assert all(one.shape[1] > 1 for one in convolutions)


def test_a_ranking_gives_the_likeliest_or_the_tags_above_a_threshold():
    scores = np.float32([0.2, 0.7, 0.2, 0.6])

    best, tags = decode(scores, {"top": 1}), decode(scores, {"threshold": 0.6})

    assert best.classes_n.tolist() == [1, 3, 0, 2]
    assert np.array_equal(best.by_class_k, scores)
    names = ("a", "b", "c", "d")
    assert [(one.name, one.box) for one in best.detections(names)] == [("b", None)]
    assert [one.name for one in tags.detections(names)] == ["b", "d"]


def test_scores_that_are_no_numbers_are_an_error_and_no_ranking():
    with pytest.raises(ModelError, match="the network's scores are not finite numbers; "):
        decode(np.float32([0.2, np.nan]), {"top": 1})

    targets = {"classes": torch.tensor([[1.0, 0.0]])}
    for tags in (False, True):  # the cost, which is asked for first, leaves it at that
        cost = ClassificationObjective(tags=tags).cost((torch.full((1, 2), math.nan),), targets, training=False)
        assert math.isnan(float(cost.total))


def test_a_card_counts_top_k_beside_accuracy_and_confusion():
    truths = [Truth(np.zeros((1, 4), np.float32), np.array([kind])) for kind in (0, 0, 1, 2)]
    rows = ([0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1])
    founds = [decode(np.float32(row), {"top": 1}) for row in rows]

    card = class_card(truths, founds, classes=("a", "b", "c"), top_k=2)

    assert card.main.words is ACCURACY
    assert (card.main.value, card.main.per_class) == (0.5, {"a": 0.5, "b": 1.0, "c": 0.0})
    assert card.beside["top_2"].value == 0.75
    assert card.confusion == ((1, 1, 0), (0, 1, 0), (1, 0, 0))
    assert card.objects == {"a": 2, "b": 1, "c": 1}


def activated(kind: str, *, pretrained: str = "") -> ClassificationExperiment:
    model = f'activation {{ activation_type: "{kind}" }}' if kind else ""
    more = f'pretrained_model_path: "{pretrained}"' if pretrained else ""
    return experiment_of(make_spec(arch="cspdarknet_tiny", size="3,32,32", model=model, more=more))


def test_the_spec_s_activation_is_that_of_the_network_and_of_what_is_stored_of_it():
    relu = activated("relu")
    network = relu.start(key=None).network
    stored = TASK.network(bundle_of(relu, network, lineage=()))

    assert isinstance(stored, TaoClassifier)
    with torch.no_grad():
        seen = dict(stored.backbone.walk(torch.randn(1, 3, 32, 32)))
    assert torch.equal(seen["conv_5_mish"], seen["conv_5_bn"].relu())
    assert tuple(NAMES) == ACTIVATIONS


def test_a_model_goes_on_with_the_activation_it_was_trained_with(tmp_path: Path):
    key, path, spec = Key("k"), tmp_path / "leaky.tlt", activated("leaky_relu")
    network = spec.start(key=None).network
    write_bundle(path, bundle_of(spec, network, lineage=()), key=key)

    activated("", pretrained=str(path)).start(key=key)  # leaky_relu is its own
    with pytest.raises(ModelError) as caught:
        activated("mish", pretrained=str(path)).start(key=key)

    assert str(caught.value) == (
        f"{path} was trained with another activation (that of its arch) than the spec asks for (`mish`); "
        "model_config.activation must agree with the spec it was trained with"
    )


def test_published_weights_start_a_classifier_in_the_spec_s_own_mode(shared_data: Path, tmp_path: Path):
    weights = shared_data / "pretrained" / "resnet18.safetensors"
    if not weights.is_file():
        pytest.skip(f"{weights} is not here")
    spec = make_spec(more=f'pretrained_model_path: "{weights}"', size="3,64,64")
    spec = spec.model_copy(update={"model_config_": spec.model_config_.model_copy(update={"n_layers": 18})})
    experiment = experiment_of(spec, ("cat", "dog"))

    start = experiment.start(key=None)
    made = TASK.network(bundle_of(experiment, start.network, lineage=()))

    pixels = torch.from_numpy(experiment.preprocessing.apply(np.full((64, 64, 3), 77, np.uint8)))[None]
    start.network.eval()
    with torch.no_grad():
        torch.testing.assert_close(made(pixels), start.network(pixels))
    assert "layers loaded into the torchvision graph" in start.notices[0]


def test_the_head_learns_at_a_multiple_of_the_other_layers_rate():
    spec = spec_of(Settings(arch="resnet18", pretrained=""))
    spec = spec.model_copy(update={"jetson_config": JetsonConfig(head_rate=10.0)})
    start = experiment_of(spec).start(key=None)

    body, head = start.groups

    assert (body["rate"], head["rate"]) == (1.0, 10.0)
    assert [tuple(one.shape) for one in head["params"]] == [(2, 512), (2,)]
    assert len(body["params"]) + 2 == len(list(start.network.parameters()))


def test_frozen_statistics_stay_in_training_and_after_a_rebuild():
    network = build(TorchvisionClassifier("resnet18", 2, freeze_bn=True).architecture()).train()

    network(torch.rand(2, 3, 32, 32))

    means = [buffer for name, buffer in network.named_buffers() if name.endswith("running_mean")]
    assert len(means) == 20
    assert all(not mean.any() for mean in means)
    assert network.training


def test_a_teacher_costs_the_divergence_of_the_softened_scores():
    found, taught = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2 * math.log(3)], [0.0, 0.0]])

    cost = ClassificationObjective().taught((found, torch.ones(2, 2)), (taught,), {}, temperature=2.0)

    # divided by 2 the teacher's logits give 1/4 and 3/4, the student's 1/2 and 1/2; the second picture costs nothing
    by_hand = 4 * (math.log(0.5) / 4 + 3 * math.log(1.5) / 4) / 2
    assert float(cost.total) == pytest.approx(by_hand)


def test_a_teacher_of_tags_costs_the_divergence_of_each_tag():
    found, taught = torch.tensor([[0.0, 0.0]]), torch.tensor([[2 * math.log(3), 0.0]])

    cost = ClassificationObjective(tags=True).taught((found,), (taught,), {}, temperature=2.0)

    assert float(cost.total) == pytest.approx(4 * (3 * math.log(1.5) / 4 + math.log(0.5) / 4) / 2, rel=1e-5)


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_student_that_equals_its_teacher_costs_nothing_and_learns_nothing(tags: bool, temperature: float):
    taught = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 3
    logits = taught.clone().requires_grad_()

    cost = ClassificationObjective(tags=tags).taught((logits,), (taught,), {}, temperature=temperature)
    cost.total.backward()  # type: ignore[no-untyped-call]

    assert float(cost.total.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6
