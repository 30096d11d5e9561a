"""The training and evaluation settings: `training_config` and `evaluation_config` (reference 1.8, 1.10, 1.13)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from taolite.spec import Finding, Float, Int, Key, OneOf, SpecEnum, SpecModel, UInt, check, field
from taolite.tasks.services import ClearMLConfig, WandBConfig, WandBMode

__all__ = [
    "Adam",
    "AveragePrecisionMode",
    "ClearMLConfig",
    "CostScaling",
    "EarlyStoppingAnnealingSchedule",
    "EvaluationBox",
    "EvaluationConfig",
    "LearningRate",
    "Optimizer",
    "Regularizer",
    "RegularizerType",
    "SoftStartAnnealingSchedule",
    "TrainingConfig",
    "VisualizerClass",
    "VisualizerConfig",
    "WandBConfig",
    "WandBMode",
]


class AveragePrecisionMode(SpecEnum):
    """The method that computes average precision from the precision / recall curve."""

    SAMPLE = "SAMPLE"
    INTEGRATE = "INTEGRATE"


class EvaluationBox(SpecModel):
    """The box sizes that are evaluated; boxes of other sizes count neither as hits nor as misses."""

    minimum_height: Int = field(0, ge=0, unit="px", doc="Least height.")
    maximum_height: Int = field(gt=0, unit="px", doc="Largest height.")
    minimum_width: Int = field(0, ge=0, unit="px", doc="Least width.")
    maximum_width: Int = field(gt=0, unit="px", doc="Largest width.")


class EvaluationConfig(SpecModel):
    """When and how detections are evaluated."""

    validation_period_during_training: UInt = field(gt=0, unit="epochs", doc="Epochs from one validation to the next.")
    first_validation_epoch: UInt = field(gt=0, unit="epochs", doc="The first epoch, from 1, that ends in a validation.")
    early_stopping_patience_steps: UInt = field(0, ignored="no code of TAO uses it", doc="Without effect.")
    minimum_detection_ground_truth_overlap: dict[str, Float] = field(
        min_length=1, doc="IoU from which a detection of the class is a hit."
    )
    evaluation_box_config: dict[str, EvaluationBox] = field(min_length=1, doc="Sizes that are judged, of each class.")
    average_precision_mode: AveragePrecisionMode = field(
        AveragePrecisionMode.SAMPLE, doc="11-point or integrated average precision."
    )

    def spec_notes(self) -> Iterator[Finding]:
        for name, overlap in self.minimum_detection_ground_truth_overlap.items():
            if not 0 < overlap <= 1:
                text = f"is {overlap:g}; an IoU lies between 0 and 1"
                yield Finding(("minimum_detection_ground_truth_overlap", Key(name)), text)


class SoftStartAnnealingSchedule(SpecModel):
    """The rate rises from the least to the largest value, stays there, and falls again; log-linear, over all steps."""

    min_learning_rate: Float = field(gt=0, doc="Rate at the very start and end.")
    max_learning_rate: Float = field(gt=0, doc="Rate between soft_start and annealing.")
    soft_start: Float = field(0.0, ge=0, lt=1, doc="Share of all steps after which the largest rate is reached.")
    annealing: Float = field(0.0, ge=0, lt=1, doc="Share of all steps after which the rate goes down.")

    @check("soft_start", "annealing")
    def _rises_before_it_falls(self) -> Iterator[Finding]:
        if self.soft_start > self.annealing:
            yield Finding(
                ("soft_start",), f"is {self.soft_start:g}; it needs to be {self.annealing:g} (annealing) or less"
            )


class EarlyStoppingAnnealingSchedule(SpecModel):
    """The rate rises, stays until the validation cost stops falling, and falls; then the run stops."""

    min_learning_rate: Float = field(gt=0, doc="Rate at the start and the end.")
    max_learning_rate: Float = field(gt=0, doc="Rate between.")
    soft_start_epochs: UInt = field(0, unit="epochs", doc="Epochs in which the rate rises.")
    annealing_epochs: UInt = field(0, unit="epochs", doc="Epochs in which the rate falls.")
    patience_steps: UInt = field(0, unit="epochs", doc="Epochs without a better validation cost before it falls.")


class LearningRate(SpecModel):
    """One of the two schedules."""

    one_of: ClassVar = (
        OneOf("schedule", ("soft_start_annealing_schedule", "early_stopping_annealing_schedule"), required=True),
    )

    soft_start_annealing_schedule: SoftStartAnnealingSchedule | None = field(None, doc="Fixed in advance.")
    early_stopping_annealing_schedule: EarlyStoppingAnnealingSchedule | None = field(
        None, doc="Led by the validation cost."
    )


class RegularizerType(SpecEnum):
    """The regularisation term that is added to the cost."""

    NO_REG = "NO_REG"
    L1 = "L1"
    L2 = "L2"


class Regularizer(SpecModel):
    """Regularisation of the weights."""

    type: RegularizerType = field(RegularizerType.NO_REG, doc="Sum of absolute values (L1) or of squares (L2).")
    weight: Float = field(0.0, ge=0, doc="Factor of the sum.")


class Adam(SpecModel):
    """The Adam optimizer."""

    epsilon: Float = field(gt=0, doc="Added to the root of the second moment.")
    beta1: Float = field(gt=0, lt=1, doc="Decay of the first moment.")
    beta2: Float = field(gt=0, lt=1, doc="Decay of the second moment.")


class Optimizer(SpecModel):
    """The optimizer: only Adam."""

    adam: Adam = field(doc="The Adam optimizer.")


class CostScaling(SpecModel):
    """Dynamic scaling of the cost for half precision: the cost is multiplied by 2 to an exponent."""

    enabled: bool = field(False, doc="Whether the cost is scaled.")
    initial_exponent: Float = field(gt=0, doc="The first scale is 2 to this.")
    increment: Float = field(gt=0, doc="Added to the exponent after a finite step.")
    decrement: Float = field(gt=0, doc="Taken from the exponent after a step that is not finite.")


class VisualizerClass(SpecModel):
    """Which boxes of one class are drawn."""

    coverage_threshold: Float = field(0.0, ge=0, le=1, doc="Boxes of cells above this are drawn.")


class VisualizerConfig(SpecModel):
    """Pictures and curves of a run."""

    enabled: bool = field(False, doc="Images and histograms in TensorBoard.")
    num_images: UInt = field(0, doc="Validation images in each summary.")
    scalar_logging_frequency: UInt = field(
        10, ge=1, zero_is_default=True, unit="points per epoch", doc="Points of a curve in an epoch; 0 acts as 10."
    )
    infrequent_logging_frequency: UInt = field(
        1, ge=1, zero_is_default=True, unit="epochs", doc="Epochs from one set of images to the next; 0 acts as 1."
    )
    target_class_config: dict[str, VisualizerClass] = field({}, doc="What of each class is drawn.")
    wandb_config: WandBConfig | None = field(None, doc="Weights & Biases.")
    clearml_config: ClearMLConfig | None = field(None, doc="ClearML.")


class TrainingConfig(SpecModel):
    """The settings of the training loop."""

    batch_size_per_gpu: UInt = field(gt=0, unit="images", doc="Images in a step, on each GPU.")
    num_epochs: UInt = field(gt=0, unit="epochs", doc="Times the data is gone through.")
    learning_rate: LearningRate = field(doc="The schedule of the learning rate.")
    regularizer: Regularizer = field(doc="Pull of the weights towards zero.")
    optimizer: Optimizer = field(doc="Only Adam.")
    cost_scaling: CostScaling = field(doc="Dynamic scaling of the cost; needed even when it is not enabled.")
    checkpoint_interval: UInt = field(
        10, ge=1, zero_is_default=True, unit="epochs", doc="Epochs from one checkpoint to the next; 0 acts as 10."
    )
    enable_qat: bool = field(False, doc="Train with 8-bit kernels and activations in the loop, for an int8 export.")
    visualizer: VisualizerConfig | None = field(None, doc="Pictures and curves of the run.")

    @check("num_epochs", "visualizer.infrequent_logging_frequency", "visualizer.enabled")
    def _draws_within_the_run(self) -> Iterator[Finding]:
        drawing = self.visualizer
        if drawing and drawing.enabled and drawing.infrequent_logging_frequency > self.num_epochs:
            text = f"is {drawing.infrequent_logging_frequency}; it needs to be {self.num_epochs} (num_epochs) or less"
            yield Finding(("visualizer", "infrequent_logging_frequency"), text)
