"""The specs of an SSD for a data set: input size, anchors, epochs and views chosen from its pictures and boxes.

Every choice stands in the spec with its reason as a comment. TAO's SSD takes its starting weights from `train -m`, so
the spec does not name them. Training and validation read KITTI folders; TFRecords are not needed. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taolite.sample import Sample
from taolite.spec.write import literal
from taolite.tasks.proposal import (
    Labels,
    Places,
    balance_note,
    each,
    epochs_for,
    fitting_block,
    input_size,
    on_one_line,
    smallest,
)

__all__ = ["LABELS", "propose"]

LABELS: Labels = "boxes"

_BATCH = 8
_SEEN = 7200  # pictures that training sees, all epochs together
_EPOCHS = (20, 300)  # least and most
_SIDES = (320, 416, 512, 640, 768)  # longer side of the input, pixels
_SMALL = 32.0  # pixels of the input that nine of ten objects reach: four cells of the first feature map
_LEAST_SCALE, _SCALES = 0.04, 0.1  # bounds of the first anchor's side, share of the input's shorter side
_LAST = (0.88, 1.05)  # the last two scales: objects that fill the picture
_SHRINKS = 64.0  # pixels of the smallest objects from which pictures are shown at down to a quarter of their size
_FEW = 1000  # training pictures below which colours vary more


@dataclass(frozen=True)
class _Chosen:
    """The numbers of a training spec, and the reasons for those that depend on the data."""

    hw: tuple[int, int]
    why_hw: str
    epochs: int
    why_epochs: str
    soft_start: float
    scales: tuple[float, ...]
    why_scales: str
    zoom_out: float
    why_zoom_out: str
    colour: float
    why_colour: str
    balance: str


def propose(train: Sequence[Sample], *, parts: Sequence[str], classes: Sequence[str], places: Places) -> dict[str, str]:
    """Texts of spec files by name, for the training pictures `train`.

    Args:
        parts: names of the parts that are written: train, val and perhaps test.
        classes: names in lower case.
    """
    chosen = _choose(train, classes)
    made = {
        "train.txt": _training(chosen, classes, places, pruned=False, judged="val"),
        "retrain.txt": _training(chosen, classes, places, pruned=True, judged="val"),
    }
    if "test" in parts:
        made["test.txt"] = _training(chosen, classes, places, pruned=False, judged="test")
    return made


def _choose(train: Sequence[Sample], classes: Sequence[str]) -> _Chosen:
    hw, why_hw = input_size(train, sides=_SIDES, enough=_SMALL)
    count, (least, most) = len(train), _EPOCHS
    epochs, why_epochs = epochs_for(count, seen=_SEEN, least=least, most=most)
    small = smallest(train, hw)
    first = float(np.clip(small / min(hw), _LEAST_SCALE, _SCALES))
    middle = np.linspace(max(2 * first, 0.2), _LAST[0], 5)
    zoom_out, few = 4.0 if small >= _SHRINKS else 2.0, count < _FEW
    return _Chosen(
        hw,
        why_hw,
        epochs,
        why_epochs,
        min(0.1, 200 / (epochs * math.ceil(count / _BATCH))),
        (round(first, 3), *(round(float(value), 2) for value in middle), _LAST[1]),
        f"the smallest objects are {small:.0f} of {min(hw)} pixels",
        zoom_out,
        f"at 1/{zoom_out:g} of its size the smallest object has {small / zoom_out:.0f} pixels",
        0.5 if few else 0.3,
        f"{'fewer' if few else 'more'} than {_FEW} pictures",
        balance_note(train, classes, unit="object"),
    )


def _training(chosen: _Chosen, classes: Sequence[str], places: Places, *, pruned: bool, judged: str) -> str:
    folder, (height, width) = places.folder, chosen.hw
    what = "Trains the pruned network again; give it with `train -m`" if pruned else "Trains an SSD"
    if judged == "test":
        what = "For `evaluate` on the test part; else the same as train.txt"
    start = f"weights to start from: `train -m {places.pretrained}`" if places.pretrained else "random weights"
    scales = ", ".join(f"{scale:g}" for scale in chosen.scales)
    own_rate = 0.3 if places.pretrained and not pruned else 1.0
    teacher = (
        "\n  teacher { }  # the model before it was pruned: its finds are learned beside the labels" if pruned else ""
    )
    mapping = each(classes, "  target_class_mapping { key: NAME value: NAME }")
    return f"""# {what}. Written by `taolite spec new`, which chose the numbers from the data.
{chosen.balance}
random_seed: 42
ssd_config {{
  arch: "resnet"  # {"layers and sizes are those of the pruned network" if pruned else on_one_line(start)}
  nlayers: 18
  # Sides of the anchors of the six feature maps, shares of the input's shorter side: {chosen.why_scales}.
  scales: "[{scales}]"
  aspect_ratios_global: "[1.0, 2.0, 0.5, 3.0, 1.0/3.0]"  # width / height
  two_boxes_for_ar1: true
  clip_boxes: false
  variances: "[0.1, 0.1, 0.2, 0.2]"
  freeze_bn: false
}}
training_config {{
  batch_size_per_gpu: {_BATCH}
  num_epochs: {chosen.epochs}  # {chosen.why_epochs}
  learning_rate {{
    soft_start_annealing_schedule {{
      min_learning_rate: 1e-06
      max_learning_rate: 0.001  # for batches of {_BATCH}
      soft_start: {chosen.soft_start:.4f}
      annealing: 0.6
    }}
  }}
  regularizer {{
    type: NO_REG
    weight: 0.0
  }}
  checkpoint_interval: {chosen.epochs}
}}
eval_config {{
  validation_period_during_training: {max(1, chosen.epochs // 5)}
  average_precision_mode: INTEGRATE  # the area under the curve
  batch_size: {_BATCH}
  matching_iou_threshold: 0.5
}}
nms_config {{
  confidence_threshold: 0.01  # low, so that precision and recall are measured to the end
  clustering_iou_threshold: 0.55  # a lower one removes one of two objects that touch
  top_k: 200
}}
augmentation_config {{
  # {chosen.why_hw}
  output_width: {width}
  output_height: {height}
  output_channel: 3
  zoom_out_max_scale: {chosen.zoom_out:g}  # {chosen.why_zoom_out}
  random_flip: 0.5
  brightness: 32
  contrast: {chosen.colour:g}  # {chosen.why_colour}
  saturation: {chosen.colour:g}
  hue: 18
}}
dataset_config {{
  data_sources {{
    image_directory_path: {literal(f"{folder}/data/train/image_2")}
    label_directory_path: {literal(f"{folder}/data/train/label_2")}
  }}
  validation_data_sources {{
    image_directory_path: {literal(f"{folder}/data/{judged}/image_2")}
    label_directory_path: {literal(f"{folder}/data/{judged}/label_2")}
  }}
{mapping}
}}
# What TAO does not have: docs/cookbook/recipe.md. Without this block the spec trains as TAO does, with SGD.
taolite {{
{fitting_block(own_rate)}{teacher}
}}
"""
