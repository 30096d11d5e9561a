"""Classification's spec: which real files are valid, what absent fields act as, and every rule's message."""
# ruff: noqa: E501  (a message reads best on one line)

from __future__ import annotations

from pathlib import Path

import pytest

from taolite import spec
from taolite.errors import SpecError
from taolite.spec import SpecModel
from taolite.spec.shape import shapes
from taolite.tasks.classification.spec import ClassificationSpec, InterpolationMethod

# Every real file binds, but these.
REFUSED = {
    # NVIDIA's template for measuring an engine: its data is to be filled in. TAO: eval_dataset_path should be set.
    "NVIDIA-AI-IOT__nvidia-tao__VehicleTypeNet.txt": [
        'line 2:22: eval_config.eval_dataset_path is ""; it needs a value',
        'line 22:23: train_config.train_dataset_path is ""; it needs a value',
        'line 23:21: train_config.val_dataset_path is ""; it needs a value',
        'line 39:11: train_config.reg_config.type is "none"; it needs to be `L1`, `L2` or `None`; did you mean `None`?',
    ],
    # A spec of TAO Deploy, which reads no more than preprocess_mode and eval_config. TAO itself: optimizer should be set.
    "NVIDIA__tao_deploy__classification_tf1_specs_experiment_spec.txt": [
        "line 11:1: train_config.batch_size_per_gpu is missing; it needs to be more than 0",
        "line 11:1: train_config.lr_config is missing; add the block `lr_config { }`",
        "line 11:1: train_config.n_epochs is missing; it needs to be more than 0",
        "line 11:1: train_config.n_workers is missing; it needs to be more than 0",
        "line 11:1: train_config.optimizer is missing; add the block `optimizer { }`",
        "line 11:1: train_config.reg_config is missing; add the block `reg_config { }`",
        "line 11:1: train_config.train_dataset_path is missing; it needs a value",
        "line 11:1: train_config.val_dataset_path is missing; it needs a value",
    ],
}
SILENT_ON_PREPROCESSING = 12  # real files that leave preprocess_mode out, NVIDIA's own default among them


def test_every_real_file_binds_or_fails_at_the_right_line(shared_data: Path) -> None:
    good = bad = silent = 0
    for file in sorted((shared_data / "tao_specs" / "classification").iterdir()):
        if file.name in REFUSED:
            with pytest.raises(SpecError) as caught:
                spec.load(file, ClassificationSpec)
            assert [row.strip() for row in str(caught.value).splitlines()[1:]] == REFUSED[file.name]
            bad += 1
            continue
        got = spec.read(file, ClassificationSpec)
        silent += any("preprocess_mode is absent" in warning.text for warning in got.warnings)
        assert spec.loads(spec.dumps(got.model), ClassificationSpec) == got.model
        assert spec.loads(spec.dumps(got.model, defaults=True), ClassificationSpec) == got.model
        good += 1

    assert (good, bad, silent) == (24, 2, SILENT_ON_PREPROCESSING)


LEAST = """model_config {
  arch: "resnet"
  use_batch_norm: true
  input_image_size: "3,224,192"
}
train_config {
  train_dataset_path: "train"
  val_dataset_path: "val"
  preprocess_mode: "torch"
  optimizer { sgd { lr: 0.01 momentum: 0.9 } }
  batch_size_per_gpu: 8
  n_epochs: 5
  n_workers: 2
  reg_config { type: "L2" scope: "Conv2D,dense" weight_decay: 5e-5 }
  lr_config { step { learning_rate: 0.006 step_size: 10 gamma: 0.1 } }
}
"""


def problems(text: str) -> list[str]:
    """The problems of `text`, without their places."""
    try:
        spec.loads(text, ClassificationSpec)
    except SpecError as error:
        return [problem.text for problem in error.problems]
    return []


def test_the_least_spec_binds_without_a_warning_and_absent_fields_act_as_in_tao() -> None:
    got = spec.reads(LEAST, ClassificationSpec)

    assert got.warnings == ()
    network, training = got.model.model_config_, got.model.train_config
    assert network.input_chw == (3, 224, 192)
    assert network.n_layers == 18
    assert network.resize_interpolation_method is InterpolationMethod.BILINEAR
    assert network.batch_norm_config is None
    assert not network.own_head
    assert training.random_seed == 0
    assert training.mixup_alpha == training.label_smoothing == 0
    assert not training.disable_horizontal_flip
    assert training.reg_config.layers == {"conv2d", "dense"}
    assert got.model.eval_config is None


