"""The specs of `taolite demo`, in TAO's language alone: a small detector of drawn shapes, from random weights."""

from __future__ import annotations

from collections.abc import Sequence

from taolite.spec.write import literal
from taolite.tasks.detectnet import blocks
from taolite.tasks.proposal import each

__all__ = ["HELD_OUT", "demo_specs"]

HELD_OUT = 20  # percent of the pictures, the first by name, for validation

_RATES = """      min_learning_rate: 1e-05
      max_learning_rate: 2e-03
      soft_start: 0.1
      annealing: 0.5"""


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
    raster = each(
        classes,
        """  target_class_config {
    key: NAME
    value { cov_center_x: 0.5 cov_center_y: 0.5 cov_radius_x: 0.5 cov_radius_y: 0.5 bbox_min_radius: 1.0 }
  }""",
    )
    regularizer = f"    type: {'NO_REG' if pruned else 'L1'}\n    weight: 3e-09"
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
{blocks.network(blocks.beginning(folder, pretrained="", pruned=pruned), num_layers=10)}
{blocks.evaluation(classes, period=period, least=4)}
{blocks.cost(dict.fromkeys(classes, "1.0"))}
{blocks.training(batch_size=8, epochs=str(epochs), rates=_RATES, regularizer=regularizer, last=epochs)}
bbox_rasterizer_config {{
{raster}
  deadzone_radius: 0.67
}}
"""


def _inference(folder: str, classes: Sequence[str], size_hw: tuple[int, int]) -> str:
    made = blocks.inference(
        dict.fromkeys(classes, "0.3"),
        model=f"{folder}/retrained/weights/detector.tlt",
        size_hw=size_hw,
        batch_size=8,
    )
    return f"# Draws what the detector finds, and writes it as KITTI labels. Written by `taolite demo`.\n{made}"
