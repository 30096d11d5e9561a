"""Training and evaluation: `training_config`, `eval_config` and `nms_config` (reference/tao_classification_ssd.md 4.1).
TAO shares `training_config` with other networks; fields that its SSD ignores are read, with a warning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from taolite.spec import Finding, Float, OneOf, SpecEnum, SpecModel, UInt, check, field
from taolite.tasks.services import VisualizerConfig

__all__ = [
    "AveragePrecisionMode",
    "CostScaling",
    "EarlyStopping",
    "EvalConfig",
    "LearningRate",
    "NMSConfig",
    "Optimizer",
    "Regularizer",
    "RegularizerType",
    "SoftStartAnnealingSchedule",
    "TrainingConfig",
]

_SGD = "TAO's SSD is trained by SGD with momentum 0.9, whatever is written here"
_BY_FLAG = "TAO's SSD does not look at it; give the model to `train -m`"


class SoftStartAnnealingSchedule(SpecModel):
    """The rate rises from the minimum to the maximum, holds, and falls again; log-linear, over all steps."""

    min_learning_rate: Float = field(gt=0, doc="Rate at the very start and end.")
    max_learning_rate: Float = field(gt=0, doc="Rate between soft_start and annealing.")
    soft_start: Float = field(gt=0, lt=1, doc="Share of all steps after which the largest rate is reached.")
    annealing: Float = field(gt=0, lt=1, doc="Share of all steps after which the rate goes down.")

    @check("soft_start", "annealing")
    def _rises_before_it_falls(self) -> Iterator[Finding]:
        if self.soft_start >= self.annealing:
            text = f"is {self.soft_start:g}; it needs to be less than {self.annealing:g} (annealing)"
            yield Finding(("soft_start",), text)


class SoftStartCosineAnnealingSchedule(SpecModel):
    """A schedule of other networks."""

    max_learning_rate: Float = field(0.0, doc="Of other networks.")
    soft_start: Float = field(0.0, doc="Of other networks.")
    min_learning_rate: Float = field(0.0, doc="Of other networks.")


class LearningRate(SpecModel):
    """The only learning rate schedule that TAO's SSD takes."""

    soft_start_annealing_schedule: SoftStartAnnealingSchedule | None = field(None, doc="Fixed in advance.")
    soft_start_cosine_annealing_schedule: SoftStartCosineAnnealingSchedule | None = field(
        None, doc="Refused, as in TAO."
    )

    @check()
    def _is_the_one(self) -> Iterator[Finding]:
        if self.soft_start_cosine_annealing_schedule is not None:
            text = "is not taken by SSD, as in TAO; use `soft_start_annealing_schedule`"
            yield Finding(("soft_start_cosine_annealing_schedule",), text)
        elif self.soft_start_annealing_schedule is None:
            yield Finding((), "has no schedule; add `soft_start_annealing_schedule`")


class RegularizerType(SpecEnum):
    """The type of weight regularisation."""

    NO_REG = "NO_REG"
    L1 = "L1"
    L2 = "L2"


class Regularizer(SpecModel):
    """Weight regularisation of the convolution kernels."""

    type: RegularizerType = field(RegularizerType.NO_REG, doc="Sum of absolute values (L1) or of squares (L2).")
    weight: Float = field(0.0, ge=0, doc="Factor of the sum; more than 0 and less than 1 with a type.")

    @check("type", "weight")
    def _weight_is_a_share(self) -> Iterator[Finding]:
        if self.type is not RegularizerType.NO_REG and not 0 < self.weight < 1:
            text = f"is {self.weight:g}; it needs to be more than 0 and less than 1 with the type {self.type}"
            yield Finding(("weight",), text)


class Adam(SpecModel):
    """Adam, for other networks."""

    epsilon: Float = field(0.0, doc="Of other networks.")
    beta1: Float = field(0.0, doc="Of other networks.")
    beta2: Float = field(0.0, doc="Of other networks.")
    amsgrad: bool = field(False, doc="Of other networks.")


class SGD(SpecModel):
    """SGD, for other networks."""

    momentum: Float = field(0.0, doc="Of other networks.")
    nesterov: bool = field(False, doc="Of other networks.")


class RMSprop(SpecModel):
    """RMSprop, for other networks."""

    rho: Float = field(0.0, doc="Of other networks.")
    momentum: Float = field(0.0, doc="Of other networks.")
    epsilon: Float = field(0.0, doc="Of other networks.")
    centered: bool = field(False, doc="Of other networks.")


