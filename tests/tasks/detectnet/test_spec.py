"""DetectNet_v2's specs: which real files are valid, what absent fields act as, and every rule's message."""
# ruff: noqa: E501  (a message reads best on one line)

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from taolite import spec
from taolite.errors import SpecError
from taolite.nn.archs import ARCHS
from taolite.spec import SpecModel
from taolite.spec.shape import Shape, shapes
from taolite.spec.text import Scalar, parse
from taolite.spec.values import UnfitError, value_of
from taolite.tasks.detectnet.spec import (
    AveragePrecisionMode,
    ClasswiseBboxHandler,
    ClusteringAlgorithm,
    DatasetExportSpec,
    DetectNetSpec,
    InferenceSpec,
    RegularizerType,
    network,
)

FOLDERS: dict[str, type[SpecModel]] = {
    "detectnet_v2": DetectNetSpec,
    "detectnet_v2_inference": InferenceSpec,
    "tfrecords": DatasetExportSpec,
}

# Every real file binds, but these. The reasons are TAO's own (reference 1.2, 13.4).
REFUSED = {
    # NVIDIA's template for measuring an engine: its data is to be filled in. TAO: data_sources should be set.
    "NVIDIA-AI-IOT__nvidia-tao__DashCamNet_trt.txt": [
        "line 2:1: dataset_config.data_sources is missing; add one or more",
    ],
    # The same, with empty paths. TAO: tfrecords_path should be set.
    "NVIDIA-AI-IOT__nvidia-tao__LicensePlateDetection_trt.txt": [
        'line 4:21: dataset_config.data_sources.tfrecords_path is ""; it needs a value',
        'line 5:27: dataset_config.data_sources.image_directory_path is ""; it needs a value',
        'line 13:19: dataset_config.validation_data_source.tfrecords_path is ""; it needs a value',
        'line 14:25: dataset_config.validation_data_source.image_directory_path is ""; it needs a value',
    ],
    # A field of an older release; TAO 5.0 has no field of that name either.
    "NVIDIA__tao_tensorflow1_backend__inferencer_spec_caffe.prototxt": [
        "line 30:9: inferencer_config.tensorrt_config.calibrator_config.batch_size is not a field here; "
        "did you mean `n_batches`?",
    ],
}
COUNTS = {"detectnet_v2": (22, 2), "detectnet_v2_inference": (13, 1), "tfrecords": (29, 0)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_real_file_binds_or_fails_at_the_right_line(shared_data: Path, folder: str) -> None:
    good = bad = 0
    for file in sorted((shared_data / "tao_specs" / folder).iterdir()):
        if file.name in REFUSED:
            with pytest.raises(SpecError) as caught:
                spec.load(file, FOLDERS[folder])
            assert [row.strip() for row in str(caught.value).splitlines()[1:]] == REFUSED[file.name]
            bad += 1
            continue
        model = spec.load(file, FOLDERS[folder])
        assert spec.loads(spec.dumps(model), FOLDERS[folder]) == model
        assert spec.loads(spec.dumps(model, defaults=True), FOLDERS[folder]) == model
        good += 1

    assert (good, bad) == COUNTS[folder]


SOURCE = "data_sources { tfrecords_path: 'a/*' image_directory_path: 'b' }"
LEAST = f"""dataset_config {{
  {SOURCE}
  image_extension: "jpg"
  target_class_mapping {{ key: "cat" value: "cat" }}
  validation_fold: 0
}}
augmentation_config {{
  preprocessing {{ output_image_width: 96 output_image_height: 64 output_image_channel: 3 }}
  spatial_augmentation {{ zoom_min: 1 zoom_max: 1 }}
}}
postprocessing_config {{ target_class_config {{ key: "cat" value {{ clustering_config {{ dbscan_eps: 0.15 }} }} }} }}
model_config {{
  arch: "resnet"
  use_batch_norm: true
  objective_set {{ bbox {{ scale: 35 offset: 0.5 }} cov {{ }} }}
}}
evaluation_config {{
  validation_period_during_training: 10
  first_validation_epoch: 20
  minimum_detection_ground_truth_overlap {{ key: "cat" value: 0.41 }}
  evaluation_box_config {{ key: "cat" value {{ maximum_height: 9999 maximum_width: 9999 }} }}
}}
cost_function_config {{
  target_classes {{
    name: "cat" class_weight: 4 coverage_foreground_weight: 0.05
    objectives {{ name: "cov" initial_weight: 1 weight_target: 1 }}
    objectives {{ name: "bbox" initial_weight: 10 weight_target: 1 }}
  }}
}}
training_config {{
  batch_size_per_gpu: 2
  num_epochs: 120
  learning_rate {{ soft_start_annealing_schedule {{
    min_learning_rate: 5e-06 max_learning_rate: 5e-04 soft_start: 0.1 annealing: 0.7 }} }}
  regularizer {{ }}
  optimizer {{ adam {{ epsilon: 1e-8 beta1: 0.9 beta2: 0.999 }} }}
  cost_scaling {{ initial_exponent: 20 increment: 0.005 decrement: 1 }}
}}
bbox_rasterizer_config {{
  target_class_config {{ key: "cat" value {{
    cov_center_x: 0.5 cov_center_y: 0.5 cov_radius_x: 1.0 cov_radius_y: 1.0 bbox_min_radius: 1.0 }} }}
  deadzone_radius: 0.4
}}
"""


def problems(text: str, model: type[SpecModel] = DetectNetSpec) -> list[str]:
    """The problems of `text`, without their places."""
    try:
        spec.loads(text, model)
    except SpecError as error:
        return [problem.text for problem in error.problems]
    return []


def test_the_least_spec_binds_without_a_warning_and_absent_fields_act_as_in_tao() -> None:
    got = spec.reads(LEAST, DetectNetSpec)

    assert got.warnings == ()
    model = got.model
    assert model.classes == ("cat",)
    assert model.random_seed == 0
    assert model.model_config_.num_layers == 18
    assert not model.model_config_.all_projections
    assert model.training_config.checkpoint_interval == 10
    assert model.training_config.regularizer.type is RegularizerType.NO_REG
    assert model.training_config.learning_rate.early_stopping_annealing_schedule is None
    assert model.augmentation_config.color_augmentation is None
    assert model.augmentation_config.spatial_augmentation is not None
    assert model.augmentation_config.spatial_augmentation.rotate_probability == 1.0
    assert model.cost_function_config.max_objective_weight == 1.0
    assert model.evaluation_config.average_precision_mode is AveragePrecisionMode.SAMPLE
    clustering = model.postprocessing_config.target_class_config["cat"].clustering_config
    assert clustering.clustering_algorithm is ClusteringAlgorithm.DBSCAN
    assert model.dataset_config.data_sources[0].source_weight == 1.0
    assert model.dataset_config.validation_fold == 0
    assert model.dataset_config.validation_data_source is None


def test_float_and_whole_dbscan_min_samples_are_both_kept() -> None:
    for text, value in (("0.0500000007451", 0.0500000007451), ("1", 1)):
        model = spec.loads(LEAST.replace("dbscan_eps: 0.15", f"dbscan_min_samples: {text}"), DetectNetSpec)
        found = model.postprocessing_config.target_class_config["cat"].clustering_config.dbscan_min_samples
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("output_image_width: 96", "output_image_width: 100",
         "augmentation_config.preprocessing.output_image_width is 100; it needs to be a multiple of 16, such as 96 or 112"),
        ("output_image_width: 96", "",
         "augmentation_config.preprocessing.output_image_width is missing; it needs to be a multiple of 16, more than 0"),
        ("output_image_channel: 3", "", "augmentation_config.preprocessing.output_image_channel is missing; it needs to be 1 or 3"),
        ("output_image_channel: 3", "output_image_channel: 4",
         "augmentation_config.preprocessing.output_image_channel is 4; it needs to be 1 or 3"),
        ("output_image_channel: 3", "output_image_channel: 3 crop_right: 90 crop_bottom: 64",
         "augmentation_config.preprocessing.crop_right is 90 with crop_left 0; it needs to be 96, crop_left plus output_image_width"),
        ("zoom_min: 1", "zoom_min: 0", "augmentation_config.spatial_augmentation.zoom_min is 0; it needs to be more than 0"),
        ("zoom_max: 1", "zoom_max: 0.5",
         "augmentation_config.spatial_augmentation.zoom_max is 0.5; it needs to be 1 (zoom_min) or more"),
        ("zoom_max: 1", "hflip_probability: 1.5",
         "augmentation_config.spatial_augmentation.hflip_probability is 1.5; it needs to be from 0 to 1"),
        (SOURCE, "", "dataset_config.data_sources is missing; add one or more"),
        (SOURCE, "data_sources: []", "dataset_config.data_sources is empty; add one or more"),
        ("'a/*'", "''", "dataset_config.data_sources.tfrecords_path is \"\"; it needs a value"),
        ("'a/*'", "'a' source_weight: -1", "dataset_config.data_sources.source_weight is -1; it needs to be 0 or more"),
        ("validation_fold: 0", f"validation_fold: 0 {SOURCE.replace('data_sources', 'validation_data_source')}",
         "dataset_config.validation_data_source is given beside `validation_fold`; only one kind of validation data can be"),
        ('value: "cat" }\n  val', 'value: "dog" }\n  val',
         'dataset_config.target_class_mapping["cat"] is "dog", which is no class of cost_function_config; it has "cat"'),
        ("dbscan_eps: 0.15", "dbscan_eps: 20",
         'postprocessing_config.target_class_config["cat"].clustering_config.dbscan_eps is 20; '
         "it needs to be from 0 to 1, a distance of 1 - IoU"),
        ("dbscan_eps: 0.15", "minimum_bounding_box_height: -1",
         'postprocessing_config.target_class_config["cat"].clustering_config.minimum_bounding_box_height is -1; '
         "it needs to be 0 or more"),
        ('arch: "resnet"', 'arch: "resnet18"', "model_config.arch is \"resnet18\"; it needs to be `resnet`, `vgg`, `darknet`, "
         "`mobilenet_v1`, `mobilenet_v2`, `squeezenet`, `googlenet` or `efficientnet_b0`; did you mean `resnet`?"),
        ('arch: "resnet"', 'arch: "resnet" num_layers: 20',
         "model_config.num_layers is 20; a resnet has 10, 18, 34, 50, 101, 152 or 200"),
        ('arch: "resnet"', 'arch: "darknet"', "model_config.num_layers is 18; a darknet has 19 or 53"),
        ('arch: "resnet"', 'arch: "vgg" num_layers: 18', "model_config.num_layers is 18; a vgg has 16 or 19"),
        ('arch: "resnet"', 'arch: "resnet" freeze_blocks: 0',
         "model_config.freeze_blocks is given without a pretrained_model_file; name the file it is about"),
        ('arch: "resnet"', 'arch: "resnet" training_precision { backend_floatx: INVALID }',
         "model_config.training_precision.backend_floatx is INVALID; it needs to be `FLOAT32` or `FLOAT16`"),
        ("cov { }", "", "model_config.objective_set.cov is missing; add the block `cov { }`"),
        ("first_validation_epoch: 20", "",
         "evaluation_config.first_validation_epoch is missing; it needs to be more than 0"),
        ("maximum_height: 9999", "",
         'evaluation_config.evaluation_box_config["cat"].maximum_height is missing; it needs to be more than 0'),
        ('overlap { key: "cat"', 'overlap { key: "dog"',
         "evaluation_config.minimum_detection_ground_truth_overlap has no entry for the class \"cat\" of "
         "cost_function_config; add one"),
        ('box_config { key: "cat"', 'box_config { key: "dog"',
         'evaluation_config.evaluation_box_config has no entry for the class "cat" of cost_function_config; add one'),
        ('config { target_class_config { key: "cat"', 'config { target_class_config { key: "dog"',
         'postprocessing_config.target_class_config has no entry for the class "cat" of cost_function_config; add one'),
        ('config {\n  target_class_config { key: "cat"', 'config {\n  target_class_config { key: "dog"',
         'bbox_rasterizer_config.target_class_config has no entry for the class "cat" of cost_function_config; add one'),
        ("class_weight: 4", "class_weight: 0",
         "cost_function_config.target_classes.class_weight is 0; it needs to be more than 0"),
        ("coverage_foreground_weight: 0.05", "coverage_foreground_weight: 1",
         "cost_function_config.target_classes.coverage_foreground_weight is 1; it needs to be more than 0 and less than 1"),
        ('name: "bbox"', 'name: "cov"', "cost_function_config.target_classes.objectives are `cov` and `cov`; "
         "there need to be two, one `cov` and one `bbox`"),
        ('name: "bbox"', 'name: "box"',
         'cost_function_config.target_classes.objectives.name is "box"; it needs to be `cov` or `bbox`; did you mean `bbox`?'),
        ("weight_target: 1 }\n  }", "weight_target: -1 }\n  }",
         "cost_function_config.target_classes.objectives.weight_target is -1; it needs to be 0 or more"),
        ("initial_weight: 1 weight_target: 1 }\n    objectives { name: \"bbox\" initial_weight: 10",
         "weight_target: 1 }\n    objectives { name: \"bbox\"",
         "cost_function_config.target_classes.objectives have no initial_weight above 0; at least one needs it"),
        ("batch_size_per_gpu: 2", "batch_size_per_gpu: 0",
         "training_config.batch_size_per_gpu is 0; it needs to be more than 0"),
        ("soft_start: 0.1", "soft_start: 0.8",
         "training_config.learning_rate.soft_start_annealing_schedule.soft_start is 0.8; it needs to be 0.7 (annealing) or less"),
        ("soft_start: 0.1", "soft_start: 1",
         "training_config.learning_rate.soft_start_annealing_schedule.soft_start is 1; it needs to be 0 or more and less than 1"),
        ("regularizer { }", "regularizer { type: L3 }",
         "training_config.regularizer.type is L3; it needs to be `NO_REG`, `L1` or `L2`"),
        ("regularizer { }", "", "training_config.regularizer is missing; add the block `regularizer { }`"),
        ("beta2: 0.999", "beta2: 1", "training_config.optimizer.adam.beta2 is 1; it needs to be more than 0 and less than 1"),
        ("initial_exponent: 20", "", "training_config.cost_scaling.initial_exponent is missing; it needs to be more than 0"),
        ("num_epochs: 120", "num_epochs: 120 visualizer { enabled: true infrequent_logging_frequency: 121 }",
         "training_config.visualizer.infrequent_logging_frequency is 121; it needs to be 120 (num_epochs) or less"),
        ("cov_radius_x: 1.0", "cov_radius_x: 0",
         'bbox_rasterizer_config.target_class_config["cat"].cov_radius_x is 0; it needs to be more than 0 and 1 or less'),
        ("bbox_min_radius: 1.0", "",
         'bbox_rasterizer_config.target_class_config["cat"].bbox_min_radius is missing; it needs to be more than 0 and 1 or less'),
        ("deadzone_radius: 0.4", "deadzone_radius: 1.1",
         "bbox_rasterizer_config.deadzone_radius is 1.1; it needs to be from 0 to 1"),
        ("dataset_config {", "loss_mask_label_filter { objective_label_filter_configs { label_filter { source_class_label_filter { } } target_class_names: 'dog' } }\ndataset_config {",
         'loss_mask_label_filter.objective_label_filter_configs.target_class_names is "dog"; '
         "it needs to be a class that target_class_mapping maps to"),
    ],
)  # fmt: skip
def test_each_rule_of_a_training_spec_has_its_one_message(old: str, new: str, problem: str) -> None:
    assert LEAST.count(old) == 1

    assert problems(LEAST.replace(old, new)) == [problem]


