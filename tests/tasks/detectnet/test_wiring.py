"""What a spec's numbers become in cost, schedule and score (reference 7.2, 8.5, 8.8)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from taolite import spec as specs
from taolite.errors import ModelError
from taolite.nn.backbones import build_backbone
from taolite.sample import Truth
from taolite.tasks.detectnet.experiment import DetectNetExperiment
from taolite.tasks.detectnet.model import DetectNet
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.task import TASK
from taolite.tasks.found import Found

SPEC = """
dataset_config {
  data_sources { tfrecords_path: "a/*" image_directory_path: "b" }
  image_extension: "jpg"
  target_class_mapping { key: "Kitten" value: "cat" }
  target_class_mapping { key: "dog" value: "dog" }
  validation_fold: 0
}
augmentation_config {
  preprocessing { output_image_width: 96 output_image_height: 64 output_image_channel: 3 }
  spatial_augmentation { zoom_min: 1 zoom_max: 1 }
}
postprocessing_config {
  target_class_config { key: "dog" value { clustering_config {
    clustering_algorithm: NMS coverage_threshold: 0.1 nms_iou_threshold: 0.4 nms_confidence_threshold: 0.2 } } }
  target_class_config { key: "cat" value { clustering_config {
    coverage_threshold: 0.005 minimum_bounding_box_height: 20 dbscan_eps: 0.15 dbscan_min_samples: 0.05
    dbscan_confidence_threshold: 0.9 } } }
}
model_config { arch: "resnet" num_layers: 10 objective_set { bbox { scale: 35 offset: 0.5 } cov { } } }
evaluation_config {
  validation_period_during_training: 10 first_validation_epoch: 15
  minimum_detection_ground_truth_overlap { key: "dog" value: 0.9 }
  minimum_detection_ground_truth_overlap { key: "cat" value: 0.4 }
  evaluation_box_config { key: "dog" value { maximum_height: 999 maximum_width: 999 } }
  evaluation_box_config { key: "cat" value {
    minimum_height: 10 maximum_height: 30 minimum_width: 20 maximum_width: 60 } }
  average_precision_mode: SAMPLE
}
cost_function_config {
  target_classes { name: "cat" class_weight: 4 coverage_foreground_weight: 0.05
    objectives { name: "bbox" initial_weight: 10 weight_target: 7 }
    objectives { name: "cov" initial_weight: 1 weight_target: 2 } }
  target_classes { name: "dog" class_weight: 1 coverage_foreground_weight: 0.5
    objectives { name: "cov" initial_weight: 1 weight_target: 1 }
    objectives { name: "bbox" initial_weight: 1 weight_target: 1 } }
  enable_autoweighting: true min_objective_weight: 0.0001 max_objective_weight: 0.9999
}
training_config {
  batch_size_per_gpu: 2 num_epochs: 47
  learning_rate { soft_start_annealing_schedule {
    min_learning_rate: 5e-06 max_learning_rate: 5e-04 soft_start: 0.1 annealing: 0.7 } }
  regularizer { type: L2 weight: 0.25 }
  optimizer { adam { epsilon: 1e-8 beta1: 0.9 beta2: 0.999 } }
  cost_scaling { initial_exponent: 20 increment: 0.005 decrement: 1 }
}
bbox_rasterizer_config {
  target_class_config { key: "dog" value {
    cov_center_x: 0.5 cov_center_y: 0.5 cov_radius_x: 1.0 cov_radius_y: 1.0 bbox_min_radius: 1.0 } }
  target_class_config { key: "cat" value {
    cov_center_x: 0.1 cov_center_y: 0.2 cov_radius_x: 0.3 cov_radius_y: 0.4 bbox_min_radius: 0.5 } }
  deadzone_radius: 0.4
}
"""


@pytest.fixture(scope="module")
def experiment() -> DetectNetExperiment:
    return TASK.read(specs.loads(SPEC, DetectNetSpec)).model


def test_epochs_validate_from_the_first_on_every_period_and_at_the_end(experiment):
    recipe = experiment.recipe

    assert [epoch for epoch in range(1, 48) if recipe.validates(epoch)] == [15, 25, 35, 45, 47]


def test_a_regulariser_keeps_its_type_and_weight(experiment):
    recipe = experiment.recipe

    assert (recipe.regularizer, recipe.regularizer_weight) == ("l2", 0.25)


def test_the_regulariser_takes_kernels_and_biases_of_every_convolution_and_no_norm(tmp_path, write_keras):
    weights = write_keras(tmp_path / "weights.hdf5", DetectNet(build_backbone("resnet", num_layers=10), 2).state_dict())
    model = f'num_layers: 10 use_batch_norm: true freeze_blocks: 1 pretrained_model_file: "{weights}"'
    text = SPEC.replace("num_layers: 10", model)
    start = TASK.read(specs.loads(text, DetectNetSpec)).model.start(key=None)
    names = {id(p): name for name, p in start.network.named_parameters()}

    chosen = {names[id(p)] for p in start.regularised}

    assert chosen == {name for name in names.values() if "bn_" not in name}
    assert len(chosen) == 2 * (13 + 2)
    assert any(not p.requires_grad for p in start.regularised)


def test_a_depthwise_convolution_is_regularised_as_the_others_are():
    text = SPEC.replace('arch: "resnet" num_layers: 10', 'arch: "mobilenet_v1" use_batch_norm: true')
    start = TASK.read(specs.loads(text, DetectNetSpec)).model.start(key=None)

    regularised = {id(p) for p in start.regularised}

    assert regularised == {
        id(p) for layer in start.network.modules() if isinstance(layer, torch.nn.Conv2d) for p in layer.parameters()
    }


def test_objectives_are_told_apart_by_name_and_classes_by_their_order_in_the_cost(experiment):
    objective = experiment.objective()

    assert objective.weights.tolist() == [pytest.approx([1 / 11, 10 / 11]), [0.5, 0.5]]
    # The whole input is missed: t = 1, p = 0.5 in class 0 alone, boxes a unit off. cat: .8 * (1/11 * ln 2 * .05 +
    # 10/11 * 1), dog, whose coverage is t = 0, p = 0.5: .2 * (.5 * ln 2 * .5)
    targets = {
        "cov": torch.tensor([1.0, 0.0]).view(1, 2, 1, 1),
        "bbox": torch.ones(1, 2, 4, 1, 1),
        "norm": torch.tensor([1.0, 0.0]).view(1, 2, 1, 1),
    }
    cost = objective.cost((torch.full((1, 2, 1, 1), 0.5), torch.zeros(1, 8, 1, 1)), targets)
    ln2 = 0.693147
    wanted = 0.8 * (ln2 * 0.05 / 11 + 10 / 11) + 0.2 * 0.5 * ln2 * 0.5
    assert float(cost.total) == pytest.approx(wanted, rel=1e-4)
    # After the epoch: cat's u = 2 / (.05 ln 2), 7 / 1; dog's bbox cost nothing, so all weight goes to cov, clamped
    objective.end_epoch()
    u = 2 / (0.05 * ln2), 7.0
    assert objective.weights[0].tolist() == pytest.approx([u[0] / sum(u), u[1] / sum(u)], rel=1e-4)
    assert objective.weights[1].tolist() == pytest.approx([0.9999, 0.0001])


def test_the_ellipses_stand_in_the_order_of_the_classes(experiment):
    from taolite.tasks.detectnet.examples import spec_raster

    raster = spec_raster(experiment.spec)

    assert [dataclasses.astuple(ellipse) for ellipse in raster.ellipses] == [
        (0.1, 0.2, 0.3, 0.4, 0.5),
        (0.5, 0.5, 1.0, 1.0, 1.0),
    ]
    assert (raster.deadzone_radius, raster.scale, raster.offset) == (0.4, 35, 0.5)


def test_each_class_is_clustered_by_its_own_thresholds_which_are_not_swapped(experiment):
    cat, dog = experiment.decoding["clusterings"]

    assert (cat["algorithm"], cat["dbscan_confidence_threshold"], cat["nms_confidence_threshold"]) == ("dbscan", 0.9, 0)
    assert (cat["coverage_threshold"], cat["minimum_height"], cat["dbscan_eps"]) == (0.005, 20, 0.15)
    assert (dog["algorithm"], dog["nms_confidence_threshold"], dog["nms_iou_threshold"]) == ("nms", 0.2, 0.4)
    assert dog["dbscan_confidence_threshold"] == 0


def test_overlaps_and_sizes_are_those_of_the_class(experiment):
    # cat counts 20 to 60 wide and 10 to 30 high at an overlap of .4; dog counts at any size, at .9
    wide, high, half, stray = (0, 0, 50, 20), (100, 0, 120, 50), (0, 0, 50, 10), (300, 0, 320, 50)
    truth = Truth(np.float32([wide, high, wide, high]), np.array([0, 0, 1, 1]), np.zeros(4, bool))
    boxes = np.float32([half, stray, half, stray, high])
    found = Found(boxes, np.float32([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0, 0, 1, 1, 1]))

    card = experiment.score([truth], [found])

    # cat: high boxes are left out on both sides, half the wide one (51 * 11 of 51 * 21 pixels) is enough
    # dog: wrong, wrong, right, of 2: precision 1/3 up to recall .5, six of the eleven points
    assert card.main.per_class == {"cat": pytest.approx(1.0), "dog": pytest.approx(2 / 11)}
    assert card.main.value == pytest.approx((1 + 2 / 11) / 2)
    assert card.objects == {"cat": 2, "dog": 2}


def test_published_weights_start_a_detector_of_their_arch_and_of_no_other(shared_data):
    path = shared_data / "pretrained" / "mobilenet_v2.safetensors"

    def start(arch):
        text = SPEC.replace('arch: "resnet" num_layers: 10', f'arch: "{arch}" pretrained_model_file: "{path}"')
        return TASK.read(specs.loads(text, DetectNetSpec)).model.start(key=None)

    started = start("mobilenet_v2")
    with pytest.raises(ModelError) as caught:
        start("squeezenet")

    # conv1, expanded_conv's two and three in each of 12 blocks, and as many batch norms.
    assert started.notices[0] == f"{path}: {2 * (1 + 2 + 3 * 12)} layers loaded into the tensorflow graph"
    assert started.network.backbone.arch == "mobilenet_v2"
    assert (
        str(caught.value)
        == f"{path} holds weights of mobilenet_v2 and the spec's arch is squeezenet; the two must agree"
    )
