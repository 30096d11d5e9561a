"""SSD's spec: which real files are valid, what absent fields act as, and every rule's message."""
# ruff: noqa: E501  (a message reads best on one line)

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taolite import spec
from taolite.errors import SpecError
from taolite.spec import SpecModel
from taolite.spec.shape import shapes
from taolite.tasks.detectnet.spec import DatasetExportSpec
from taolite.tasks.ssd.spec import AveragePrecisionMode, Command, RegularizerType, SsdSpec, check_needs, literals

from .least import LEAST

DSSD = (
    "line 2:1: dssd_config is refused: DSSD's deconvolutions are not built in this version; rename the block "
    "`ssd_config` and train with --arch ssd (or without --arch) for an SSD on the same backbone"
)
# Every real file binds, but these.
REFUSED = {
    # Written for TLT 1: RetinaNet's cost, DetectNet's augmentation and folds. TAO 5.0's SSD has no such fields either.
    "sangyy__TLT-DOCKER-SSD-MOBILENET__ssd_train_mobilenet_v2_kitti.txt": [
        "line 7:3: ssd_config.loss_loc_weight is not a field here",
        "line 8:3: ssd_config.focal_loss_alpha is not a field here",
        "line 9:3: ssd_config.focal_loss_gamma is not a field here",
        "line 41:1: augmentation_config.output_channel is missing; it needs to be 1 or 3",
        "line 41:1: augmentation_config.output_height is missing; it needs to be more than 32",
        "line 41:1: augmentation_config.output_width is missing; it needs to be more than 32",
        "line 42:3: augmentation_config.preprocessing is not a field here",
        "line 51:3: augmentation_config.spatial_augmentation is not a field here; did you mean `saturation`?",
        "line 59:3: augmentation_config.color_augmentation is not a field here",
        "line 71:3: dataset_config.image_extension is not a field here",
        "line 80:1: dataset_config.validation_fold is not a field here; did you mean `validation_data_sources`?",
    ],
    "NVIDIA-AI-IOT__nvidia-tao__dssd_train_resnet18_kitti.txt": [DSSD],
    # NVIDIA's default of `ssd`; its pred_num_channels of 128 is none that TAO takes, which is not told beside DSSD.
    "NVIDIA__tao_tensorflow1_backend__ssd_experiment_specs_default_spec.txt": [DSSD],
}


@pytest.mark.parametrize(("folder", "good", "bad"), [("ssd", 4, 1), ("dssd", 0, 2)])
def test_every_real_file_binds_or_fails_at_the_right_line(shared_data: Path, folder: str, good: int, bad: int) -> None:
    found = [0, 0]
    for file in sorted((shared_data / "tao_specs" / folder).iterdir()):
        if file.name in REFUSED:
            with pytest.raises(SpecError) as caught:
                spec.load(file, SsdSpec)
            assert [row.strip() for row in str(caught.value).splitlines()[1:]] == REFUSED[file.name]
            found[1] += 1
            continue
        got = spec.read(file, SsdSpec)
        assert got.warnings == ()
        assert spec.loads(spec.dumps(got.model), SsdSpec) == got.model
        assert spec.loads(spec.dumps(got.model, defaults=True), SsdSpec) == got.model
        found[0] += 1

    assert found == [good, bad]


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA-AI-IOT__nvidia-tao__ssd_tfrecords_kitti_train.txt",
        "NVIDIA-AI-IOT__nvidia-tao__dssd_tfrecords_kitti_train.txt",
        "sangyy__TLT-DOCKER-SSD-MOBILENET__ssd_tfrecords_kitti_trainval.txt",
    ],
)
def test_the_conversion_specs_of_ssd_bind(shared_data: Path, name: str) -> None:
    got = spec.load(shared_data / "tao_specs" / "tfrecords" / name, DatasetExportSpec)

    assert got.kitti_config is not None


def test_every_network_of_nvidias_notebooks_has_all_that_training_needs(shared_data: Path) -> None:
    for name in ("ssd_train_resnet18_kitti", "ssd_retrain_resnet18_kitti"):
        path = shared_data / "tao_specs" / "ssd" / f"NVIDIA-AI-IOT__nvidia-tao__{name}.txt"
        check_needs(spec.load(path, SsdSpec), "train", path=path)


def problems(text: str, model: type[SpecModel] = SsdSpec) -> list[str]:
    """The problems of `text`, without their places."""
    try:
        spec.loads(text, model)
    except SpecError as error:
        return [problem.text for problem in error.problems]
    return []