@pytest.mark.parametrize(
    ("label_filter", "problem"),
    [
        ("", "label_filter has no label filter; "
         "add `bbox_dimensions_label_filter` or `bbox_crop_label_filter` or `source_class_label_filter`"),
        ("bbox_dimensions_label_filter { min_width: 9 max_width: 9 }",
         "label_filter.bbox_dimensions_label_filter.max_width is 9; it needs to be more than min_width, 9"),
        ("bbox_crop_label_filter { crop_top: 50 crop_bottom: 40 }",
         "label_filter.bbox_crop_label_filter.crop_bottom is 40; it needs to be more than crop_top, 50"),
    ],
)  # fmt: skip
def test_a_label_filter_is_one_of_three_and_its_bounds_grow(label_filter: str, problem: str) -> None:
    row = f"objective_label_filter_configs {{ label_filter {{ {label_filter} }} }}"

    assert problems(LEAST + f"loss_mask_label_filter {{ {row} }}") == [
        f"loss_mask_label_filter.objective_label_filter_configs.{problem}"
    ]


def test_the_early_stopping_schedule_needs_a_patience_that_fits_the_run() -> None:
    schedule = "early_stopping_annealing_schedule { min_learning_rate: 1e-6 max_learning_rate: 1e-4 patience_steps: 5 }"
    start, end = LEAST.index("soft_start_annealing_schedule"), LEAST.index(" }\n  regularizer")

    assert problems(LEAST[:start] + schedule + LEAST[end:]) == [
        "training_config.learning_rate.early_stopping_annealing_schedule.patience_steps is 5; "
        "it needs to be from 10 (validation_period_during_training) to 120 (num_epochs)"
    ]
    assert problems(LEAST[:start] + schedule.replace("5", "20") + LEAST[end:]) == []
    assert problems(LEAST[:start] + LEAST[end:]) == [
        "training_config.learning_rate has no schedule; "
        "add `soft_start_annealing_schedule` or `early_stopping_annealing_schedule`"
    ]
    assert problems(LEAST[:end] + schedule.replace("5", "20") + LEAST[end:]) == [
        "training_config.learning_rate.early_stopping_annealing_schedule is given beside "
        "`soft_start_annealing_schedule`; only one schedule can be"
    ]


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ('key: "cat" value: "cat"', 'key: "Cat" value: "cat"', [
            'dataset_config.target_class_mapping has keys with capitals ("Cat"); records have none, '
            "so they match in lower case",
            'dataset_config.target_class_mapping maps to "cat" and has no key "cat"; '
            "TAO 5.0 would learn no such box, here they count",
        ]),
        ('"jpg"', '".jpg"', ['dataset_config.image_extension is ".jpg"; it is taken without its dot']),
        ("  validation_fold: 0\n", "", [
            "dataset_config has neither `validation_fold` nor `validation_data_source`; nothing is validated",
        ]),
        ("spatial_augmentation { zoom_min: 1 zoom_max: 1 }", "", [
            "augmentation_config.spatial_augmentation is absent, which TAO refuses; images are not moved or flipped",
        ]),
        ("zoom_min: 1 zoom_max: 1", "rotate_rad_max: 5", [
            "augmentation_config.spatial_augmentation.rotate_rad_max is 5 degrees, despite its name",
            "augmentation_config.spatial_augmentation.zoom_min is absent, which TAO refuses; 1.0 is used",
            "augmentation_config.spatial_augmentation.zoom_max is absent, which TAO refuses; 1.0 is used",
        ]),
        ('arch: "resnet"', 'arch: "resnet" dropout_rate: 0.5', [
            "model_config.dropout_rate is read and has no effect: TAO's networks have no dropout",
        ]),
        ("scale: 35", "scale: 30", [
            "model_config.objective_set.bbox.scale is 30; TAO's inference and DeepStream assume 35",
        ]),
        ("use_batch_norm: true", "", [
            "model_config.use_batch_norm is false or absent: the network has no batch normalisation",
        ]),
        ('arch: "resnet"', 'arch: "googlenet" use_pooling: true all_projections: true', [
            "model_config.use_pooling has no effect on a googlenet, only on resnet or vgg",
            "model_config.all_projections has no effect on a googlenet, only on resnet",
        ]),
        ('arch: "resnet"', 'arch: "resnet" load_graph: true', [
            "model_config.load_graph is given without a pretrained_model_file; training needs one",
        ]),
        ("cost_function_config {", "cost_function_config { enable_autoweighting: true", [
            "cost_function_config.max_objective_weight is absent; 1.0 is used "
            "(TAO would turn every weight to 0 after the first epoch)",
        ]),
        ("dbscan_eps: 0.15", "dbscan_eps: 0.15 dbscan_min_samples: 3", [
            'postprocessing_config.target_class_config["cat"].clustering_config.dbscan_min_samples is more than 1, '
            "which TAO 5.0 refuses; it is used as written",
        ]),
        ("dbscan_eps: 0.15", "", [
            'postprocessing_config.target_class_config["cat"].clustering_config.dbscan_eps is absent or 0: '
            "no two candidates are neighbours, and nothing is joined; 0.15 to 0.3 is usual",
        ]),
        ("validation_fold: 0", "validation_fold: 0 dataloader_mode: LEGACY sampling_mode: UNIFORM", [
            "dataset_config.sampling_mode is UNIFORM, which only the loader MULTISOURCE obeys; with LEGACY sizes decide",
        ]),
        ("output_image_channel: 3", "output_image_channel: 3 min_bbox_width: 1 min_bbox_height: 8", [
            "augmentation_config.preprocessing.min_bbox_height has no effect with the loader MULTISOURCE: "
            "boxes under 1 px are dropped; DEFAULT obeys it",
        ]),
        ("output_image_channel: 3", "output_image_channel: 3 enable_auto_resize: true scale_width: 2", [
            "augmentation_config.preprocessing.scale_width has no effect beside enable_auto_resize, "
            "which resizes the whole image",
        ]),
        ("dataset_config {", "loss_mask_label_filter { objective_label_filter_configs { label_filter { "
         "source_class_label_filter { source_class_names: ['cat', 'dontcare'] } } } }\ndataset_config {", [
            "loss_mask_label_filter.objective_label_filter_configs.label_filter.source_class_label_filter"
            '.source_class_names is "dontcare", which is no target class and picks no box; name what it is mapped to',
        ]),
        ("zoom_min: 1 zoom_max: 1", "zoom_min: 1 zoom_max: 1 vflip_probability: 0.5", [
            "augmentation_config.spatial_augmentation.vflip_probability is 0.5, which TAO's MULTISOURCE loader ignores; "
            "here images are flipped",
        ]),
        ("num_epochs: 120", "num_epochs: 120 enable_qat: true", []),
        ("output_image_channel: 3", "output_image_channel: 3 output_image_min: 64", [
            "augmentation_config.preprocessing.output_image_min is above 0; "
            "there is neither crop nor augmentation with it, as in TAO",
        ]),
        ("num_epochs: 120", "num_epochs: 12", [
            "evaluation_config.first_validation_epoch is after the last epoch; only the last is validated",
        ]),
        ('key: "cat" value: 0.41', 'key: "cat" value: 41', [
            'evaluation_config.minimum_detection_ground_truth_overlap["cat"] is 41; an IoU lies between 0 and 1',
        ]),
        ("cov_center_x: 0.5", "", [
            'bbox_rasterizer_config.target_class_config["cat"].cov_center_x is absent, '
            "which puts the centre on the edge of the box; 0.5 is usual",
        ]),
    ],
)  # fmt: skip
def test_what_is_legal_and_still_odd_is_a_warning(old: str, new: str, warning: list[str]) -> None:
    assert LEAST.count(old) == 1

    assert sorted(spec.warnings(spec.loads(LEAST.replace(old, new), DetectNetSpec))) == sorted(warning)