def test_the_old_name_of_retain_head_is_understood() -> None:
    for name in ("retain_head", "use_imagenet_head"):
        assert spec.loads(f'arch: "vgg" input_image_size: "1, 32, 32" n_layers: 16 {name}: True', Network).own_head


Network = type(spec.loads(LEAST, ClassificationSpec).model_config_)


def test_an_eval_config_without_top_k_judges_the_likeliest_class() -> None:
    got = spec.loads(LEAST + "eval_config { eval_dataset_path: 'test' n_workers: 1 top_k: 0 }", ClassificationSpec)

    assert got.eval_config is not None
    assert got.eval_config.top_k == 1


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"resnet"', '"resnet18"',
         'model_config.arch is "resnet18"; it needs to be `resnet`, `vgg`, `alexnet`, `googlenet`, `mobilenet_v1`, `mobilenet_v2`, '
         "`squeezenet`, `darknet`, `cspdarknet`, `cspdarknet_tiny`, `efficientnet_b0`, `efficientnet_b1`, `efficientnet_b2`, "
         "`efficientnet_b3`, `efficientnet_b4`, `efficientnet_b5`, `efficientnet_b6`, `efficientnet_b7` or `torchvision`; did you mean `resnet`?"),
        ('"resnet"', '"resnet" n_layers: 20', "model_config.n_layers is 20; a resnet has 10, 18, 34, 50, 101, 152 or 200"),
        ('"resnet"', '"darknet"', "model_config.n_layers is 18 (absent); a darknet has 19 or 53"),
        ('"resnet"', '"resnet" freeze_blocks: 0 freeze_blocks: 5',
         "model_config.freeze_blocks is 5; the blocks of resnet are 0 to 4"),
        ('"resnet"', '"vgg" n_layers: 16 freeze_blocks: 0', "model_config.freeze_blocks is 0; the blocks of vgg are 1 to 5"),
        ('"resnet"', '"efficientnet_b3" freeze_blocks: 9',
         "model_config.freeze_blocks is 9; the blocks of efficientnet_b3 are 0 to 8"),
        ('"resnet"', '"resnet" dropout: 1', "model_config.dropout is 1; it needs to be 0 or more and less than 1"),
        ('"resnet"', '"resnet" activation { }', "model_config.activation.activation_type is missing; it needs a value"),
        ('"resnet"', '"cspdarknet_tiny" activation { activation_type: "selu" }',
         'model_config.activation.activation_type is "selu"; it needs to be one of relu, relu6, leaky_relu, elu, mish, swish'),
        ('"resnet"', '"resnet" torchvision_arch: "resnet18"',
         'model_config.torchvision_arch goes with arch "torchvision", which it names: "resnet18", "convnext_tiny" ...'),
        ('"resnet"', '"torchvision"',
         'model_config.torchvision_arch goes with arch "torchvision", which it names: "resnet18", "convnext_tiny" ...'),
        ("train_config {", "jetson_config { dataset_type: 'voc' } train_config {",
         'jetson_config.dataset_type is "voc", which needs `multi_label: true`'),
        ("train_config {", "jetson_config { multi_label_threshold: 1 } train_config {",
         "jetson_config.multi_label_threshold is 1; it needs to be more than 0 and less than 1"),
        ('"3,224,192"', '""', 'model_config.input_image_size is ""; it needs a value'),
        ('"3,224,192"', '"224,224"', 'model_config.input_image_size is "224,224"; it needs to be "C,H,W", such as "3,224,224"'),
        ('"3,224,192"', '"3,-224,224"',
         'model_config.input_image_size is "3,-224,224"; height and width need to be 16 or more'),
        ('"3,224,192"', '"224,224,3"', 'model_config.input_image_size is "224,224,3"; it needs to begin with 1 or 3, the channels\n'
         'model_config.input_image_size is "224,224,3"; height and width need to be 16 or more'),
        ('"torch"', '"pytorch"',
         'train_config.preprocess_mode is "pytorch"; it needs to be `tf`, `caffe` or `torch`; did you mean `torch`?'),
        ('"train"', '""', 'train_config.train_dataset_path is ""; it needs a value'),
        ("batch_size_per_gpu: 8", "batch_size_per_gpu: 0", "train_config.batch_size_per_gpu is 0; it needs to be more than 0"),
        ("n_epochs: 5", "", "train_config.n_epochs is missing; it needs to be more than 0"),
        ("n_workers: 2", "", "train_config.n_workers is missing; it needs to be more than 0"),
        ("sgd { lr: 0.01 momentum: 0.9 }", "", "train_config.optimizer has no optimizer; add `sgd` or `adam` or `rmsprop`"),
        ("momentum: 0.9 }", "momentum: 0.9 } adam { lr: 1 beta_1: 0.9 beta_2: 0.9 epsilon: 1e-7 }",
         "train_config.optimizer.adam is given beside `sgd`; only one optimizer can be"),
        ("lr: 0.01", "lr: 0", "train_config.optimizer.sgd.lr is 0; it needs to be more than 0"),
        ("momentum: 0.9", "momentum: -1", "train_config.optimizer.sgd.momentum is -1; it needs to be 0 or more and less than 1"),
        ('type: "L2"', 'type: "l2"', 'train_config.reg_config.type is "l2"; it needs to be `L1`, `L2` or `None`; did you mean `L2`?'),
        ('scope: "Conv2D,dense"', "", "train_config.reg_config.scope is missing; it needs a value"),
        ("weight_decay: 5e-5", "weight_decay: 0", "train_config.reg_config.weight_decay is 0; it needs to be more than 0"),
        ("weight_decay: 5e-5", "weight_decay: 1",
         "train_config.reg_config.weight_decay is 1; it needs to be more than 0 and less than 1"),
        ("step {", "cosine { learning_rate: 1 } step {", "train_config.lr_config.cosine is given beside `step`; only one schedule can be"),
        ("step_size: 10", "", "train_config.lr_config.step.step_size is missing; it needs to be more than 0 and 100 or less"),
        ("gamma: 0.1", "gamma: 2", "train_config.lr_config.step.gamma is 2; it needs to be from 0 to 1"),
        ("step { learning_rate: 0.006 step_size: 10 gamma: 0.1 }", "soft_anneal { learning_rate: 1 soft_start: 0.3 annealing_points: [0.3, 0.6] annealing_divider: 2 }",
         "train_config.lr_config.soft_anneal.annealing_points is 0.3; it needs to be more than 0.3 (soft_start)"),
        ("step { learning_rate: 0.006 step_size: 10 gamma: 0.1 }", "soft_anneal { learning_rate: 1 annealing_points: [0.6, 0.3] annealing_divider: 2 }",
         "train_config.lr_config.soft_anneal.annealing_points is 0.3; it needs to be more than 0.6 (the point before)"),
        ("step { learning_rate: 0.006 step_size: 10 gamma: 0.1 }", "soft_anneal { learning_rate: 1 annealing_points: 0.6 }",
         "train_config.lr_config.soft_anneal.annealing_divider is 0 or absent; with annealing_points it needs to be more than 0"),
        ("step { learning_rate: 0.006 step_size: 10 gamma: 0.1 }", "cosine { learning_rate: 1 min_lr_ratio: 1.5 }",
         "train_config.lr_config.cosine.min_lr_ratio is 1.5; it needs to be from 0 to 1"),
        ("n_epochs: 5", "n_epochs: 5 label_smoothing: 1", "train_config.label_smoothing is 1; it needs to be 0 or more and less than 1"),
        ("n_epochs: 5", "n_epochs: 5 mixup_alpha: -0.2", "train_config.mixup_alpha is -0.2; it needs to be 0 or more"),
        ('"torch"', '"caffe" image_mean { key: "r" value: 123 }',
         "train_config.image_mean has no `g` and `b`, and the input is in colour"),
        ('"torch"', '"caffe" image_mean { key: "red" value: 123 }',
         'train_config.image_mean["red"] is no channel; the keys are `r`, `g` and `b`, or `l` of grey\n'
         "train_config.image_mean has no `r` and `g` and `b`, and the input is in colour"),
        ("model_config {", "eval_config { eval_dataset_path: 'x' }\nmodel_config {",
         "eval_config.n_workers is missing; it needs to be more than 0"),
        ("model_config {", "eval_config { n_workers: 1 }\nmodel_config {", "eval_config.eval_dataset_path is missing; it needs a value"),
    ],
)  # fmt: skip
def test_each_rule_has_its_one_message(old: str, new: str, problem: str) -> None:
    assert LEAST.count(old) == 1

    assert sorted(problems(LEAST.replace(old, new))) == sorted(problem.split("\n"))


