"""The specs of a detector for a data set: sizes, epochs, views and thresholds chosen from its pictures and boxes.

Every choice stands in the spec with its reason as a comment; docs/cookbook/recipe.md has the measurements behind the
numbers here. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.sample import Sample
from taolite.spec.write import literal
from taolite.tasks.detectnet import blocks
from taolite.tasks.proposal import (
    Labels,
    Places,
    balance_note,
    closeness,
    each,
    epochs_for,
    fitting_block,
    input_size,
    sides,
    spread,
)

__all__ = ["LABELS", "propose"]

LABELS: Labels = "boxes"

_BATCH = 8
_SEEN = 7200  # pictures that training sees, all epochs together
_EPOCHS = (20, 300)  # least and most
_AGAIN = 3  # times as many for a pruned network, whose steps are cheaper (docs/cookbook/pruning.md)
_WARM_UP = 60  # steps
_SIDES = (224, 288, 352, 416, 512, 640, 768, 960, 1248)  # longer side of the input, pixels
_SMALL = 32.0  # pixels of the input that nine of ten objects reach: two cells
_MANY = 2000  # training pictures from which mosaics are rarer
_RADIUS, _LEAST_RADIUS = 0.6, 0.56  # of the ellipse whose cells learn an object: share of its half; cells
_STRIDE = 16  # pixels of a cell
_LEAST_WEIGHT = 0.05  # of a class
_APART, _SHARED = 0.15, (0.45, 0.55)  # IoU above that of labels from which finds are one object, and its bounds
_VARIED, _SCALES = 1.5, (0.2, 0.5)  # logarithm of the change of scale: share of the objects' own spread, and its bounds


@dataclass(frozen=True)
class _Chosen:
    """The numbers of a training spec, and the reasons for those that depend on the data."""

    hw: tuple[int, int]
    why_hw: str
    epochs: int
    why_epochs: str
    steps: int
    mosaic: float
    why_mosaic: str
    scale: tuple[float, float]
    why_scale: str
    weights: dict[str, str]
    merged: dict[str, str]
    extension: str
    balance: str


def propose(train: Sequence[Sample], *, parts: Sequence[str], classes: Sequence[str], places: Places) -> dict[str, str]:
    """Texts of spec files by name, for the training pictures `train`.

    Args:
        parts: names of the parts that are converted: train, val and perhaps test.
        classes: names as TFRecords have them, in lower case.
    """
    chosen = _choose(train, classes, times=1)
    return {
        **{f"tfrecords_{part}.txt": _conversion(places, part, chosen.extension) for part in parts},
        "train.txt": _training(chosen, classes, places, pruned=False),
        "retrain.txt": _training(_choose(train, classes, times=_AGAIN), classes, places, pruned=True),
        "inference.txt": _inference(chosen, classes, places),
    }


def _choose(train: Sequence[Sample], classes: Sequence[str], *, times: int) -> _Chosen:
    """The numbers for a training that sees `times` as many pictures as usual."""
    hw, why_hw = input_size(train, sides=_SIDES, enough=_SMALL)
    count, (least, most) = len(train), _EPOCHS
    epochs, why_epochs = epochs_for(count, seen=times * _SEEN, least=least, most=times * most)
    few, sides_of = count < _MANY, sides(train, hw)
    varies = spread(sides_of)
    change = min(max(_VARIED * varies, _SCALES[0]), _SCALES[1])
    return _Chosen(
        hw,
        why_hw,
        epochs,
        why_epochs,
        epochs * math.ceil(count / _BATCH),
        0.5 if few else 0.25,
        f"{'fewer' if few else 'more'} than {_MANY} pictures",
        (round(math.exp(-change), 1), round(math.exp(change), 1)),
        f"objects of a class vary in size by a factor of {math.exp(varies):.2f} (standard deviation)",
        dict.fromkeys(classes, "1.0") | _weights(sides_of),
        dict.fromkeys(classes, f"{_SHARED[1]}")
        | {name: f"{min(max(near + _APART, _SHARED[0]), _SHARED[1]):.2f}" for name, near in closeness(train).items()},
        train[0].image.suffix.lstrip(".").lower(),
        balance_note(train, classes, unit="object"),
    )


def _weights(sides_of: Mapping[str, NDArray[np.float64]]) -> dict[str, str]:
    """The weight of each class, of mean 1: by the root of the number of cells that learn it, the fewer, the more."""
    radii = {name: np.maximum(_RADIUS * both / 2 / _STRIDE, _LEAST_RADIUS) for name, both in sides_of.items()}
    roots = {name: 1 / math.sqrt(np.maximum(math.pi * both.prod(axis=1), 1).sum()) for name, both in radii.items()}
    mean = sum(roots.values()) / len(roots)
    return {name: f"{max(root / mean, _LEAST_WEIGHT):.2f}" for name, root in roots.items()}


def _conversion(places: Places, part: str, extension: str) -> str:
    return f"""# Converts the KITTI labels of the part `{part}` to TFRecords.
