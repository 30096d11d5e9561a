"""The flags of jetson-inference's train.py as a spec: training without a spec file uses the same code.

A template spec in TAO's format holds the defaults. Each given flag changes one field of the template. The starting
weights decide the training settings. A resumed run starts from its own saved spec, so its flags need not be given
again. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from taolite import spec as specs
from taolite.errors import UsageError
from taolite.spec import SpecModel
from taolite.tasks.classification.spec import (
    SGD,
    Adam,
    ClassificationSpec,
    ClassTeacherConfig,
    LearningRate,
    Optimizer,
    Stairs,
    TaoliteConfig,
)

__all__ = ["Settings", "spec_of", "template"]

_LIKE_THEIRS = LearningRate(stairs=Stairs(learning_rate=0.1, epochs=30, gamma=0.1))
_THEIR_CROPS = 0.08  # least share of a photo's area in a crop
_RATES = {"published": 1e-4, "trained": 3e-4, "random": 1e-3}  # Adam's learning rate by kind of starting weights
_SGD_RATE = 1e-3
_HEAD_RATE = 10.0  # times the rate of the published layers: only the head starts from random weights
_Model = TypeVar("_Model", bound=SpecModel)


@dataclass(frozen=True)
class Settings:
    """The values of train.py's flags; None: the flag is not given.

    `pretrained`: "" starts from random weights, None from torchvision's weights. `teacher`: a file, or "parent".
    `compat` uses train.py's optimiser, learning rate, schedule and crops. If `optimizer` is not given, a learning rate
    or a momentum selects SGD, as in train.py.
    """

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
    teacher: str | None = None
    compat: bool = False


def template() -> ClassificationSpec:
    """The spec with all defaults."""
    return specs.load(Path(__file__).with_name("jetson_spec.txt"), ClassificationSpec)


def spec_of(settings: Settings, *, kept: ClassificationSpec | None = None) -> ClassificationSpec:
    """The spec for the flags: the template, or the spec `kept` by a resumed run, with the fields that the flags set.

    Raises SpecError, UsageError where flags contradict each other.
    """
    made = _with(kept or template(), _changes(settings, kept or template()))
    if kept is None:
        made = _with(made, _beginning(settings, made))
    made = _with(made, _pace(settings, made))
    return specs.loads(specs.dumps(made), ClassificationSpec, path="the flags as a spec")


def _changes(settings: Settings, made: ClassificationSpec) -> dict[str, Any]:
    """The fields that the given flags set: path in `made` -> value."""
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
    if settings.teacher is not None:
        changes |= {"taolite": TaoliteConfig(teacher=ClassTeacherConfig(model=settings.teacher))}
    if settings.weight_decay is not None:
        changes |= _decay(settings.weight_decay)
    return changes


def _beginning(settings: Settings, made: ClassificationSpec) -> dict[str, Any]:
    """The training settings of a new run, by its starting weights.

    Published layers keep their batch-norm statistics, because a batch of 8 pictures gives poor estimates. Published
    layers have a lower learning rate than the new head.
    """
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
    """torch's weight decay as TAO's regulariser: TAO adds `weight` times the sum of squares to the cost.

    The gradient of TAO's term is twice that of torch's weight decay.
    """
    if weight == 0:
        return {"train_config.reg_config.type": "None"}
    return {"train_config.reg_config.type": "L2", "train_config.reg_config.weight_decay": weight / 2}


def _with(model: _Model, changes: Mapping[str, Any]) -> _Model:
    """A copy of `model` with `changes`: dotted path -> new value."""
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        update = {head: _with(getattr(model, head), {rest: value}) if rest else value}
        model = model.model_copy(update=update)
    return model