INFERENCE = """inferencer_config {
  target_classes: "cat" image_width: 96 image_height: 64 image_channels: 3 batch_size: 4
  tlt_config { model: "a.tlt" }
}
bbox_handler_config {
  classwise_bbox_handler_config { key: "cat" value { clustering_config { dbscan_eps: 0.3 } } }
}
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("batch_size: 4", "", "inferencer_config.batch_size is missing; it needs to be more than 0"),
        ("image_channels: 3", "image_channels: 2", "inferencer_config.image_channels is 2; it needs to be 1 or 3"),
        ('key: "cat"', 'key: "dog"', 'bbox_handler_config.classwise_bbox_handler_config has no entry for the target class '
         '"cat"; add one, or one for "default"'),
        ('{ model: "a.tlt" }', "{ } tensorrt_config { }",
         "inferencer_config.tensorrt_config is given beside `tlt_config`; only one kind of model can be"),
        ('tlt_config { model: "a.tlt" }', "tensorrt_config { backend_data_type: INT8 calibrator_config { } }",
         "inferencer_config.tensorrt_config.calibrator_config.calibration_cache is missing; "
         "INT8 needs the path of a calibration cache"),
        ("dbscan_eps: 0.3", "coverage_threshold: 2", 'bbox_handler_config.classwise_bbox_handler_config["cat"]'
         ".clustering_config.coverage_threshold is 2; it needs to be from 0 to 1"),
    ],
)  # fmt: skip
def test_each_rule_of_an_inference_spec_has_its_one_message(old: str, new: str, problem: str) -> None:
    assert INFERENCE.count(old) == 1

    assert problems(INFERENCE.replace(old, new), InferenceSpec) == [problem]


def test_an_inference_spec_has_inferences_own_defaults() -> None:
    model = spec.loads(INFERENCE, InferenceSpec)

    assert model.inferencer_config.stride == 16
    handler = model.bbox_handler_config.classwise_bbox_handler_config["cat"]
    assert handler.clustering.nms_iou_threshold == 0.3
    assert handler.clustering.nms_confidence_threshold == 0.1


def test_the_confidence_threshold_of_older_inference_specs_counts_where_the_newer_is_absent() -> None:
    old = spec.loads("confidence_threshold: 0.9 clustering_config { dbscan_eps: 0.3 }", ClasswiseBboxHandler)
    both = spec.loads(
        "confidence_threshold: 0.9 clustering_config { dbscan_confidence_threshold: 5.0 }", ClasswiseBboxHandler
    )

    assert (old.clustering.dbscan_confidence_threshold, old.clustering.dbscan_eps) == (0.9, 0.3)
    assert both.clustering.dbscan_confidence_threshold == 5.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no source of labels; add `kitti_config` or `coco_config`"),
        ("kitti_config { partition_mode: 'randm' num_partitions: 2 }",
         "kitti_config.partition_mode is 'randm'; it needs to be `random` or `sequence`; did you mean `random`?"),
        ("kitti_config { partition_mode: 'random' num_partitions: 3 }",
         "kitti_config.num_partitions is 3; it needs to be 2 for the mode `random`"),
        ("kitti_config { partition_mode: 'sequence' }",
         "kitti_config.kitti_sequence_to_frames_file is missing; the mode `sequence` needs it, a JSON file of "
         "sequence -> frames"),
        ("coco_config { num_partitions: 2 img_dir_names: ['a', 'b'] annotation_files: 'a' num_shards: [1, 2] }",
         "coco_config.annotation_files are 1; there need to be 2, one for each of num_partitions"),
        ("coco_config { } kitti_config { partition_mode: 'random' num_partitions: 2 }",
         "coco_config is given beside `kitti_config`; only one source of labels can be"),
        ("coco_config { } sample_modifier_config { dominant_target_classes: 'a' }",
         'sample_modifier_config.dominant_target_classes is "a"; it needs to be a value of '
         "source_to_target_class_mapping"),
    ],
)  # fmt: skip
def test_each_rule_of_a_conversion_spec_has_its_one_message(text: str, problem: str) -> None:
    assert problems(text, DatasetExportSpec) == [problem]


def test_a_val_split_of_the_whole_is_taken() -> None:
    model = spec.loads(
        "kitti_config { partition_mode: 'random' num_partitions: 2 val_split: 100 image_extension: '' }",
        DatasetExportSpec,
    )

    assert model.kitti_config is not None
    assert model.kitti_config.val_split == 100
    assert model.kitti_config.image_extension == ".png"


def _models(model: type[SpecModel], seen: set[type[SpecModel]]) -> set[type[SpecModel]]:
    if model not in seen:
        seen.add(model)
        for shape in shapes(model).values():
            if shape.model:
                _models(shape.model, seen)
    return seen


def _numbers() -> Iterator[tuple[type[SpecModel], Shape]]:
    found: set[type[SpecModel]] = set()
    for root in FOLDERS.values():
        _models(root, found)
    for model in sorted(found, key=lambda one: one.__name__):
        for shape in shapes(model).values():
            if shape.kind in ("int", "float", "int_or_float") and shape.repeats == "no":
                yield model, shape


def test_text_and_python_agree_on_the_range_of_every_number() -> None:
    pairs = 0
    for model, shape in _numbers():
        limits = [limit for limit in (shape.range.low, shape.range.high) if math.isfinite(limit)]
        tries = {0, 1, 3, 15, 16, -1, *(int(limit) + step for limit in limits for step in (-1, 0, 1))}
        values: list[float] = sorted(tries)
        if shape.kind != "int":
            values += [0.5, -0.5, 1.5, math.inf, math.nan]
        for value in values:
            pairs += 1
            assert _text_takes(shape, value) == _python_takes(model, shape, value), (model, shape.name, value)

    assert pairs > 800


def _text_takes(shape: Shape, value: float) -> bool:
    scalar = parse(f"x: {value!r}").root.entries[0].values[0]
    assert isinstance(scalar, Scalar)
    try:
        value_of(shape, scalar)
    except UnfitError:
        return False
    return True


def _python_takes(model: type[SpecModel], shape: Shape, value: float) -> bool:
    try:
        model.model_validate({shape.name: value})
    except ValidationError as error:
        return all(row["loc"][:1] != (shape.spec_name,) for row in error.errors())
    return True


def test_every_field_has_a_sentence() -> None:
    found: set[type[SpecModel]] = set()
    for root in FOLDERS.values():
        _models(root, found)

    assert len(found) > 50
    for model in found:
        for name, info in model.model_fields.items():
            assert info.description, (model, name)
            assert info.description.endswith("."), (model, name)


def test_every_arch_of_the_spec_can_be_built():
    from taolite.nn.backbones import BACKBONES

    archs = get_args(network.ModelConfig.model_fields["arch"].annotation)

    assert set(archs) == set(ARCHS)
    assert set(archs) <= set(BACKBONES)  # image classification has more
