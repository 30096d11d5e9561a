"""The whole spec, one for all commands (reference/tao_classification_ssd.md 3.1), and the checks across its parts."""

from __future__ import annotations

from collections.abc import Iterator

from taolite.spec import Finding, SpecModel, UInt, check, field
from taolite.tasks.classification.spec.jetson import JetsonConfig
from taolite.tasks.classification.spec.network import ModelConfig
from taolite.tasks.classification.spec.recipe import TaoliteConfig
from taolite.tasks.classification.spec.training import TrainConfig

__all__ = ["ClassificationSpec", "EvalConfig"]


class EvalConfig(SpecModel):
    """The settings of `evaluate`."""

    top_k: UInt = field(1, ge=1, zero_is_default=True, doc="A picture counts where its class is among the k likeliest.")
    eval_dataset_path: str = field(min_length=1, doc="Folder with a folder of pictures for each class.")
    model_path: str = field("", doc="The model to evaluate.")
    batch_size: UInt = field(1, ge=1, zero_is_default=True, unit="images", doc="Images in a step.")
    n_workers: UInt = field(gt=0, doc="Processes that load pictures.")
    enable_center_crop: bool = field(False, doc="Pictures are cropped at their centre instead of stretched.")


class ClassificationSpec(SpecModel):
    """The whole spec of an experiment."""

    eval_config: EvalConfig | None = field(None, doc="What `evaluate` judges; not needed by `train`.")
    model_config_: ModelConfig = field(spec_name="model_config", doc="The network.")
    train_config: TrainConfig = field(doc="The training loop and its data.")
    jetson_config: JetsonConfig | None = field(None, doc="Ours: what jetson-inference's train.py does beyond TAO.")
    taolite: TaoliteConfig | None = field(None, doc="Ours: what taolite adds to TAO's training.")

    @property
    def tag_threshold(self) -> float | None:
        """The least score of a predicted tag; None where a picture has one class."""
        config = self.jetson_config
        return config.multi_label_threshold if config and config.multi_label else None

    @check("model_config.input_image_size", "train_config.image_mean")
    def _a_mean_for_each_channel(self) -> Iterator[Finding]:
        means, is_grey = self.train_config.image_mean, self.model_config_.input_image_size.strip().startswith("1")
        missing = [name for name in (("l",) if is_grey else ("r", "g", "b")) if name not in means]
        if means and missing:
            listed = " and ".join(f"`{name}`" for name in missing)
            kind = "grey" if is_grey else "in colour"
            yield Finding(("train_config", "image_mean"), f"has no {listed}, and the input is {kind}")

    def spec_notes(self) -> Iterator[Finding]:
        training, evaluation = self.train_config, self.eval_config
        for name in ("enable_random_crop", "enable_center_crop"):
            if self.jetson_config and getattr(training, name):
                yield Finding(
                    ("train_config", name), "has no effect beside jetson_config, whose crops are torchvision's"
                )
        if evaluation and evaluation.enable_center_crop != training.enable_center_crop:
            text = "differs from train_config's: `evaluate` sees other pictures than validation does"
            yield Finding(("eval_config", "enable_center_crop"), text)
