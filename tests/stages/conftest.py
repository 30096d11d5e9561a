"""A tiny data set and spec on which a whole life passes in seconds: bright plates on noise, ResNet-10, 96x64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.cli.main import main

SPEC = """
random_seed: 7
dataset_config {{
  data_sources {{ tfrecords_path: "{root}/records/tiny-*" image_directory_path: "{root}/kitti" }}
  image_extension: "png"
  target_class_mapping {{ key: "plate" value: "plate" }}
  validation_fold: 0
}}
augmentation_config {{
  preprocessing {{ output_image_width: 96 output_image_height: 64 output_image_channel: 3 }}
  spatial_augmentation {{ hflip_probability: 0.5 zoom_min: 1.0 zoom_max: 1.0 translate_max_x: 4.0 }}
}}
postprocessing_config {{
  target_class_config {{ key: "plate" value {{ clustering_config {{
    clustering_algorithm: NMS coverage_threshold: 0.3 nms_iou_threshold: 0.3 nms_confidence_threshold: 0.3 }} }} }}
}}
model_config {{
  {model}
  arch: "resnet" num_layers: 10 use_batch_norm: true
  objective_set {{ bbox {{ scale: 35.0 offset: 0.5 }} cov {{ }} }}
}}
evaluation_config {{
  validation_period_during_training: 2 first_validation_epoch: 2
  minimum_detection_ground_truth_overlap {{ key: "plate" value: 0.5 }}
  evaluation_box_config {{ key: "plate" value {{ maximum_height: 999 maximum_width: 999 }} }}
  average_precision_mode: SAMPLE
}}
cost_function_config {{
  target_classes {{
    name: "plate" class_weight: 1.0 coverage_foreground_weight: 0.5
    objectives {{ name: "cov" initial_weight: 1.0 weight_target: 1.0 }}
    objectives {{ name: "bbox" initial_weight: 10.0 weight_target: 10.0 }}
  }}
  enable_autoweighting: true max_objective_weight: 0.9999 min_objective_weight: 0.0001
}}
training_config {{
  batch_size_per_gpu: 4 num_epochs: {epochs}
  learning_rate {{ soft_start_annealing_schedule {{
    min_learning_rate: 1e-5 max_learning_rate: 1e-3 soft_start: 0.1 annealing: 0.7 }} }}
  regularizer {{ type: L1 weight: 3e-9 }}
  optimizer {{ adam {{ epsilon: 1e-8 beta1: 0.9 beta2: 0.999 }} }}
  cost_scaling {{ initial_exponent: 20.0 increment: 0.005 decrement: 1.0 }}
  checkpoint_interval: 2
}}
bbox_rasterizer_config {{
  target_class_config {{ key: "plate" value {{
    cov_center_x: 0.5 cov_center_y: 0.5 cov_radius_x: 0.6 cov_radius_y: 0.6 bbox_min_radius: 1.0 }} }}
  deadzone_radius: 0.4
}}
"""

OWN = """
taolite {
  keep_aspect: true
  views { mosaic_probability: 0.5 }
  loss { }
  fitting { average: 0.9 largest_gradient: 1.0 }
}
"""
"""taolite's own block, with all its parts."""

TAO_SSD = """
random_seed: 7
ssd_config {{
  aspect_ratios_global: "[1.0, 2.0, 0.5]" scales: "[0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]"
  two_boxes_for_ar1: true variances: "[0.1, 0.1, 0.2, 0.2]" arch: "resnet" nlayers: 10
}}
training_config {{
  batch_size_per_gpu: 4 num_epochs: {epochs} n_workers: 1
  learning_rate {{ soft_start_annealing_schedule {{
    min_learning_rate: 1e-4 max_learning_rate: 1e-3 soft_start: 0.3 annealing: 0.7 }} }}
  regularizer {{ type: L2 weight: 1e-5 }}
}}
eval_config {{ validation_period_during_training: 2 batch_size: 4 matching_iou_threshold: 0.5 }}
nms_config {{ confidence_threshold: 0.01 clustering_iou_threshold: 0.6 top_k: 20 }}
augmentation_config {{ output_width: 96 output_height: 64 output_channel: 3 random_flip: 0.5 }}
dataset_config {{
  target_class_mapping {{ key: "Plate" value: "plate" }}
  data_sources {{ image_directory_path: "{kitti}/image_2" label_directory_path: "{kitti}/label_2" }}
  validation_data_sources {{ image_directory_path: "{kitti}/image_2" label_directory_path: "{kitti}/label_2" }}
}}
"""
"""An SSD for the same pictures."""

CONVERT = """
kitti_config {{
  root_directory_path: "{root}/kitti" image_dir_name: "image_2" label_dir_name: "label_2" image_extension: ".png"
  partition_mode: "random" num_partitions: 2 val_split: 25 num_shards: 1
}}
"""


def write_spec(root: Path, name: str, *, epochs: int = 2, model: str = "", more: str = "") -> Path:
    """A training spec for the tiny data set at `root`; `more` is added at its end."""
    path = root / name
    path.write_text(SPEC.format(root=root, epochs=epochs, model=model) + more)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KITTI labels and TFRecords of 16 pictures with one or two plates each."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "kitti" / "image_2").mkdir(parents=True)
    (root / "kitti" / "label_2").mkdir()
    rng = np.random.default_rng(5)
    for index in range(16):
        image = rng.integers(0, 90, (64, 96, 3)).astype(np.uint8)
        rows = []
        for x in (4, 52)[: 1 + index % 2]:
            x1, y1 = x + int(rng.integers(0, 8)), int(rng.integers(4, 24))
            image[y1 : y1 + 24, x1 : x1 + 32] = 230
            rows.append(f"Plate 0.00 0 0.00 {x1}.0 {y1}.0 {x1 + 32}.0 {y1 + 24}.0 0 0 0 0 0 0 0\n")
        Image.fromarray(image).save(root / "kitti" / "image_2" / f"{index:03d}.png")
        (root / "kitti" / "label_2" / f"{index:03d}.txt").write_text("".join(rows))
    (root / "convert.txt").write_text(CONVERT.format(root=root))
    code = main(["detectnet", "dataset_convert", "-d", str(root / "convert.txt"), "-o", str(root / "records" / "tiny")])
    assert code == 0
    return root
