"""The training settings: `train_config` (reference/tao_classification_ssd.md 3.1 to 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from taolite.spec import Finding, Float, Key, OneOf, SpecModel, UInt, check, field
from taolite.tasks.services import VisualizerConfig

__all__ = [
    "SGD",
    "Adam",
    "Cosine",
    "LearningRate",
    "Optimizer",
    "PreprocessMode",
    "RMSprop",
    "Regularizer",
    "SoftAnneal",
    "Stairs",
    "Step",
    "TrainConfig",
    "VisualizerConfig",
]

PreprocessMode = Literal["tf", "caffe", "torch"]
_LR = "Needed by TAO and without effect: lr_config decides."
_DECAY = "After n steps the rate is divided by 1 + decay * n."


class SGD(SpecModel):
    """Stochastic gradient descent."""

    lr: Float = field(gt=0, doc=_LR)
    decay: Float = field(0.0, ge=0, doc=_DECAY)
    momentum: Float = field(0.0, ge=0, lt=1, doc="Share of the last step that is taken again.")
    nesterov: bool = field(False, doc="Nesterov's momentum.")


class Adam(SpecModel):
    """The Adam optimizer; missing fields are 0, as in TAO."""

    lr: Float = field(gt=0, doc=_LR)
    beta_1: Float = field(0.0, ge=0, lt=1, doc="Decay of the first moment.")
    beta_2: Float = field(0.0, ge=0, lt=1, doc="Decay of the second moment.")
    epsilon: Float = field(0.0, ge=0, doc="Added to the root of the second moment.")
    decay: Float = field(0.0, ge=0, doc=_DECAY)

    def spec_notes(self) -> Iterator[Finding]:
        yield from _zeros(self, {"beta_1": "0.9", "beta_2": "0.999", "epsilon": "1e-7"})


class RMSprop(SpecModel):
    """The RMSprop optimizer; missing fields are 0, as in TAO."""

    lr: Float = field(gt=0, doc=_LR)
    rho: Float = field(0.0, ge=0, lt=1, doc="Decay of the mean square.")
    epsilon: Float = field(0.0, ge=0, doc="Added to the root of the mean square.")
    decay: Float = field(0.0, ge=0, doc=_DECAY)

    def spec_notes(self) -> Iterator[Finding]:
        yield from _zeros(self, {"rho": "0.9", "epsilon": "1e-7"})


def _zeros(optimizer: SpecModel, usual: dict[str, str]) -> Iterator[Finding]:
    for name, value in usual.items():
        if getattr(optimizer, name) == 0:
            yield Finding((name,), f"is 0 or absent, which counts as 0; {value} is usual")


class Optimizer(SpecModel):
    """The optimizer: one of three."""

    one_of: ClassVar = (OneOf("optimizer", ("sgd", "adam", "rmsprop"), required=True),)

    sgd: SGD | None = field(None, doc="Stochastic gradient descent.")
    adam: Adam | None = field(None, doc="Adam.")
    rmsprop: RMSprop | None = field(None, doc="RMSprop.")


class Regularizer(SpecModel):
    """Regularisation of the kernels."""

    type: Literal["L1", "L2", "None"] = field(doc="Sum of absolute values (L1), of squares (L2), or nothing.")
    scope: str = field(min_length=1, doc="Layers it acts on, comma separated: Conv2D, Dense; case does not count.")
    weight_decay: Float = field(gt=0, doc="Factor of the sum; needed even with None.")

    @property
    def layers(self) -> frozenset[Literal["conv2d", "dense"]]:
        """The kinds of layers that are regularised."""
        named = {part.strip().lower() for part in self.scope.split(",")}
        return frozenset(kind for kind in ("conv2d", "dense") if kind in named)

    @check("type", "weight_decay")
    def _weight_is_a_share(self) -> Iterator[Finding]:
        if self.type != "None" and self.weight_decay >= 1:
            yield Finding(("weight_decay",), f"is {self.weight_decay:g}; it needs to be more than 0 and less than 1")

    def spec_notes(self) -> Iterator[Finding]:
        for part in self.scope.split(","):
            if part.strip().lower() not in ("conv2d", "dense"):
                yield Finding(("scope",), f'names "{part.strip()}", which is no layer here; Conv2D and Dense are')


class Step(SpecModel):
    """A smooth decay: the exponent of gamma grows with every step, as in TAO."""

    learning_rate: Float = field(gt=0, doc="Rate at the start, for each process.")
    step_size: Float = field(gt=0, le=100, unit="%", doc="Share of all steps in which the rate is multiplied by gamma.")
    gamma: Float = field(0.0, ge=0, le=1, doc="Factor of the rate in each step_size.")

    def spec_notes(self) -> Iterator[Finding]:
        if self.gamma == 0:
            yield Finding(("gamma",), "is 0 or absent: the rate is 0 from the second step on; 0.1 is usual")


class SoftAnneal(SpecModel):
    """A linear rise to the rate; the rate is then divided at each annealing point."""

    learning_rate: Float = field(gt=0, doc="Rate after the soft start, for each process.")
    soft_start: Float = field(0.0, ge=0, lt=1, doc="Share of all steps in which the rate rises, from 3e-4.")
    annealing_points: tuple[Float, ...] = field((), doc="Shares of all steps after which the rate is divided.")
    annealing_divider: Float = field(0.0, ge=0, doc="What the rate is divided by at each point.")

    @check("soft_start", "annealing_points")
    def _points_ascend(self) -> Iterator[Finding]:
        before, name = self.soft_start, "soft_start"
        for index, point in enumerate(self.annealing_points):
            if point <= before:
                text = f"is {point:g}; it needs to be more than {before:g} ({name})"
                yield Finding(("annealing_points", index), text)
            before, name = point, "the point before"

    @check("annealing_points", "annealing_divider")
    def _divides(self) -> Iterator[Finding]:
        if self.annealing_points and self.annealing_divider == 0:
            yield Finding(("annealing_divider",), "is 0 or absent; with annealing_points it needs to be more than 0")


class Cosine(SpecModel):
    """A linear rise to the rate, then half a cosine down."""

    learning_rate: Float = field(gt=0, doc="Largest rate, for each process.")
    min_lr_ratio: Float = field(0.0, ge=0, le=1, doc="Least rate, as a share of the largest.")
    soft_start: Float = field(0.0, ge=0, lt=1, doc="Share of all steps in which the rate rises.")


class Stairs(SpecModel):
    """A taolite addition: the rate is multiplied by gamma after every fixed number of epochs, as in torchvision."""

    learning_rate: Float = field(gt=0, doc="Rate at the start, for each process.")
    epochs: UInt = field(gt=0, unit="epochs", doc="Length of a stair.")
    gamma: Float = field(0.1, gt=0, le=1, doc="Factor of the rate from stair to stair.")


class LearningRate(SpecModel):
    """One of TAO's three schedules, or taolite's `stairs`."""

    one_of: ClassVar = (OneOf("schedule", ("step", "soft_anneal", "cosine", "stairs"), required=True),)

    step: Step | None = field(None, doc="A smooth decay.")
    soft_anneal: SoftAnneal | None = field(None, doc="Up, then divided at given points.")
    cosine: Cosine | None = field(None, doc="Up, then half a cosine down.")
    stairs: Stairs | None = field(None, doc="Ours: down by a factor every so many epochs.")


class TrainConfig(SpecModel):
    """The training loop and its data."""

    train_dataset_path: str = field(min_length=1, doc="Folder with a folder of pictures for each class.")
    val_dataset_path: str = field(min_length=1, doc="The same, held out.")
    pretrained_model_path: str = field("", doc='Weights to start from; "" starts from random ones.')
    optimizer: Optimizer = field(doc="The optimizer.")
    batch_size_per_gpu: UInt = field(gt=0, unit="images", doc="Images in a step, on each GPU.")
    n_epochs: UInt = field(gt=0, unit="epochs", doc="Times the data is gone through.")
    n_workers: UInt = field(gt=0, doc="Processes that load pictures.")
    reg_config: Regularizer = field(doc="Pull of the kernels towards zero.")
    lr_config: LearningRate = field(doc="The schedule of the learning rate.")
    random_seed: UInt = field(0, doc="Seed of everything random; each process adds its rank.")
    enable_random_crop: bool = field(False, doc="Training pictures are cropped at random instead of stretched.")
    enable_center_crop: bool = field(False, doc="Validation pictures are cropped at their centre instead of stretched.")
    enable_color_augmentation: bool = field(False, doc="Colours vary in training; only with enable_random_crop.")
    label_smoothing: Float = field(0.0, ge=0, lt=1, doc="Share of a label that is spread over all classes.")
    preprocess_mode: PreprocessMode = field("caffe", doc="How pixels become numbers.")
    mixup_alpha: Float = field(0.0, ge=0, doc="Both parameters of the Beta distribution of mixup; 0 is none.")
    model_parallelism: tuple[Float, ...] = field(
        (), ignored="a network is not split over GPUs here", doc="Without effect."
    )
    image_mean: dict[str, Float] = field({}, doc="Mean of the channels r, g, b or l, 0..255; in caffe mode only.")
    disable_horizontal_flip: bool = field(False, doc="Training pictures are not mirrored.")
    visualizer: VisualizerConfig | None = field(None, doc="Pictures and curves of the run.")

    @check("image_mean")
    def _means_are_of_channels(self) -> Iterator[Finding]:
        for name, mean in self.image_mean.items():
            if name not in ("r", "g", "b", "l"):
                yield Finding(("image_mean", Key(name)), "is no channel; the keys are `r`, `g` and `b`, or `l` of grey")
            elif not 0 <= mean <= 255:
                yield Finding(("image_mean", Key(name)), f"is {mean:g}; it needs to be from 0 to 255")

    def spec_notes(self) -> Iterator[Finding]:
        if "preprocess_mode" not in self.model_fields_set:
            text = "is absent and acts as `caffe` (TAO refuses the spec); say which one you mean"
            yield Finding(("preprocess_mode",), text)
        if self.image_mean and self.preprocess_mode != "caffe":
            yield Finding(("image_mean",), f"has no effect with preprocess_mode {self.preprocess_mode}")
        if self.enable_color_augmentation and not self.enable_random_crop:
            yield Finding(("enable_color_augmentation",), "has no effect without enable_random_crop, as in TAO")
