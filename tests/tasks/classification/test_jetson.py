"""train.py's flags as a spec: what each changes, and what a run that goes on keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite import spec as specs
from taolite.errors import SpecError, UsageError
from taolite.tasks.classification.jetson import Settings, spec_of, template
from taolite.tasks.classification.spec import ClassificationSpec


def test_the_template_is_a_spec_without_a_warning():
    text = specs.dumps(template())

    assert specs.reads(text, ClassificationSpec).warnings == ()


def test_no_flag_is_resnet18_from_published_weights_at_a_rate_that_keeps_their_features():
    made = spec_of(Settings())

    model, training = made.model_config_, made.train_config
    assert (model.arch, model.torchvision_arch, model.input_chw) == ("torchvision", "resnet18", (3, 224, 224))
    assert training.pretrained_model_path == "torchvision://resnet18"
    assert (training.n_epochs, training.batch_size_per_gpu) == (35, 8)
    assert training.lr_config.cosine is not None
    assert (training.optimizer.sgd, training.lr_config.cosine.learning_rate) == (None, 1e-4)
    assert training.lr_config.cosine.soft_start > 0
    assert made.jetson_config is not None
    assert (model.freeze_bn, made.jetson_config.head_rate, made.jetson_config.crop_area) == (True, 10.0, 0.25)


@pytest.mark.parametrize(("pretrained", "rate"), [("", 1e-3), ("/m/pruned.tlt", 3e-4)])
def test_without_published_weights_all_layers_learn_alike_and_batch_norms_from_the_pictures(
    pretrained: str, rate: float
):
    made = spec_of(Settings(pretrained=pretrained))

    assert made.jetson_config is not None
    assert made.train_config.lr_config.cosine is not None
    assert made.train_config.lr_config.cosine.learning_rate == rate
    assert (made.model_config_.freeze_bn, made.jetson_config.head_rate) == (False, 1.0)


def test_a_rate_without_an_optimizer_is_that_of_sgd_as_in_train_py():
    made = spec_of(Settings(learning_rate=0.01)).train_config
    adam = spec_of(Settings(learning_rate=0.01, optimizer="adam")).train_config

    assert made.optimizer.adam is None
    assert made.optimizer.sgd is not None
    assert (made.optimizer.sgd.lr, made.optimizer.sgd.momentum) == (0.01, 0.9)
    assert made.lr_config.cosine is not None
    assert made.lr_config.cosine.learning_rate == 0.01
    assert adam.optimizer.adam is not None
    assert adam.optimizer.adam.lr == 0.01


def test_a_momentum_for_adam_is_refused():
    with pytest.raises(UsageError, match=r"--momentum is of --optimizer=sgd"):
        spec_of(Settings(momentum=0.5, optimizer="adam"))


def test_their_way_is_their_optimizer_rate_and_crops():
    made = spec_of(Settings(compat=True))

    assert made.jetson_config is not None
    assert (made.jetson_config.crop_area, made.jetson_config.head_rate) == (0.08, 1.0)
    assert made.train_config.optimizer.sgd is not None
    assert made.train_config.optimizer.sgd.momentum == 0.9
    assert not made.model_config_.freeze_bn


@pytest.mark.parametrize(
    ("settings", "path", "value"),
    [
        (Settings(arch="convnext_tiny"), "model_config_.torchvision_arch", "convnext_tiny"),
        (Settings(arch="vgg16"), "train_config.pretrained_model_path", "torchvision://vgg16"),
        (Settings(arch="vgg16", pretrained="/w/vgg.pth"), "train_config.pretrained_model_path", "/w/vgg.pth"),
        (Settings(pretrained=""), "train_config.pretrained_model_path", ""),
        (Settings(resolution=299), "model_config_.input_image_size", "3,299,299"),
        (Settings(epochs=5), "train_config.n_epochs", 5),
        (Settings(batch_size=32), "train_config.batch_size_per_gpu", 32),
        (Settings(learning_rate=0.02), "train_config.lr_config.cosine.learning_rate", 0.02),
        (Settings(momentum=0.0), "train_config.optimizer.sgd.momentum", 0.0),
        # torch's decay w adds w * x to the gradient; TAO's weight_decay v adds v * x ** 2 to the cost
        (Settings(weight_decay=1e-3), "train_config.reg_config.weight_decay", 5e-4),
        (Settings(weight_decay=0.0), "train_config.reg_config.type", "None"),
        (Settings(seed=7), "train_config.random_seed", 7),
        (Settings(multi_label=True), "jetson_config.multi_label", True),
        (Settings(multi_label=True, multi_label_threshold=0.3), "jetson_config.multi_label_threshold", 0.3),
        (Settings(dataset=Path("/d")), "train_config.train_dataset_path", "/d/train"),
        (Settings(dataset=Path("/d")), "train_config.val_dataset_path", "/d/val"),
        (
            Settings(dataset=Path("/d"), dataset_type="voc", multi_label=True),
            "train_config.val_dataset_path",
            "/d",
        ),
        (Settings(compat=True), "train_config.lr_config.stairs.epochs", 30),
        (Settings(compat=True, learning_rate=0.2), "train_config.lr_config.stairs.learning_rate", 0.2),
        (Settings(compat=True), "train_config.lr_config.cosine", None),
    ],
)
def test_each_flag_sets_its_field(settings: Settings, path: str, value: object):
    found: object = spec_of(settings)
    for name in path.split("."):
        found = getattr(found, name)

    assert found == value


def test_a_run_that_goes_on_keeps_every_setting_that_is_not_given_again():
    kept = spec_of(Settings(arch="alexnet", learning_rate=0.003, batch_size=4, pretrained="", compat=True))

    again = spec_of(Settings(epochs=100), kept=kept)

    assert again.train_config.n_epochs == 100
    assert spec_of(Settings(epochs=35), kept=again) == kept


def test_tagged_data_without_multi_label_is_refused():
    with pytest.raises(SpecError, match=r'jetson_config.dataset_type is "voc", which needs `multi_label: true`'):
        spec_of(Settings(dataset_type="voc"))


def test_a_teacher_is_a_block_of_its_own_that_a_resumed_run_keeps():
    made = spec_of(Settings(teacher="/m/big.tlt"))

    assert made.taolite is not None
    assert made.taolite.teacher is not None
    assert (made.taolite.teacher.model, made.taolite.teacher.weight) == ("/m/big.tlt", 1.0)
    assert spec_of(Settings(epochs=40), kept=made).taolite == made.taolite
    assert spec_of(Settings()).taolite is None