def test_the_least_spec_binds_without_a_warning_and_absent_fields_act_as_in_tao() -> None:
    got = spec.reads(LEAST, SsdSpec)

    assert got.warnings == ()
    network, training, views = got.model.ssd_config, got.model.training_config, got.model.augmentation_config
    evaluation, data = got.model.eval_config, got.model.dataset_config
    assert network is not None
    assert training is not None
    assert views is not None
    assert evaluation is not None
    assert data is not None
    assert (network.alpha, network.neg_pos_ratio, network.pos_iou_thresh, network.neg_iou_thresh) == (1, 3, 0.5, 0.5)
    assert (network.pred_num_channels, network.two_boxes_for_ar1, network.clip_boxes) == (0, False, False)
    assert (views.random_crop_min_scale, views.random_crop_max_scale) == (0.3, 1.0)
    assert (views.random_crop_min_ar, views.random_crop_max_ar) == (0.5, 2.0)
    assert (views.zoom_out_min_scale, views.zoom_out_max_scale) == (1.0, 4.0)
    assert (views.brightness, views.contrast, views.saturation, views.hue, views.random_flip) == (0, 0, 0, 0, 0)
    assert (training.checkpoint_interval, training.regularizer.type) == (1, RegularizerType.NO_REG)
    assert evaluation.average_precision_mode is AveragePrecisionMode.SAMPLE
    assert data.classes == ("ape", "cat")
    assert got.model.random_seed == 0


def test_an_explicit_0_acts_as_absent_where_tao_cannot_tell_them_apart() -> None:
    zeros = "alpha: 0 neg_pos_ratio: 0 pos_iou_thresh: 0 neg_iou_thresh: 0"
    views = "random_crop_min_scale: 0 random_crop_max_ar: 0 zoom_out_min_scale: 0 zoom_out_max_scale: 0"

    plain = spec.loads(LEAST, SsdSpec)
    text = LEAST.replace("nlayers: 18", f"nlayers: 18 {zeros}").replace(
        "output_channel: 3", f"output_channel: 3 {views}"
    )
    assert spec.loads(text, SsdSpec) == plain