kitti_config {{
  root_directory_path: {literal(f"{places.folder}/data/{part}")}
  image_dir_name: "image_2"
  label_dir_name: "label_2"
  image_extension: ".{extension}"
  partition_mode: "random"
  num_partitions: 2
  val_split: 0  # the part is converted whole
  num_shards: 4
}}
"""


def _training(chosen: _Chosen, classes: Sequence[str], places: Places, *, pruned: bool) -> str:
    folder, (height, width) = places.folder, chosen.hw
    period = max(1, chosen.epochs // 5)
    teacher = ""
    if pruned:
        teacher = f"""
  teacher {{
    # The model before it was pruned: its coverage and boxes are learned beside the labels.
    model: {literal(f"{folder}/trained/weights/detector.tlt")}
  }}"""
    mapping = each(classes, "  target_class_mapping { key: NAME value: NAME }")
    clustering = each(
        classes,
        """  target_class_config {
    key: NAME
    value {
      clustering_config {
        clustering_algorithm: NMS
        coverage_threshold: 0.02  # low, so that precision and recall are measured to the end
        nms_iou_threshold: MERGED  # labels of this class overlap less
        nms_confidence_threshold: 0.02
      }
    }
  }""",
        MERGED=chosen.merged,
    )
    start = blocks.beginning(folder, pretrained=places.pretrained, pruned=pruned)
    raster = each(
        classes,
        """  target_class_config {
    key: NAME
    value {
      cov_center_x: 0.5
      cov_center_y: 0.5
      cov_radius_x: RADIUS  # cells within RADIUS of an object's half width and height learn it
      cov_radius_y: RADIUS
      bbox_min_radius: LEAST
    }
  }""".replace("RADIUS", f"{_RADIUS:g}").replace("LEAST", f"{_LEAST_RADIUS:g}"),
    )
    what = "Trains the pruned network again" if pruned else "Trains a detector"
    return f"""# {what}. Written by `taolite spec new`, which chose the numbers from the data.
{chosen.balance}
random_seed: 42
dataset_config {{
  data_sources {{
    tfrecords_path: {literal(f"{folder}/tfrecords/train-*")}
    image_directory_path: {literal(f"{folder}/data/train")}
  }}
  validation_data_source {{
    tfrecords_path: {literal(f"{folder}/tfrecords/val-*")}
    image_directory_path: {literal(f"{folder}/data/val")}
  }}
  image_extension: "{chosen.extension}"
{mapping}
}}
augmentation_config {{
  preprocessing {{
    # {chosen.why_hw}
    output_image_width: {width}
    output_image_height: {height}
    output_image_channel: 3
    enable_auto_resize: true
  }}
  spatial_augmentation {{
    # In place of this, training uses the block taolite {{ views }} below.
    hflip_probability: 0.5
    zoom_min: 1.0
    zoom_max: 1.0
  }}
}}
postprocessing_config {{
{clustering}
}}
{blocks.network(start, num_layers=18, scale_note="as DeepStream decodes it")}
{blocks.evaluation(classes, period=period, least=1)}
{blocks.cost({name: chosen.weights[name] for name in classes})}
{_schedule(chosen)}
bbox_rasterizer_config {{
{raster}
  deadzone_radius: 0.67
}}
# What TAO does not have: docs/cookbook/recipe.md. Without this block the spec trains as TAO does.
taolite {{
  keep_aspect: true
  views {{
    mosaic_probability: {chosen.mosaic:g}  # {chosen.why_mosaic}
    scale_min: {chosen.scale[0]:g}  # {chosen.why_scale}
    scale_max: {chosen.scale[1]:g}
    mosaic_scale_min: {chosen.scale[0] - 0.1:g}
    mosaic_scale_max: 1
    aspect_max: 0.2
  }}
  loss {{
    quality: true
    focus: 2.0
    box: GIOU
    box_weight: 1.5
    smaller_wins: true
  }}
{fitting_block(1.0 if pruned else 0.3)}{teacher}
}}
"""


def _schedule(chosen: _Chosen) -> str:
    return blocks.training(
        batch_size=_BATCH,
        epochs=f"{chosen.epochs}  # {chosen.why_epochs}",
        rates=f"""      min_learning_rate: 1e-06
      max_learning_rate: 0.001
      soft_start: {min(_WARM_UP / chosen.steps, 0.3):.4f}  # {_WARM_UP} steps
      annealing: 0.6""",
        regularizer="    type: NO_REG\n    weight: 0.0",
        last=chosen.epochs,
    )


def _inference(chosen: _Chosen, classes: Sequence[str], places: Places) -> str:
    model = f"{places.folder}/trained/weights/detector.tlt"
    merged = {name: chosen.merged[name] for name in classes}
    made = blocks.inference(merged, model=model, size_hw=chosen.hw, batch_size=4)
    return f"# Draws what the detector finds, and writes it as KITTI labels.\n{made}"
