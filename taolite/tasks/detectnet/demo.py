"""The specs of `taolite demo`, in TAO's language alone: a small detector of drawn shapes, from random weights."""

from __future__ import annotations

from collections.abc import Sequence

from taolite.spec.write import literal
from taolite.tasks.proposal import each

__all__ = ["HELD_OUT", "demo_specs"]

HELD_OUT = 20  # percent of the pictures, the first by name, for validation


def demo_specs(folder: str, *, classes: Sequence[str], size_hw: tuple[int, int], epochs: int) -> dict[str, str]:
    """Texts of spec files by name. `folder` has the KITTI folders in `kitti`, and gets everything that is made."""
    return {
        "tfrecords.txt": _conversion(folder),
        "train.txt": _training(folder, classes, size_hw, epochs, pruned=False),
        "retrain.txt": _training(folder, classes, size_hw, epochs, pruned=True),
        "inference.txt": _inference(folder, classes, size_hw),
    }


def _conversion(folder: str) -> str:
    kitti = literal(f"{folder}/kitti")
    return f"""# KITTI folders to TFRecords. The first val_split percent of the names become fold 0, for validation.
kitti_config {{
  root_directory_path: {kitti}
  image_dir_name: "image_2"
  label_dir_name: "label_2"
  image_extension: ".jpg"
  partition_mode: "random"
  num_partitions: 2
  val_split: {HELD_OUT}
  num_shards: 2
}}
image_directory_path: {kitti}
"""


def _training(folder: str, classes: Sequence[str], size_hw: tuple[int, int], epochs: int, *, pruned: bool) -> str:
    height, width = size_hw
    period = max(1, epochs // 2)
    start = "# random weights"
    if pruned:
        start = f"""pretrained_model_file: {literal(f"{folder}/pruned/detector.tlt")}
  load_graph: true  # the pruned network is read from this file"""
    clustering = each(
        classes,
        """  target_class_config {
    key: NAME
    value {
      clustering_config {
        clustering_algorithm: NMS
        coverage_threshold: 0.1
        nms_iou_threshold: 0.3
        nms_confidence_threshold: 0.1
      }
    }
  }""",
    )
    judged = each(
        classes,
        """  minimum_detection_ground_truth_overlap { key: NAME value: 0.5 }
  evaluation_box_config {
    key: NAME
    value { minimum_height: 4 maximum_height: 9999 minimum_width: 4 maximum_width: 9999 }
  }""",
    )
    costs = each(
        classes,
        """  target_classes {
    name: NAME
    class_weight: 1.0
    coverage_foreground_weight: 0.5
    objectives { name: "cov" initial_weight: 1.0 weight_target: 1.0 }
    objectives { name: "bbox" initial_weight: 10.0 weight_target: 10.0 }
  }""",
    )
    raster = each(
        classes,
        """  target_class_config {
    key: NAME
    value { cov_center_x: 0.5 cov_center_y: 0.5 cov_radius_x: 0.5 cov_radius_y: 0.5 bbox_min_radius: 1.0 }
  }""",
    )
    return f"""# {"Trains the pruned network again" if pruned else "Trains a detector"}. Written by `taolite demo`.
random_seed: 42
dataset_config {{
  data_sources {{
    tfrecords_path: {literal(f"{folder}/tfrecords/*")}
    image_directory_path: {literal(f"{folder}/kitti")}
  }}
  image_extension: "jpg"
{each(classes, "  target_class_mapping { key: NAME value: NAME }")}
  validation_fold: 0
}}
augmentation_config {{
  preprocessing {{
    output_image_width: {width}
    output_image_height: {height}
    output_image_channel: 3
    min_bbox_width: 1.0
    min_bbox_height: 1.0
  }}
  spatial_augmentation {{
    hflip_probability: 0.5
    zoom_min: 0.9
    zoom_max: 1.1
    translate_max_x: 16.0
    translate_max_y: 16.0
  }}
  color_augmentation {{
    hue_rotation_max: 10.0
    saturation_shift_max: 0.2
    contrast_scale_max: 0.1
    contrast_center: 0.5
  }}
}}
postprocessing_config {{
{clustering}
}}
model_config {{
  {start}
  arch: "resnet"
  num_layers: 10
  use_batch_norm: true
  objective_set {{
    bbox {{
      scale: 35.0
      offset: 0.5
    }}
    cov {{ }}
  }}
}}
evaluation_config {{
  validation_period_during_training: {period}
  first_validation_epoch: {period}
{judged}
  average_precision_mode: INTEGRATE
}}
cost_function_config {{
{costs}
  enable_autoweighting: false
  max_objective_weight: 0.9999
  min_objective_weight: 0.0001
}}
training_config {{
  batch_size_per_gpu: 8
  num_epochs: {epochs}
  learning_rate {{
    soft_start_annealing_schedule {{
      min_learning_rate: 1e-05
      max_learning_rate: 2e-03
      soft_start: 0.1
      annealing: 0.5
    }}
  }}
  regularizer {{
    type: {"NO_REG" if pruned else "L1"}
    weight: 3e-09
  }}
  optimizer {{
    adam {{
      epsilon: 1e-08
      beta1: 0.9
      beta2: 0.999
    }}
  }}
  cost_scaling {{
    enabled: false
    initial_exponent: 20.0
    increment: 0.005
    decrement: 1.0
  }}
  checkpoint_interval: {epochs}
}}
bbox_rasterizer_config {{
{raster}
  deadzone_radius: 0.67
}}
"""


def _inference(folder: str, classes: Sequence[str], size_hw: tuple[int, int]) -> str:
    height, width = size_hw
    handlers = each(
        classes,
        """  classwise_bbox_handler_config {
    key: NAME
    value {
      output_map: NAME
      clustering_config {
        clustering_algorithm: NMS
        coverage_threshold: 0.3
        nms_iou_threshold: 0.3
        nms_confidence_threshold: 0.3
      }
    }
  }""",
    )
    return f"""# Draws what the detector finds, and writes it as KITTI labels. Written by `taolite demo`.
inferencer_config {{
  target_classes: [{", ".join(map(literal, classes))}]
  image_width: {width}
  image_height: {height}
  image_channels: 3
  batch_size: 8
  tlt_config {{
    model: {literal(f"{folder}/retrained/weights/detector.tlt")}
  }}
}}
bbox_handler_config {{
  kitti_dump: true
{handlers}
}}
"""