class Optimizer(SpecModel):
    """The optimiser; it has no effect in SSD."""

    one_of: ClassVar = (OneOf("optimizer", ("adam", "sgd", "rmsprop")),)

    adam: Adam | None = field(None, doc="Of other networks.")
    sgd: SGD | None = field(None, doc="Of other networks.")
    rmsprop: RMSprop | None = field(None, doc="Of other networks.")


class CostScaling(SpecModel):
    """Loss scaling; it has no effect in SSD."""

    enabled: bool = field(False, doc="Of other networks.")
    initial_exponent: Float = field(0.0, doc="Of other networks.")
    increment: Float = field(0.0, doc="Of other networks.")
    decrement: Float = field(0.0, doc="Of other networks.")


class EarlyStopping(SpecModel):
    """Training stops when a cost has not fallen for a number of epochs."""

    monitor: Literal["loss", "validation_loss", "val_loss"] = field(
        doc="Which cost: of the epochs, or of the validations by either name."
    )
    min_delta: Float = field(0.0, ge=0, doc="By how much it has to be lower to count as fallen.")
    patience: UInt = field(0, unit="epochs", doc="Epochs without a fall before the run ends.")


class TrainingConfig(SpecModel):
    """The training loop."""

    one_of: ClassVar = (OneOf("model", ("resume_model_path", "pretrain_model_path", "pruned_model_path")),)

    batch_size_per_gpu: UInt = field(gt=0, unit="images", doc="Images in a step, on each GPU.")
    num_epochs: UInt = field(gt=0, unit="epochs", doc="Times the data is gone through.")
    learning_rate: LearningRate = field(doc="The schedule of the learning rate.")
    regularizer: Regularizer = field(doc="Pull of the kernels towards zero; needed even without a type.")
    optimizer: Optimizer | None = field(None, ignored=_SGD, doc="Without effect.")
    cost_scaling: CostScaling | None = field(None, ignored="TAO's SSD does not scale its cost", doc="Without effect.")
    checkpoint_interval: UInt = field(
        1, ge=1, zero_is_default=True, unit="epochs", doc="Epochs from one checkpoint to the next; 0 acts as 1."
    )
    enable_qat: bool = field(False, doc="Train with 8-bit kernels and activations in the loop, for an int8 export.")
    resume_model_path: str | None = field(None, ignored=_BY_FLAG, doc="Without effect.")
    pretrain_model_path: str | None = field(None, ignored=_BY_FLAG, doc="Without effect.")
    pruned_model_path: str | None = field(None, ignored=_BY_FLAG, doc="Without effect.")
    max_queue_size: UInt = field(0, ignored="batches are prepared as far ahead as there are workers", doc="No effect.")
    n_workers: UInt = field(0, doc="Threads that prepare images; 0 is 2.")
    use_multiprocessing: bool = field(False, ignored="images are prepared in threads", doc="Without effect.")
    early_stopping: EarlyStopping | None = field(None, doc="When the run ends before its last epoch.")
    visualizer: VisualizerConfig | None = field(None, doc="Pictures and curves of the run.")
    model_ema: bool = field(False, ignored="TAO's SSD keeps no moving average of its weights", doc="Without effect.")


class AveragePrecisionMode(SpecEnum):
    """How average precision is computed from the precision / recall curve."""

    SAMPLE = "SAMPLE"
    INTEGRATE = "INTEGRATE"


class EvalConfig(SpecModel):
    """When and how detections are evaluated."""

    validation_period_during_training: UInt = field(gt=0, unit="epochs", doc="Epochs from one validation to the next.")
    average_precision_mode: AveragePrecisionMode = field(
        AveragePrecisionMode.SAMPLE, doc="11-point or integrated average precision."
    )
    batch_size: UInt = field(gt=0, unit="images", doc="Images at once in validation and evaluate.")
    matching_iou_threshold: Float = field(gt=0, lt=1, doc="IoU from which a detection is a hit.")
    visualize_pr_curve: bool = field(False, doc="`evaluate` draws precision over recall, PR_curve.png by the model.")


class NMSConfig(SpecModel):
    """Non-maximum suppression and the score threshold."""

    confidence_threshold: Float = field(gt=0, lt=1, doc="Scores below it are no detections.")
    clustering_iou_threshold: Float = field(gt=0, lt=1, doc="IoU above which the weaker of two boxes is dropped.")
    top_k: UInt = field(gt=0, doc="Most detections of a class, and of an image.")
    infer_nms_score_bits: UInt = field(0, ignored="no TensorRT plugin is exported", doc="Without effect.")
    force_on_cpu: bool = field(False, ignored="boxes are always suppressed on the host", doc="Without effect.")
