"""The whole spec (reference/tao_classification_ssd.md 4.1), and what each command needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from taolite.errors import SpecError, SpecProblem
from taolite.spec import Finding, SpecModel, UInt, check, field
from taolite.tasks.ssd.spec.dataset import AugmentationConfig, DatasetConfig
from taolite.tasks.ssd.spec.jetson import JetsonConfig
from taolite.tasks.ssd.spec.network import DSSDConfig, SSDConfig
from taolite.tasks.ssd.spec.recipe import TaoliteConfig
from taolite.tasks.ssd.spec.training import EvalConfig, NMSConfig, TrainingConfig

__all__ = ["DSSD_NOT_BUILT", "Command", "SsdSpec", "check_needs"]

Command = Literal["train", "evaluate", "inference", "export"]

DSSD_NOT_BUILT = (
    "DSSD's deconvolutions are not built in this version; rename the block `ssd_config` and train with --arch ssd (or "
    "without --arch) for an SSD on the same backbone"
)
_NEEDED: dict[Command, tuple[str, ...]] = {
    "train": (
        "ssd_config", "training_config", "eval_config", "augmentation_config", "nms_config", "dataset_config",
        "dataset_config.data_sources", "dataset_config.validation_data_sources",
    ),
    "evaluate": (
        "ssd_config", "eval_config", "augmentation_config", "nms_config", "dataset_config",
        "dataset_config.validation_data_sources",
    ),
    "inference": ("dataset_config",),
    "export": ("ssd_config", "augmentation_config", "nms_config", "dataset_config"),
}  # fmt: skip


class SsdSpec(SpecModel):
    """The whole spec of an experiment. Which messages are required depends on the command; see `check_needs`."""

    random_seed: UInt = field(0, doc="Seed of everything random; each process adds its rank.")
    dataset_config: DatasetConfig | None = field(None, doc="The data of training and validation.")
    augmentation_config: AugmentationConfig | None = field(None, doc="From photograph to network input.")
    training_config: TrainingConfig | None = field(None, doc="The training loop.")
    eval_config: EvalConfig | None = field(None, doc="When and how detections are judged.")
    nms_config: NMSConfig | None = field(None, doc="From scores to detections.")
    ssd_config: SSDConfig | None = field(None, doc="The network, its anchors and its cost.")
    dssd_config: DSSDConfig | None = field(None, doc="DSSD's; refused.")
    jetson_config: JetsonConfig | None = field(None, doc="Ours: pytorch-ssd's settings; TAO's messages are not needed.")
    taolite: TaoliteConfig | None = field(None, doc="Ours: what taolite adds to TAO's and pytorch-ssd's training.")

    @check()
    def _is_no_dssd(self) -> Iterator[Finding]:
        if self.dssd_config is not None:
            yield Finding(("dssd_config",), f"is refused: {DSSD_NOT_BUILT}")

    @check("training_config.early_stopping", "eval_config.validation_period_during_training")
    def _stopping_hears_every_epoch(self) -> Iterator[Finding]:
        stopping = self.training_config.early_stopping if self.training_config else None
        period = self.eval_config.validation_period_during_training if self.eval_config else 1
        if stopping and stopping.monitor != "loss" and period != 1:
            text = f"is {period}; early_stopping on {stopping.monitor} needs 1, a validation after every epoch"
            yield Finding(("eval_config", "validation_period_during_training"), text)


def check_needs(spec: SsdSpec, command: Command, *, path: Path | str) -> None:
    """Raise SpecError, listing everything that is missing, where `command` cannot run with the spec that was read at
    `path`."""
    if spec.jetson_config is not None:
        return
    problems = [
        SpecProblem(0, 0, f"{name} is missing, which `{command}` needs; {_how(name)}")
        for name in _NEEDED[command]
        if _absent(spec, name)
    ]
    if problems:
        raise SpecError(path, problems)


def _absent(spec: SsdSpec, name: str) -> bool:
    message, _, part = name.partition(".")
    found = getattr(spec, message)
    if not part:
        return found is None
    if found is None:
        return False  # already reported
    return not (found.validated if part == "validation_data_sources" else found.data_sources)


def _how(name: str) -> str:
    return f"add one or more, `{name.partition('.')[2]} {{ }}`" if "." in name else f"add the block `{name} {{ }}`"
