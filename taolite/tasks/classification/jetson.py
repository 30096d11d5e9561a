"""The settings of jetson-inference's train.py as a spec of ours: what needs no spec file is trained like what has one.

A template in TAO's words holds the defaults; each flag that is given changes one field of it, and what a network begins
with decides how it is trained. A run that goes on begins with the spec it was started with, so its flags need not be
given again. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from taolite import spec as specs
from taolite.errors import UsageError
from taolite.spec import SpecModel
from taolite.tasks.classification.spec import SGD, Adam, ClassificationSpec, LearningRate, Optimizer, Stairs

__all__ = ["Settings", "spec_of", "template"]

_LIKE_THEIRS = LearningRate(stairs=Stairs(learning_rate=0.1, epochs=30, gamma=0.1))
_THEIR_CROPS = 0.08  # of a photo's area, at least
_RATES = {"published": 1e-4, "trained": 3e-4, "random": 1e-3}  # of Adam, by what the weights are at the start
_SGD_RATE = 1e-3
_HEAD_RATE = 10.0  # times that of published layers: the head alone begins at random
_Model = TypeVar("_Model", bound=SpecModel)


@dataclass(frozen=True)
class Settings:
    """What train.py's flags say; None is a flag that is not given. `pretrained` "" starts from random weights, None
    from torchvision's own; `compat` takes their optimiser, learning rate, schedule and crops. A rate or a momentum is
    SGD's, as theirs is, where `optimizer` is not told."""

    dataset: Path | None = None
    dataset_type: Literal["folder", "nuswide", "voc"] | None = None
    arch: str | None = None
    resolution: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    optimizer: Literal["adam", "sgd"] | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    pretrained: str | None = None
    seed: int | None = None
    multi_label: bool | None = None
    multi_label_threshold: float | None = None
    compat: bool = False


def template() -> ClassificationSpec:
    """The defaults."""
    return specs.load(Path(__file__).with_name("jetson_spec.txt"), ClassificationSpec)


def spec_of(settings: Settings, *, kept: ClassificationSpec | None = None) -> ClassificationSpec:
    """The spec that the flags stand for: the template's, or that of the run which goes on, with each flag's field.

    Raises SpecError, UsageError where they contradict each other.
    """
    made = _with(kept or template(), _changes(settings, kept or template()))
    if kept is None:
        made = _with(made, _beginning(settings, made))
    made = _with(made, _pace(settings, made))
    return specs.loads(specs.dumps(made), ClassificationSpec, path="the flags as a spec")


def _changes(settings: Settings, made: ClassificationSpec) -> dict[str, Any]:
    """The fields that the given flags set, by their paths in `made`."""
    folders: dict[str, Any] = {}
    kind = settings.dataset_type or (made.jetson_config.dataset_type if made.jetson_config else "folder")
    if settings.dataset is not None:
        for field, split in (("train_dataset_path", "train"), ("val_dataset_path", "val")):
            folders[f"train_config.{field}"] = str(settings.dataset / split if kind == "folder" else settings.dataset)
        held_back = settings.dataset / ("test" if (settings.dataset / "test").is_dir() else "val")
        folders["eval_config.eval_dataset_path"] = str(held_back if kind == "folder" else settings.dataset)
    size = None if settings.resolution is None else f"3,{settings.resolution},{settings.resolution}"
    fresh = settings.arch is not None and made.train_config.pretrained_model_path.startswith("torchvision://")
    given = {
        "jetson_config.dataset_type": settings.dataset_type,
        "jetson_config.multi_label": settings.multi_label,
        "jetson_config.multi_label_threshold": settings.multi_label_threshold,
        "model_config_.torchvision_arch": settings.arch,
        "model_config_.input_image_size": size,
        "train_config.n_epochs": settings.epochs,
        "train_config.batch_size_per_gpu": settings.batch_size,
        "eval_config.batch_size": settings.batch_size,
        "train_config.pretrained_model_path": f"torchvision://{settings.arch}" if fresh else None,
        "train_config.random_seed": settings.seed,
    }
    if settings.pretrained is not None:
        given["train_config.pretrained_model_path"] = settings.pretrained
    changes = folders | {path: value for path, value in given.items() if value is not None}
    if settings.weight_decay is not None:
        changes |= _decay(settings.weight_decay)
    return changes


def _beginning(settings: Settings, made: ClassificationSpec) -> dict[str, Any]:
    """How a new run is trained, by what it starts from. Published layers keep the statistics of their batch norms,
    which 8 pictures at a time would only blur, and learn more slowly than the new head."""
    source = made.train_config.pretrained_model_path
    start = "random" if not source else "trained" if source.endswith(".tlt") else "published"
    if settings.compat:
        theirs = {"train_config.lr_config": _LIKE_THEIRS, "jetson_config.crop_area": _THEIR_CROPS}
        return theirs | {"train_config.optimizer": Optimizer(sgd=SGD(lr=0.1, momentum=0.9))}
    given = settings.learning_rate is not None or settings.momentum is not None
    kind = settings.optimizer or ("sgd" if given else "adam")
    sgd, adam = SGD(lr=_SGD_RATE, momentum=0.9), Adam(lr=_RATES[start], beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    kept = start == "published" and kind == "adam"
    return {
        "train_config.optimizer": Optimizer(sgd=sgd) if kind == "sgd" else Optimizer(adam=adam),
        "train_config.lr_config.cosine.learning_rate": (sgd if kind == "sgd" else adam).lr,
        "model_config_.freeze_bn": kept,
        "jetson_config.head_rate": _HEAD_RATE if kept else 1.0,
    }


def _pace(settings: Settings, made: ClassificationSpec) -> dict[str, Any]:
    """The fields that the given rate and momentum set."""
    schedule = "stairs" if made.train_config.lr_config.stairs else "cosine"
    kind = "sgd" if made.train_config.optimizer.sgd else "adam"
    if settings.momentum is not None and kind == "adam":
        raise UsageError("--momentum is of --optimizer=sgd, and this run is trained with adam; leave one of them out")
    given = {
        f"train_config.lr_config.{schedule}.learning_rate": settings.learning_rate,
        f"train_config.optimizer.{kind}.lr": settings.learning_rate,
        "train_config.optimizer.sgd.momentum": settings.momentum,
    }
    return {path: value for path, value in given.items() if value is not None}


def _decay(weight: float) -> dict[str, Any]:
    """TAO adds `weight` times the sum of squares to the cost, whose slope is twice as steep as torch's decay."""
    if weight == 0:
        return {"train_config.reg_config.type": "None"}
    return {"train_config.reg_config.type": "L2", "train_config.reg_config.weight_decay": weight / 2}


def _with(model: _Model, changes: Mapping[str, Any]) -> _Model:
    """`model` with other values at dotted paths."""
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        update = {head: _with(getattr(model, head), {rest: value}) if rest else value}
        model = model.model_copy(update=update)
    return model