def test_a_missing_part_of_the_spec_is_named() -> None:
    assert problems("") == [
        "model_config is missing; add the block `model_config { }`",
        "train_config is missing; add the block `train_config { }`",
    ]


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ('preprocess_mode: "torch"', "",
         "train_config.preprocess_mode is absent and acts as `caffe` (TAO refuses the spec); say which one you mean"),
        ('"torch"', '"tf" image_mean { key: "r" value: 1 } image_mean { key: "g" value: 1 } image_mean { key: "b" value: 1 }',
         "train_config.image_mean has no effect with preprocess_mode tf"),
        ("n_epochs: 5", "n_epochs: 5 enable_color_augmentation: true",
         "train_config.enable_color_augmentation has no effect without enable_random_crop, as in TAO"),
        ("n_epochs: 5", "n_epochs: 5 model_parallelism: 0.5",
         "train_config.model_parallelism is read and has no effect: a network is not split over GPUs here"),
        ("sgd { lr: 0.01 momentum: 0.9 }", "adam { lr: 0.01 beta_1: 0.9 beta_2: 0.999 }",
         "train_config.optimizer.adam.epsilon is 0 or absent, which counts as 0; 1e-7 is usual"),
        ("sgd { lr: 0.01 momentum: 0.9 }", "rmsprop { lr: 0.01 epsilon: 1e-7 }",
         "train_config.optimizer.rmsprop.rho is 0 or absent, which counts as 0; 0.9 is usual"),
        ("Conv2D,dense", "Conv2D,DepthwiseConv2D",
         'train_config.reg_config.scope names "DepthwiseConv2D", which is no layer here; Conv2D and Dense are'),
        ("gamma: 0.1", "", "train_config.lr_config.step.gamma is 0 or absent: the rate is 0 from the second step on; 0.1 is usual"),
        ("use_batch_norm: true", "", "model_config.use_batch_norm is false or absent: the network has no batch normalisation"),
        ("use_batch_norm: true", "use_batch_norm: true dropout: 0.5", "model_config.dropout has no effect: it is vgg's alone, as in TAO"),
        ("use_batch_norm: true", 'use_batch_norm: true activation { activation_type: "relu" }',
         "model_config.activation has no effect: it is that of cspdarknet and efficientnet, as in TAO"),
        ('"resnet"', '"cspdarknet_tiny" activation { activation_type: "relu" activation_parameters { key: "alpha" value: 0.2 } }',
         "model_config.activation.activation_parameters has no effect, as in TAO"),
        ("use_batch_norm: true", "use_batch_norm: true batch_norm_config { momentum: 0.9 }",
         "model_config.batch_norm_config.epsilon is 0 or absent, which counts as 0 in this block; 1e-5 is usual"),
        ("train_config {", "jetson_config { } train_config { enable_random_crop: true",
         "train_config.enable_random_crop has no effect beside jetson_config, whose crops are torchvision's"),
        ("model_config {", "eval_config { eval_dataset_path: 'x' n_workers: 1 enable_center_crop: true }\nmodel_config {",
         "eval_config.enable_center_crop differs from train_config's: `evaluate` sees other pictures than validation does"),
    ],
)  # fmt: skip
def test_what_is_legal_and_still_odd_is_a_warning(old: str, new: str, warning: str) -> None:
    assert LEAST.count(old) == 1

    assert [found.text for found in spec.reads(LEAST.replace(old, new), ClassificationSpec).warnings] == [warning]


def test_every_field_has_a_sentence_and_a_default_that_its_own_text_takes() -> None:
    found: set[type[SpecModel]] = set()
    waiting: list[type[SpecModel]] = [ClassificationSpec]
    while waiting:
        model = waiting.pop()
        found.add(model)
        waiting += [shape.model for shape in shapes(model).values() if shape.model and shape.model not in found]

    assert len(found) == 23
    for model in found:
        for name, info in model.model_fields.items():
            assert info.description, (model, name)
            assert info.description.endswith("."), (model, name)
        for shape in shapes(model).values():
            if shape.default is not None and shape.kind in ("int", "float") and shape.repeats == "no":
                assert shape.range.holds(shape.default), (model, shape.name)
