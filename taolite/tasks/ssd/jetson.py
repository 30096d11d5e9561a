"""pytorch-ssd's settings: its flags as a taolite spec, and the plan made from it (reference/jetson_workflows.md 4, 5).

`jetson_config` has a field of the same name for each flag. A resumed run begins with the spec it was started with, so
its flags need not be given again. torch is not loaded until a run is set up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from taolite import spec as specs
from taolite.data.examples import Source
from taolite.data.order import generator
from taolite.errors import DataError
from taolite.events import Notice
from taolite.formats.openimages import read_openimages_classes, read_openimages_set
from taolite.formats.part import DataPart
from taolite.formats.voc_sets import read_voc_classes, read_voc_set
from taolite.sample import Sample
from taolite.tasks.base import Recipe, Resolve, Schedule, Split, Watch
from taolite.tasks.schedules import Fixed
from taolite.tasks.ssd.foreign import FOUND, IN_USE, pytorch_ssd_preprocessing
from taolite.tasks.ssd.plan import CostRule, Matching, NetworkPlan, Origin, Rates, Scoring, SsdPlan, Views
from taolite.tasks.ssd.priors import jetson_levels
from taolite.tasks.ssd.spec import JetsonConfig, SsdSpec, TaoliteConfig
from taolite.tasks.teaching import TeacherConfig

__all__ = [
    "Cosine",
    "MultiStep",
    "balanced",
    "plan_of",
    "schedule_of",
    "spec_of",
]

_THEIRS = {"t_max": 100.0, "warm_up": 0.0}
_ADAM_RATE, _PUBLISHED = 5e-4, 0.2  # learning rate of new layers; factor on it for published layers
_SGDS = ("lr", "base_net_lr", "extra_layers_lr", "momentum")  # flags whose usual values are meant for SGD
_BEGINNINGS = ("resume", "base_net", "pretrained_ssd")
_FIRST_RATE = 0.1  # where the warm-up begins, as a fraction of the largest rate


def spec_of(
    given: Mapping[str, Any], *, kept: SsdSpec | None = None, teacher: str | None = None, compat: bool = False
) -> SsdSpec:
    """The spec that the flags describe: the defaults, or the spec of the resumed run, with each field of `given` set.

    A new run uses Adam. It uses SGD where a rate or a momentum is given without an optimizer, because train_ssd.py's
    values are meant for SGD. The batch norms of a pretrained backbone keep their statistics, because small batches
    would make them noisier.

    Args:
        given: fields of `jetson_config` whose flags were given.
        kept: the spec of the resumed run.
        teacher: a model's file, or "parent"; None: that of the resumed run, or none.
        compat: train as train_ssd.py does: SGD, a cosine of 100 epochs, no warm-up, statistics of each batch.

    Raises SpecError where settings contradict each other.
    """
    made = (kept.jetson_config if kept else None) or JetsonConfig()
    changes = {**(_THEIRS if compat else {} if kept else _beginning(given)), **given}
    if any(changes.get(name) for name in _BEGINNINGS):
        changes = {**dict.fromkeys(_BEGINNINGS, ""), **changes}
    own = kept.taolite if kept else None
    if teacher is not None:
        own = TaoliteConfig(teacher=TeacherConfig(model=teacher))
    spec = SsdSpec().model_copy(update={"jetson_config": made.model_copy(update=changes), "taolite": own})
    return specs.loads(specs.dumps(spec), SsdSpec, path="the flags as a spec")


def _beginning(given: Mapping[str, Any]) -> dict[str, Any]:
    """The training settings of a new run, from its flags. Published layers get a lower learning rate than new ones. A
    taolite model may be pruned, so its batch-norm statistics are learned anew."""
    start = next((str(given[name]) for name in _BEGINNINGS if given.get(name)), "")
    published = bool(start) and not start.endswith(".tlt")
    if given.get("optimizer", "sgd") == "sgd" and any(name in given for name in ("optimizer", *_SGDS)):
        return {"freeze_bn": published}
    rate = _ADAM_RATE * (_PUBLISHED if published else 1)
    return {"freeze_bn": published, "optimizer": "adam", "lr": _ADAM_RATE, "base_net_lr": rate}


def plan_of(config: JetsonConfig, *, resolve: Resolve, classes: Sequence[str] | None = None) -> SsdPlan:
    """The plan that the settings describe. `classes` are those of an existing model; None takes those of the data.

    Raises PathError, and DataError where the classes have to come from the data and cannot.
    """
    names, said = (tuple(classes), ()) if classes is not None else _classes(config, resolve)
    numbers = {name: number for number, name in enumerate(names)}
    size, preprocessing = (
        config.resolution,
        pytorch_ssd_preprocessing(config.net, (config.resolution, config.resolution)),
    )
    decoding = {**FOUND, "method": config.nms_method}
    return SsdPlan(
        classes=names,
        network=NetworkPlan(config.net, (size, size), width_mult=config.mb2_width_mult, freeze_bn=config.freeze_bn),
        priors=partial(jetson_levels, config.net, size),
        matching=Matching("best", 0.5, 0.5),
        cost=CostRule(alpha=1.0, negatives=3.0, mining="image"),
        views=Views("pytorch-ssd", fill=preprocessing.offsets),
        preprocessing=preprocessing,
        decoding=decoding,
        scoring=Scoring("voc07" if config.use_2007_metric else "area", config.iou_threshold),
        recipe=_recipe(config),
        schedule=partial(schedule_of, config),
        watch=Watch(points=10, every_epochs=None, pictures=0, decoding={**decoding, **IN_USE}),
        sources=partial(_sources, config, names, said),
        class_of=numbers.get,
        origin=_origin(config),
        rates=_rates(config),
        learns_difficult=False,
        run_files={"labels.txt": "\n".join(("BACKGROUND", *names))},
    )


def _recipe(config: JetsonConfig) -> Recipe:
    import torch

    every, epochs = config.validation_epochs, config.num_epochs
    return Recipe(
        seed=config.random_seed,
        epochs=epochs,
        batch_size=config.batch_size,
        optimizer=partial(torch.optim.Adam, lr=0.0, fused=True)
        if config.optimizer == "adam"
        else partial(torch.optim.SGD, lr=0.0, momentum=config.momentum),
        regularizer="l2" if config.weight_decay else "none",
        regularizer_weight=config.weight_decay / 2,  # the cost adds weight * w^2, whose gradient is 2 * weight * w
        checkpoint_interval=every,
        validates=lambda epoch: epoch % every == 0 or epoch == epochs,
        epoch_model=f"{config.net}-Epoch-{{index}}-Loss-{{cost}}.tlt",
        keeps_last=True,
        best_model="model_best.tlt",
    )


def _origin(config: JetsonConfig) -> Origin:
    if config.resume:
        return Origin("whole", config.resume)
    if config.base_net:
        return Origin("backbone", config.base_net)
    return Origin("ssd", config.pretrained_ssd) if config.pretrained_ssd else Origin()


def _rates(config: JetsonConfig) -> Rates:
    def share(rate: float | None, *, frozen: bool) -> float | None:
        if frozen or rate == 0:
            return None
        return 1.0 if rate is None else rate / config.lr

    return Rates(
        backbone=share(config.base_net_lr, frozen=config.freeze_base_net or config.freeze_net),
        extras=share(config.extra_layers_lr, frozen=config.freeze_net),
    )


def schedule_of(config: JetsonConfig) -> Schedule:
    """The learning rates of the heads; the rates of other layers are fractions of them."""
    warm = config.warm_up * config.num_epochs
    if config.scheduler == "cosine":
        return Cosine(config.lr, config.t_max or float(config.num_epochs), warm)
    return MultiStep(config.lr, config.milestones, config.gamma, warm)


@dataclass(frozen=True)
class Cosine(Fixed):
    """A cosine from `base` to 0 in `t_max` epochs, and back in as many more, after a warm-up of `warm` epochs.

    >>> [round(Cosine(0.01, t_max=100, warm=0).rate(elapsed), 5) for elapsed in (0, 30, 60, 100)]
    [0.01, 0.00794, 0.00345, 0.0]
    """

    base: float
    t_max: float
    warm: float

    def rate(self, elapsed: float) -> float:
        return _warmed(elapsed, self.warm) * self.base * (1 + math.cos(math.pi * elapsed / self.t_max)) / 2


@dataclass(frozen=True)
class MultiStep(Fixed):
    """`base`, multiplied by `gamma` after each of `milestones`, in epochs, after a warm-up of `warm` epochs."""

    base: float
    milestones: tuple[int, ...]
    gamma: float
    warm: float

    def rate(self, elapsed: float) -> float:
        passed = sum(elapsed >= milestone for milestone in self.milestones)
        return float(_warmed(elapsed, self.warm) * self.base * self.gamma**passed)


def _warmed(elapsed: float, warm: float) -> float:
    return 1.0 if elapsed >= warm else _FIRST_RATE + (1 - _FIRST_RATE) * elapsed / warm


_READ: Mapping[str, Callable[..., DataPart]] = {"voc": read_voc_set, "open_images": read_openimages_set}
_READ_CLASSES: Mapping[str, Callable[[Path], tuple[tuple[str, ...], list[Notice]]]] = {
    "voc": read_voc_classes,
    "open_images": read_openimages_classes,
}

_MARKS = {"voc": "Annotations/*.xml", "open_images": "*-annotations-bbox.csv"}  # files that identify each type


def _classes(config: JetsonConfig, resolve: Resolve) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    """The classes of all roots, and notices about them. One root keeps its own order; the classes of several roots are
    sorted for tables, else in the order they are met."""
    found: dict[str, None] = {}
    notices: list[Notice] = []
    for root in config.datasets:
        names, said = _read_classes(config.dataset_type, Path(resolve(root)))
        found |= dict.fromkeys(names)
        notices += said
    return tuple(sorted(found) if config.dataset_type == "open_images" else found), tuple(notices)


def _read_classes(dataset_type: str, root: Path) -> tuple[tuple[str, ...], list[Notice]]:
    """The classes of one root. Where it holds none but is a data set of the other type, the error names that type's
    flag."""
    try:
        return _READ_CLASSES[dataset_type](root)
    except DataError as error:
        other = {"voc": "open_images", "open_images": "voc"}[dataset_type]
        if any(root.glob(_MARKS[other])):
            text = f"{root}: this looks like a data set of the type {other}; add --dataset-type={other}"
            raise DataError(text) from error
        raise


def _sources(
    config: JetsonConfig, classes: tuple[str, ...], said: tuple[Notice, ...], split: Split, *, resolve: Resolve
) -> tuple[Sequence[Source], Sequence[Notice]]:
    """A split of all roots, one root after the other; validation, in training and afterwards, uses `test`. The notices
    `said` about the classes, and the object counts by class, come with the training images."""
    read = _READ[config.dataset_type]
    samples: list[Sample] = []
    notices: list[Notice] = []
    strangers: Counter[str] = Counter()
    for root in config.datasets:
        part = read(resolve(root), split="train" if split == "train" else "test", classes=classes)
        samples += part.samples
        notices += part.notices
        strangers.update(part.strangers)
    if split != "train":
        return [Source(samples)], notices
    _need_objects(samples, classes, config.datasets, strangers)
    if config.balance_data:
        samples = balanced(samples, classes, seed=config.random_seed)
    labels = Notice(f"Labels: {('BACKGROUND', *classes)}")
    return [Source(samples)], [*said, labels, *notices, *_histogram(samples, classes)]


def _histogram(samples: Sequence[Sample], classes: Sequence[str]) -> Iterator[Notice]:
    """The object counts that train_ssd.py prints for Open Images, here for every data set."""
    objects = Counter(label.name for sample in samples for label in sample.labels)
    yield Notice(f"Dataset Summary: Number of Images: {len(samples)}, Label Distribution:")
    for name in classes:
        yield Notice(f"    {name}: {objects[name]}")


def _need_objects(
    samples: Sequence[Sample], classes: Sequence[str], roots: Sequence[str], strangers: Mapping[str, int]
) -> None:
    """Raises DataError where there is no object to learn from."""
    if not any(sample.labels for sample in samples):
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(strangers.items()))
        found = f"the labels are {listed}" if strangers else "there is not one label"
        raise DataError(
            f"{', '.join(roots)}: no training image has an object of {', '.join(classes)}: {found}; "
            "correct labels.txt, or the labels"
        )


def balanced(samples: Sequence[Sample], classes: Sequence[str], *, seed: int) -> list[Sample]:
    """As many images of each class as the rarest class has, drawn at random; an image keeps its objects of other
    classes."""
    holding = {name: [i for i, one in enumerate(samples) if name in {x.name for x in one.labels}] for name in classes}
    least = min(len(images) for images in holding.values() if images)
    kept: set[int] = set()
    for number, images in enumerate(holding.values()):
        order = generator(seed, "balance", number).permutation(len(images))[:least]
        kept |= {images[index] for index in order}
    return [samples[index] for index in sorted(kept)]
