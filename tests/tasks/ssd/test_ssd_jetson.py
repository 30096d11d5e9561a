"""pytorch-ssd's flags as a spec, and what that decides."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from taolite import spec as specs
from taolite.errors import DataError, SpecError
from taolite.sample import Label, Sample
from taolite.tasks.ssd.foreign import IN_USE, foreign_onnx
from taolite.tasks.ssd.jetson import Cosine, balanced, plan_of, schedule_of, spec_of
from taolite.tasks.ssd.plan import CostRule, Matching, Origin, Rates, SsdPlan
from taolite.tasks.ssd.spec import JetsonConfig, SsdSpec


def config_of(compat: bool = False, **given: Any) -> JetsonConfig:
    config = spec_of(given, compat=compat).jetson_config
    assert config is not None
    return config


def planned(**given: Any) -> SsdPlan:
    return plan_of(config_of(**given), resolve=Path, classes=("cat", "dog"))


def test_the_defaults_are_a_spec_without_a_warning():
    assert specs.reads(specs.dumps(spec_of({})), SsdSpec).warnings == ()


def test_sgd_has_the_defaults_of_train_ssd_py_but_for_the_length_of_the_cosine_and_a_warm_up():
    config = config_of(optimizer="sgd")

    # reference/jetson_workflows.md 4.1; --workers, --debug-steps and --use-cuda are of the machine
    theirs = {
        "dataset_type": "open_images", "datasets": ("data",), "balance_data": False, "net": "mb1-ssd",
        "resolution": 300, "freeze_base_net": False, "freeze_net": False, "mb2_width_mult": 1.0, "lr": 0.01,
        "base_net_lr": 0.001, "extra_layers_lr": None, "momentum": 0.9, "weight_decay": 5e-4, "gamma": 0.1,
        "scheduler": "cosine", "milestones": (80, 100), "batch_size": 4, "num_epochs": 30, "validation_epochs": 1,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in theirs} == theirs
    assert (config.t_max, config.warm_up) == (0, 0.05)
    assert (config_of(compat=True).t_max, config_of(compat=True).warm_up) == (100, 0)
    assert config_of(compat=True, t_max=50).t_max == 50
    assert (config_of(compat=True).optimizer, config_of(compat=True).lr) == ("sgd", 0.01)


def test_a_new_run_takes_adam_unless_a_flag_of_sgd_s_is_given():
    for name in ("lr", "base_net_lr", "extra_layers_lr", "momentum"):
        assert config_of(**{name: 0.5}).optimizer == "sgd"
    assert config_of(optimizer="adam", lr=0.5).optimizer == "adam"
    assert config_of(optimizer="adam", lr=0.5).lr == 0.5


@pytest.mark.parametrize(
    ("given", "frozen", "rates"),
    [
        ({}, False, (5e-4, 5e-4)),
        ({"base_net": "w.safetensors"}, True, (5e-4, 1e-4)),
        ({"pretrained_ssd": "w.pth"}, True, (5e-4, 1e-4)),
        ({"pretrained_ssd": "pruned.tlt"}, False, (5e-4, 5e-4)),
        ({"base_net": "w.safetensors", "lr": 0.01}, True, (0.01, 0.001)),
    ],
)
def test_published_layers_keep_their_statistics_and_learn_more_slowly(
    given: dict[str, Any], frozen: bool, rates: tuple[float, float]
):
    config = config_of(**given)

    assert config.freeze_bn == frozen
    assert planned(**given).network.freeze_bn == frozen
    assert (config.lr, config.base_net_lr) == pytest.approx(rates)


def test_a_run_that_goes_on_keeps_every_setting_that_is_not_given_again():
    kept = spec_of({"net": "mb2-ssd-lite", "datasets": ("a", "b"), "lr": 0.02, "base_net": "w.pth"}, compat=True)

    again = spec_of({"num_epochs": 60}, kept=kept)

    assert again.jetson_config is not None
    assert again.jetson_config.num_epochs == 60
    assert spec_of({"num_epochs": 30}, kept=again) == kept


def test_other_weights_replace_those_of_the_run_that_is_gone_on_with():
    kept = spec_of({"base_net": "w.pth"})

    config = spec_of({"pretrained_ssd": "s.pth"}, kept=kept).jetson_config

    assert config is not None
    assert (config.base_net, config.pretrained_ssd) == ("", "s.pth")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"freeze_net": True, "freeze_base_net": True}, "freeze_base_net is given beside `freeze_net`"),
        ({"base_net": "a", "resume": "b"}, "base_net is given beside `resume`; weights come from one of them"),
        ({"milestones": (100, 80)}, "milestones are 100,80; they need to rise, from 1 on"),
        ({"dataset_type": "voc", "balance_data": True}, 'balance_data works with dataset_type "open_images" alone'),
        ({"mb2_width_mult": 0.5}, "mb2_width_mult is 0.5, which is for mb2-ssd-lite, not mb1-ssd"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], message: str):
    with pytest.raises(SpecError, match=message.replace("(", r"\(")):
        spec_of(given)


def test_a_cosine_of_another_length_than_the_run_is_warned_of():
    (longer,) = specs.reads(specs.dumps(spec_of({"t_max": 100.0})), SsdSpec).warnings
    (shorter,) = specs.reads(specs.dumps(spec_of({"t_max": 20.0})), SsdSpec).warnings
    (unreached,) = specs.reads(specs.dumps(spec_of({"scheduler": "multi-step"})), SsdSpec).warnings

    assert "the rates are still high at the end" in longer.text
    assert "the rates rise again after it" in shorter.text
    assert "are never reached in 30 epochs" in unreached.text


def test_what_is_fixed_in_pytorch_ssd_is_in_the_plan():
    plan = planned(resolution=512)

    assert (plan.network.net, plan.network.input_hw) == ("mb1-ssd", (512, 512))
    assert plan.matching == Matching("best", 0.5, 0.5)
    assert plan.cost == CostRule(alpha=1.0, negatives=3.0, mining="image")
    assert (plan.views.kind, plan.views.fill) == ("pytorch-ssd", (127, 127, 127))
    assert plan.decoding == {
        "confidence_threshold": 0.01, "nms_iou": 0.45, "top_k": 0, "candidates": 200, "method": "hard",
    }  # fmt: skip
    assert plan.watch.decoding["confidence_threshold"] == 0.5
    assert (plan.scoring.mode, plan.scoring.iou) == ("voc07", 0.5)
    assert planned(use_2007_metric=False, iou_threshold=0.6).scoring.mode == "area"
    assert not plan.learns_difficult
    assert plan.run_files == {"labels.txt": "BACKGROUND\ncat\ndog"}
    assert [plan.class_of(name) for name in ("cat", "dog", "Cat")] == [0, 1, None]


def test_pixels_are_what_detectnet_feeds_an_export():
    photo = np.array([[[0, 127, 255]]], np.uint8)

    np.testing.assert_allclose(planned().preprocessing.normalise(photo)[0, 0], [-127 / 128, 0, 1])
    np.testing.assert_allclose(planned(net="vgg16-ssd").preprocessing.normalise(photo)[0, 0], [-123, 10, 151])
    assert planned(net="vgg16-ssd").views.fill == (123, 117, 104)
    assert planned().preprocessing.fit == "stretch"


def test_a_foreign_onnx_is_fed_as_the_network_that_has_so_many_priors():
    mobilenet, decoding = foreign_onnx((300, 300), priors=3000)
    vgg, _ = foreign_onnx((300, 300), priors=8732)

    assert (mobilenet, vgg) == (planned().preprocessing, planned(net="vgg16-ssd").preprocessing)
    assert decoding == {**planned().decoding, **IN_USE}


@pytest.mark.parametrize(
    ("given", "rates"),
    [
        ({"optimizer": "sgd"}, Rates(backbone=0.1, extras=1.0)),
        ({"base_net_lr": 0.01, "extra_layers_lr": 0.0}, Rates(backbone=1.0, extras=None)),
        ({"lr": 0.02, "base_net_lr": 0.01, "extra_layers_lr": 0.005}, Rates(backbone=0.5, extras=0.25)),
        ({"freeze_base_net": True}, Rates(backbone=None, extras=1.0)),
        ({"freeze_net": True}, Rates(backbone=None, extras=None)),
        ({"base_net_lr": 0.0}, Rates(backbone=None, extras=1.0)),
    ],
)
def test_parts_learn_at_their_own_rate_or_not_at_all(given: dict[str, Any], rates: Rates):
    assert asdict(planned(**given).rates) == pytest.approx(asdict(rates))


def test_weights_come_from_where_the_flags_say():
    assert planned().origin == Origin()
    assert planned(base_net="a").origin == Origin("backbone", "a")
    assert planned(pretrained_ssd="b").origin == Origin("ssd", "b")
    assert planned(resume="c").origin == Origin("whole", "c")


def test_the_cosine_falls_as_torch_s_does_once_the_warm_up_is_over():
    # CosineAnnealingLR steps once an epoch; ours falls within it as well, and agrees where an epoch begins
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    ours = schedule_of(config_of(lr=0.01, warm_up=0.05))
    for epoch in range(30):
        if epoch >= 2:  # 0.05 * 30 epochs of warm-up
            assert ours.rate(epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_a_warm_up_begins_at_a_tenth_and_meets_the_curve():
    ours, without = schedule_of(config_of(lr=0.01, warm_up=0.1)), schedule_of(config_of(lr=0.01, warm_up=0.0))

    assert ours.rate(0) == pytest.approx(0.001)
    assert ours.rate(1.5) == pytest.approx(0.55 * without.rate(1.5))
    assert ours.rate(3) == without.rate(3)


def test_their_period_of_100_epochs_ends_30_epochs_at_four_fifths_of_the_rate():
    ours = schedule_of(config_of(compat=True))

    assert ours.rate(30) / ours.rate(0) == pytest.approx(0.794, abs=5e-4)  # reference/jetson_workflows.md 4.12
    assert Cosine(1.0, t_max=10, warm=0).rate(15) == pytest.approx((1 + math.cos(1.5 * math.pi)) / 2)


def test_multi_step_multiplies_by_gamma_at_each_milestone():
    ours = schedule_of(config_of(lr=0.01, scheduler="multi-step", milestones=(2, 5), gamma=0.5, warm_up=0.0))

    assert [ours.rate(elapsed) for elapsed in (0, 1.99, 2, 4.99, 5)] == [0.01, 0.01, 0.005, 0.005, 0.0025]


def test_weight_decay_pulls_as_hard_as_torch_s():
    recipe = planned(weight_decay=1e-3).recipe
    kernel = torch.nn.Parameter(torch.tensor([3.0]))

    (recipe.regularizer_weight * kernel.square().sum()).backward()

    assert recipe.regularizer == "l2"
    assert kernel.grad is not None
    assert float(kernel.grad) == pytest.approx(1e-3 * 3)
    assert planned(weight_decay=0.0).recipe.regularizer == "none"


def test_models_are_named_as_train_ssd_py_names_them():
    recipe = planned(validation_epochs=4, num_epochs=10).recipe

    assert recipe.epoch_model.format(epoch=4, index=3, cost=2.5) == "mb1-ssd-Epoch-3-Loss-2.5.tlt"
    assert [epoch for epoch in range(1, 11) if recipe.validates(epoch)] == [4, 8, 10]


def voc_set(root: Path, labels: str, names: list[str]) -> str:
    """Four pictures that train and one that judges, each with the objects `names`."""
    (root / "JPEGImages").mkdir(parents=True)
    (root / "Annotations").mkdir()
    (root / "ImageSets/Main").mkdir(parents=True)
    row = "<object><name>{}</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object>"
    for index in range(5):
        Image.new("RGB", (40, 40)).save(root / f"JPEGImages/{index}.jpg")
        (root / f"Annotations/{index}.xml").write_text(f"<annotation>{''.join(map(row.format, names))}</annotation>")
    (root / "ImageSets/Main/trainval.txt").write_text("0\n1\n2\n3\n")
    (root / "ImageSets/Main/test.txt").write_text("4\n")
    (root / "labels.txt").write_text(labels)
    return str(root)


def test_several_roots_train_and_judge_together_with_the_classes_of_all(tmp_path: Path):
    roots = (voc_set(tmp_path / "a", "dog\ncat\n", ["cat"]), voc_set(tmp_path / "b", "cat\nbird\n", ["bird", "cat"]))
    plan = plan_of(config_of(dataset_type="voc", datasets=roots), resolve=Path)

    (training,), _ = plan.sources("train", resolve=Path)
    (judging,), _ = plan.sources("val", resolve=Path)

    assert plan.classes == ("dog", "cat", "bird")
    assert [len(sample.labels) for sample in training.samples] == [1] * 4 + [2] * 4
    assert [str(sample.image) for sample in judging.samples] == [f"{root}/JPEGImages/4.jpg" for root in roots]


def test_what_is_odd_is_a_warning_and_what_is_done_is_not(tmp_path: Path):
    root = voc_set(tmp_path / "a", "BACKGROUND\ncat\n\ndog\n", ["cat", "cow"])
    plan = plan_of(config_of(dataset_type="voc", datasets=(root,)), resolve=Path)

    _, notices = plan.sources("train", resolve=Path)

    strangers = [
        f"{root}/Annotations/{i}.xml:1: `cow` is not one of the classes (cat, dog) and is left out" for i in range(3)
    ]
    assert [notice.text for notice in notices if notice.level == "warning"] == [
        f"{root}/labels.txt:1: this line is `BACKGROUND`; it is ignored",
        f"{root}/labels.txt:3: this line is blank; it is ignored",
        *strangers,
        f"{root}: 1 more like this (unknown-class); `taolite dataset check {root}` lists them",
    ]
    assert [notice.text for notice in notices if notice.level == "info"] == [
        "Labels: ('BACKGROUND', 'cat', 'dog')",
        f"{root}: training on trainval.txt, 4 images; validating on test.txt",
        "Dataset Summary: Number of Images: 4, Label Distribution:",
        "    cat: 4",
        "    dog: 0",
    ]
    assert not any("Labels" in notice.text for notice in plan.sources("val", resolve=Path)[1])


def test_classes_that_no_training_image_has_are_an_error(tmp_path: Path):
    root = voc_set(tmp_path / "a", "dog\n", ["cat"])
    plan = plan_of(config_of(dataset_type="voc", datasets=(root,)), resolve=Path)

    with pytest.raises(DataError, match=r"no training image has an object of dog: the labels are cat \([1-9]\);"):
        plan.sources("train", resolve=Path)


def test_balancing_keeps_of_each_class_as_many_images_as_the_rarest_has():
    def sample(index: int, *names: str) -> Sample:
        return Sample(Path(f"{index}.jpg"), (40, 40), tuple(Label(name, (0, 0, 9, 9)) for name in names))

    samples = [sample(i, "cat") for i in range(20)] + [sample(20, "dog", "cat"), sample(21, "dog")]

    kept = balanced(samples, ("cat", "dog", "never"), seed=1)

    dogs = [one for one in kept if "dog" in {label.name for label in one.labels}]
    assert len(dogs) == 2
    assert 3 <= len(kept) <= 4  # two with cats, of which one may be the dog's
    assert kept == balanced(samples, ("cat", "dog", "never"), seed=1)


def test_a_teacher_is_a_block_of_its_own_that_a_resumed_run_keeps():
    made = spec_of({}, teacher="parent")

    assert made.taolite is not None
    assert made.taolite.teacher is not None
    assert (made.taolite.teacher.model, made.taolite.teacher.weight) == ("parent", 1.0)
    assert spec_of({"num_epochs": 40}, kept=made).taolite == made.taolite
    assert spec_of({}).taolite is None