def test_lists_in_strings_are_numbers() -> None:
    network = spec.loads(LEAST, SsdSpec).ssd_config

    assert network is not None
    assert network.ratios == ((1.0, 2.0, 0.5, 3.0, 1 / 3),) * 6
    assert network.anchor_scales == (0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
    assert network.offset_variances == (0.1, 0.1, 0.2, 0.2)
    assert network.steps_yx is None
    assert network.offsets_yx == ((0.5, 0.5),) * 6


def test_lists_of_each_map_pairs_and_even_scales_are_understood() -> None:
    text = """aspect_ratios: "[[1.0], (2.0, 0.5), [1], [1], [1], [3]]" min_scale: 0.1 max_scale: 0.7
    variances: "(.1,.1,.2,.2)" arch: "mobilenet_v1" steps: "[8, (16, 32), 32, 64, 100, 300]"
    offsets: "[0.5, 0.5, (0.25, 0.75), 0.5, 0.5, 0.5]" """

    network = spec.loads(text, type(spec.loads(LEAST, SsdSpec).ssd_config))  # type: ignore[type-var]
    assert network is not None
    assert network.ratios[:2] == ((1.0,), (2.0, 0.5))
    assert network.anchor_scales == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))
    assert network.steps_yx is not None
    assert network.steps_yx[:2] == ((8, 8), (16, 32))
    assert network.offsets_yx[2] == (0.25, 0.75)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("[1, 2", "it is not closed, or not a list at all"),
        ("[1, x]", "`x` is no number"),
        ("[__import__('os').system('ls')]", "`__import__('os').system('ls')` is no number"),
        ("[2 ** 9]", "`2 ** 9` is no number"),
        ("[True]", "`True` is no number"),
        ("[1/0]", "it divides by 0"),
        ("[1e308 * 10]", "a number is too large"),
        ("3", "it is a number, not a list"),
        ("[[1]]", "a list stands where a number is needed"),
        ("[" * 3000, "it is not closed, or not a list at all"),
        ("1," * 6000, "it is longer than 10000 characters"),
    ],
)
def test_a_string_that_is_no_list_of_numbers_is_told_why_and_never_run(written: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        literals.numbers(written)


RULES = [
    # network
    ("scales: \"[0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85]\"", 'scales: "[0.1, 0.2]"', 'ssd_config.scales is "[0.1, 0.2]"; it needs to be 7 numbers above 0 (it has others)'),
    ("scales: \"[0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85]\"", "", "ssd_config has neither `scales` nor `min_scale` and `max_scale` above 0; add them"),
    ("scales: \"[0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85]\"", "min_scale: 0.5 max_scale: 0.2", "ssd_config.max_scale is 0.2; it needs to be more than 0.5 (min_scale)"),
    ('aspect_ratios_global: "[1.0, 2.0, 0.5, 3.0, 1.0/3.0]"', "", "ssd_config has neither `aspect_ratios` nor `aspect_ratios_global`; add one of them"),
    ("1.0/3.0", "1.0/0", 'ssd_config.aspect_ratios_global is "[1.0, 2.0, 0.5, 3.0, 1.0/0]"; it needs to be a list of numbers above 0 (it divides by 0)'),
    ("aspect_ratios_global", "aspect_ratios", 'ssd_config.aspect_ratios is "[1.0, 2.0, 0.5, 3.0, 1.0/3.0]"; it needs to be 6 lists of numbers above 0 (1 stands where a list is needed)'),
    ('"[0.1, 0.1, 0.2, 0.2]"', '"[0.1, 0.1, 0.2, 0]"', 'ssd_config.variances is "[0.1, 0.1, 0.2, 0]"; it needs to be 4 numbers above 0 (it has others)'),
    ("nlayers: 18", 'nlayers: 18 steps: "[8, 16, (1, 2, 3)]"', 'ssd_config.steps is "[8, 16, (1, 2, 3)]"; it needs to be 6 numbers, or 6 pairs (y, x), above 0 (an entry is neither a number nor a pair)'),
    ("nlayers: 18", 'nlayers: 18 offsets: "[1, 1, 1, 1, 1, 1]"', 'ssd_config.offsets is "[1, 1, 1, 1, 1, 1]"; it needs to be 6 numbers, or 6 pairs (y, x), more than 0 and less than 1 (it has others)'),
    ("nlayers: 18", "", "ssd_config.nlayers is 0 (absent); a resnet has 10, 18, 34, 50 or 101"),
    ("nlayers: 18", "nlayers: 18 pred_num_channels: 128", "ssd_config.pred_num_channels is 128; it needs to be 0, 256, 512 or 1024"),
    ("nlayers: 18", "nlayers: 18 pos_iou_thresh: 0.4", "ssd_config.neg_iou_thresh is 0.5; it needs to be 0.4 (pos_iou_thresh) or less"),
    ('"resnet"', '"efficientnet_b1"', 'ssd_config.arch is "efficientnet_b1"; it needs to be `resnet`, `vgg`, `darknet`, `mobilenet_v1`, `mobilenet_v2`, `squeezenet`, `googlenet` or `efficientnet_b0`; did you mean `efficientnet_b0`?'),
    # training
    ("batch_size_per_gpu: 2", "", "training_config.batch_size_per_gpu is missing; it needs to be more than 0"),
    ("soft_start: 0.1", "soft_start: 0.6", "training_config.learning_rate.soft_start_annealing_schedule.soft_start is 0.6; it needs to be less than 0.6 (annealing)"),
    ("annealing: 0.6", "annealing: 1", "training_config.learning_rate.soft_start_annealing_schedule.annealing is 1; it needs to be more than 0 and less than 1"),
    ("regularizer { }", "", "training_config.regularizer is missing; add the block `regularizer { }`"),
    ("regularizer { }", "regularizer { type: L1 }", "training_config.regularizer.weight is 0; it needs to be more than 0 and less than 1 with the type L1"),
    ("regularizer { }", "regularizer { } early_stopping { monitor: \"mAP\" }", 'training_config.early_stopping.monitor is "mAP"; it needs to be `loss`, `validation_loss` or `val_loss`'),
    ("regularizer { }", "regularizer { } pruned_model_path: 'a' resume_model_path: 'b'", "training_config.pruned_model_path is given beside `resume_model_path`; only one model can be"),
    # evaluation
    ("matching_iou_threshold: 0.5", "matching_iou_threshold: 1", "eval_config.matching_iou_threshold is 1; it needs to be more than 0 and less than 1"),
    ("confidence_threshold: 0.01", "confidence_threshold: 0", "nms_config.confidence_threshold is 0; it needs to be more than 0 and less than 1"),
    ("top_k: 200", "top_k: 0", "nms_config.top_k is 0; it needs to be more than 0"),
    # views
    ("output_width: 96", "output_width: 32", "augmentation_config.output_width is 32; it needs to be more than 32"),
    ("output_channel: 3", "output_channel: 2", "augmentation_config.output_channel is 2; it needs to be 1 or 3"),
    ("output_channel: 3", "output_channel: 3 random_flip: 1", "augmentation_config.random_flip is 1; it needs to be 0 or more and less than 1"),
    ("output_channel: 3", "output_channel: 3 zoom_out_min_scale: 5", "augmentation_config.zoom_out_max_scale is 4 (absent); it needs to be 5 (zoom_out_min_scale) or more"),
    ("output_channel: 3", "output_channel: 3 random_crop_min_scale: 0.9 random_crop_max_scale: 0.5", "augmentation_config.random_crop_max_scale is 0.5; it needs to be 0.9 (random_crop_min_scale) or more"),
    ("output_channel: 3", "output_channel: 3 image_mean { key: 'r' value: 1 }", "augmentation_config.image_mean has no `g` and `b`, and the input is in colour"),
    ("output_channel: 3", "output_channel: 1 image_mean { key: 'l' value: 300 }", 'augmentation_config.image_mean["l"] is 300; it needs to be from 0 to 255'),
    # data
    ('value: "cat"', 'value: ""', 'dataset_config.target_class_mapping["Cat"] is ""; it needs a value'),
    ('data_sources { label_directory_path: "labels" image', "data_sources { image", "dataset_config.data_sources needs `label_directory_path` and `image_directory_path`, or `tfrecords_path`"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "message"), RULES)
def test_each_rule_has_its_one_message(good: str, bad: str, message: str) -> None:
    assert good in LEAST

    assert problems(LEAST.replace(good, bad, 1)) == [message]


def test_the_cosine_of_other_networks_is_refused_with_the_way_out() -> None:
    head, _, tail = LEAST.partition("soft_start_annealing_schedule {")
    text = f"{head}soft_start_cosine_annealing_schedule {{ max_learning_rate: 1 }} }} {tail.partition('} }')[2]}"

    at = "training_config.learning_rate.soft_start_cosine_annealing_schedule"
    assert problems(text) == [f"{at} is not taken by SSD, as in TAO; use `soft_start_annealing_schedule`"]


def test_stopping_on_the_validation_cost_needs_one_after_every_epoch() -> None:
    for monitor, refused in (("loss", False), ("val_loss", True), ("validation_loss", True)):
        text = LEAST.replace(
            "regularizer { }", f'regularizer {{ }} early_stopping {{ monitor: "{monitor}" patience: 2 }}'
        )

        assert problems(text) == []
        said = problems(text.replace("validation_period_during_training: 1", "validation_period_during_training: 2"))
        at = "eval_config.validation_period_during_training"
        wanted = f"{at} is 2; early_stopping on {monitor} needs 1, a validation after every epoch"
        assert said == ([wanted] if refused else [])


WARNED = [
    ("training_config {", "training_config { optimizer { sgd { momentum: 0.5 } }", "training_config.optimizer is read and has no effect: TAO's SSD is trained by SGD with momentum 0.9, whatever is written here"),
    ("training_config {", 'training_config { pretrain_model_path: "a"', "training_config.pretrain_model_path is read and has no effect: TAO's SSD does not look at it; give the model to `train -m`"),
    ("training_config {", "training_config { max_queue_size: 3", "training_config.max_queue_size is read and has no effect: batches are prepared as far ahead as there are workers"),
    ("training_config {", "training_config { use_multiprocessing: true", "training_config.use_multiprocessing is read and has no effect: images are prepared in threads"),
    ("training_config {", "training_config { cost_scaling { enabled: true }", "training_config.cost_scaling is read and has no effect: TAO's SSD does not scale its cost"),
    ("training_config {", "training_config { model_ema: true", "training_config.model_ema is read and has no effect: TAO's SSD keeps no moving average of its weights"),
    ("top_k: 200", "top_k: 200 infer_nms_score_bits: 4", "nms_config.infer_nms_score_bits is read and has no effect: no TensorRT plugin is exported"),
    ("top_k: 200", "top_k: 200 force_on_cpu: true", "nms_config.force_on_cpu is read and has no effect: boxes are always suppressed on the host"),
    ("nlayers: 18", 'nlayers: 18 mean_color: "[1, 2, 3]"', "ssd_config.mean_color is read and has no effect: the mean is augmentation_config.image_mean's, as in TAO"),
    ("nlayers: 18", "nlayers: 18 min_scale: 0.1", "ssd_config.min_scale has no effect beside scales"),
    ("nlayers: 18", 'nlayers: 18 aspect_ratios: "[[1],[1],[1],[1],[1],[1]]"', "ssd_config.aspect_ratios_global has no effect beside aspect_ratios"),
    ('value: "cat"', 'value: "Cat"', 'dataset_config.target_class_mapping["Cat"] is "Cat"; the class is called "cat", in lower case, everywhere'),
    ("dataset_config {", "dataset_config { include_difficult_in_training: false", "dataset_config.include_difficult_in_training has no effect: occluded objects are learned, as in TAO"),
    ("dataset_config {", 'dataset_config { type: "coco"', "dataset_config.type is read and has no effect: labels of folders are KITTI's"),
    ("data_sources {", 'data_sources { root_path: "a"', "dataset_config.data_sources.root_path is read and has no effect: folders are given whole, as in TAO"),
    ("dataset_config {", 'dataset_config { validation_data_sources { image_directory_path: "a" }', "dataset_config.validation_data_sources has no label or no image folder and is passed over, as in TAO"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "odd", "warning"), WARNED)
def test_what_tao_ignores_is_read_with_a_warning(good: str, odd: str, warning: str) -> None:
    assert good in LEAST

    assert [row.text for row in spec.reads(LEAST.replace(good, odd, 1), SsdSpec).warnings] == [warning]


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (
            "train",
            ["ssd_config", "training_config", "eval_config", "augmentation_config", "nms_config", "dataset_config"],
        ),
        ("evaluate", ["ssd_config", "eval_config", "augmentation_config", "nms_config", "dataset_config"]),
        ("inference", ["dataset_config"]),
        ("export", ["ssd_config", "augmentation_config", "nms_config", "dataset_config"]),
    ],
)
def test_each_command_says_all_that_it_misses(command: Command, missing: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        check_needs(SsdSpec(), command, path="s.txt")

    rows = [f"{name} is missing, which `{command}` needs; add the block `{name} {{ }}`" for name in missing]
    assert sorted(problem.text for problem in caught.value.problems) == sorted(rows)


def test_training_needs_data_and_evaluation_what_it_is_validated_on() -> None:
    found = spec.loads(LEAST, SsdSpec)
    data = found.dataset_config
    assert data is not None
    bare = found.model_copy(
        update={"dataset_config": data.model_copy(update={"data_sources": (), "validation_data_sources": ()})}
    )

    check_needs(found, "train", path="s.txt")
    check_needs(bare, "export", path="s.txt")
    with pytest.raises(SpecError) as caught:
        check_needs(bare, "train", path="s.txt")
    assert str(caught.value).splitlines() == [
        "s.txt: 2 problems",
        "  dataset_config.data_sources is missing, which `train` needs; add one or more, `data_sources { }`",
        "  dataset_config.validation_data_sources is missing, which `train` needs; add one or more, `validation_data_sources { }`",
    ]


def test_a_spec_with_jetson_config_needs_none_of_taos_messages() -> None:
    check_needs(spec.loads("jetson_config { }", SsdSpec), "train", path="s.txt")


def fields(model: type[SpecModel], path: str = "") -> list[str]:
    found = []
    for name, shape in shapes(model).items():
        found.append(f"{path}{name}")
        if shape.model is not None and name not in ("jetson_config", "dssd_config", "wandb_config", "clearml_config"):
            found += fields(shape.model, f"{path}{name}.")
    return found


def test_every_field_of_taos_schema_is_here() -> None:
    ours = set(fields(SsdSpec))

    theirs = {
        "dataset_config": "data_sources target_class_mapping validation_data_sources include_difficult_in_training type",
        "dataset_config.data_sources": "label_directory_path image_directory_path root_path tfrecords_path",
        "augmentation_config": "output_width output_height output_channel random_crop_min_scale random_crop_max_scale "
        "random_crop_min_ar random_crop_max_ar zoom_out_min_scale zoom_out_max_scale brightness contrast saturation hue "
        "random_flip image_mean",
        "training_config": "batch_size_per_gpu num_epochs learning_rate regularizer optimizer cost_scaling "
        "checkpoint_interval enable_qat resume_model_path pretrain_model_path pruned_model_path max_queue_size n_workers "
        "use_multiprocessing early_stopping visualizer model_ema",
        "eval_config": "validation_period_during_training average_precision_mode batch_size matching_iou_threshold "
        "visualize_pr_curve",
        "nms_config": "confidence_threshold clustering_iou_threshold top_k infer_nms_score_bits force_on_cpu",
        "ssd_config": "aspect_ratios aspect_ratios_global scales min_scale max_scale two_boxes_for_ar1 steps clip_boxes "
        "variances offsets mean_color arch nlayers pred_num_channels alpha neg_pos_ratio pos_iou_thresh neg_iou_thresh "
        "freeze_blocks freeze_bn",
    }
    wanted = {f"{message}.{name}" for message, names in theirs.items() for name in names.split()}
    assert wanted - ours == set()
