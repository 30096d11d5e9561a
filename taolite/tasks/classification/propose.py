"""The specs of a classifier for class folders: input size, epochs, rate and views chosen from its pictures.

Every choice stands in the spec with its reason as a comment. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taolite.sample import Sample
from taolite.spec.write import literal
from taolite.tasks.proposal import Labels, Places, balance_note, epochs_for, fitting_block

__all__ = ["LABELS", "propose"]

LABELS: Labels = "folders"

_SIDES = (64, 96, 128, 160, 224)  # of the input, pixels
_FEW = 2000  # training pictures below which batches are small and colours vary
_BATCHES = (16, 32)  # for few pictures, and for many
_RATES = {True: 0.003, False: 0.02}  # for a batch of 16: of AdamW from pretrained weights, of SGD from random ones
_BACKBONE_RATE = 0.03  # of pretrained layers: faster they forget what they know, slower they learn too little
_RETRAINED_RATE = 0.3
_SEEN = {True: 4_000, False: 40_000}  # pictures that training sees, all epochs together, by pretrained weights or not
_EPOCHS = (8, 100)  # least and most
_WARM_UP = 100  # steps
_SMOOTHED = 5  # classes from which labels are smoothed


@dataclass(frozen=True)
class _Chosen:
    """The numbers of a training spec, and the reasons for those that depend on the data."""

    side: int
    why_side: str
    batch: int
    why_batch: str
    epochs: int
    why_epochs: str
    steps: int
    pretrained: bool
    rate: float
    why_rate: str
    colours: bool
    why_colours: str
    smoothing: float
    balance: str


def propose(train: Sequence[Sample], *, parts: Sequence[str], classes: Sequence[str], places: Places) -> dict[str, str]:
    """Texts of spec files by name, for the training pictures `train`.

    Args:
        parts: names of the parts that are written: train, val and perhaps test, which `evaluate` then scores.
        classes: names of the class folders.
    """
    chosen = _choose(train, classes, pretrained=bool(places.pretrained))
    judged = "test" if "test" in parts else "val"
    return {
        "train.txt": _training(chosen, places, judged, pruned=False),
        "retrain.txt": _training(chosen, places, judged, pruned=True),
    }


def _choose(train: Sequence[Sample], classes: Sequence[str], *, pretrained: bool) -> _Chosen:
    count, few = len(train), len(train) < _FEW
    shorter = float(np.median([min(sample.size_hw) for sample in train]))
    side = next((side for side in _SIDES if side >= shorter), _SIDES[-1])
    batch = _BATCHES[0] if few else _BATCHES[1]
    least, most = _EPOCHS
    epochs, why_epochs = epochs_for(count, seen=_SEEN[pretrained], least=least, most=most)
    amount = f"{'fewer' if few else 'more'} than {_FEW} pictures"
    return _Chosen(
        side,
        f"half of the pictures have a shorter side of {shorter:.0f} pixels or more",
        batch,
        amount,
        epochs,
        why_epochs,
        epochs * math.ceil(count / batch),
        pretrained,
        _RATES[pretrained] * batch / _BATCHES[0],
        f"for batches of {batch}, from {'pretrained' if pretrained else 'random'} weights",
        few,
        amount,
        0.1 if len(classes) >= _SMOOTHED else 0.0,
        balance_note(train, classes, unit="picture"),
    )


def _training(chosen: _Chosen, places: Places, judged: str, *, pruned: bool) -> str:
    folder, rate = places.folder, chosen.rate
    if pruned and chosen.pretrained:
        rate /= 3  # all layers learn
    frozen = "\n  freeze_bn: true  # batches of few pictures tell less of them than ImageNet did"
    own = _own_block(pruned=pruned) if chosen.pretrained else ""
    what = "Trains the pruned network again" if pruned else "Trains a classifier"
    start = (
        f"  pretrained_model_path: {literal(places.pretrained)}"
        if places.pretrained
        else "  # random weights; a pretrained_model_path here helps more than any other setting"
    )
    network = """arch: "resnet"
  n_layers: 18
  use_batch_norm: true"""
    if places.arch:
        network = f"""arch: "torchvision"  # the graph of these weights; TAO's ResNet has a last stage of twice the size
  torchvision_arch: {literal(places.arch)}"""
    if pruned:
        start = f"  pretrained_model_path: {literal(f'{folder}/pruned/classifier.tlt')}  # layers and sizes are its own"
    return f"""# {what}. Written by `taolite spec new`, which chose the numbers from the data.
{chosen.balance}
model_config {{
  {network}{frozen if chosen.pretrained and not pruned else ""}
  input_image_size: "3,{chosen.side},{chosen.side}"  # {chosen.why_side}
}}
train_config {{
  train_dataset_path: {literal(f"{folder}/data/train")}
  val_dataset_path: {literal(f"{folder}/data/val")}
{start}
  optimizer {{
    sgd {{
      lr: {rate:g}  # without effect: lr_config sets the rate
      momentum: 0.9
    }}
  }}
  batch_size_per_gpu: {chosen.batch}  # {chosen.why_batch}
  n_epochs: {chosen.epochs}  # {chosen.why_epochs}
  n_workers: 2
  random_seed: 42
  preprocess_mode: "torch"  # as torchvision's weights expect pixels
  enable_random_crop: true
  enable_center_crop: true
  enable_color_augmentation: {"true" if chosen.colours else "false"}  # {chosen.why_colours}
  label_smoothing: {chosen.smoothing:g}
  reg_config {{
    type: "{"None" if chosen.pretrained else "L2"}"
    scope: "Conv2D,Dense"
    weight_decay: 5e-05
  }}
  lr_config {{
    cosine {{
      learning_rate: {rate:g}  # {chosen.why_rate}
      soft_start: {min(_WARM_UP / chosen.steps, 0.3):.4f}
      min_lr_ratio: 0.001
    }}
  }}
}}
eval_config {{
  eval_dataset_path: {literal(f"{folder}/data/{judged}")}
  top_k: 1
  batch_size: {chosen.batch}
  n_workers: 2
  enable_center_crop: true
}}
{own}"""


def _own_block(*, pruned: bool) -> str:
    teacher = """
  teacher { }  # the model before it was pruned: its scores are learned beside the labels"""
    return f"""# What TAO does not have: docs/cookbook/recipe.md. Without this block the spec trains as TAO does.
taolite {{
{fitting_block(_RETRAINED_RATE if pruned else _BACKBONE_RATE, cosine=False)}{teacher if pruned else ""}
}}
"""
