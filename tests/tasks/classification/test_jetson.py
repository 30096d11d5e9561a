"""train.py's flags as a spec: what each changes, and what a run that goes on keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite import spec as specs
from taolite.errors import SpecError
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
    assert 0 < training.lr_config.cosine.learning_rate <= 0.01
    assert training.lr_config.cosine.soft_start > 0


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
