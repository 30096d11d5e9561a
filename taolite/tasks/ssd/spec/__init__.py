"""SSD's spec files as frozen models: TAO's spelling, ranges and defaults (reference/tao_classification_ssd.md 4.1).

`SsdSpec` is the spec of every command but `dataset_convert`, which takes DetectNet's. `check_needs` reports what a
command needs and the spec lacks. No torch.
"""

from taolite.tasks.ssd.spec.dataset import AugmentationConfig, DatasetConfig, DataSource
from taolite.tasks.ssd.spec.experiment import DSSD_NOT_BUILT, Command, SsdSpec, check_needs
from taolite.tasks.ssd.spec.jetson import JetsonConfig
from taolite.tasks.ssd.spec.network import DEPTHS, Arch, SSDConfig
from taolite.tasks.ssd.spec.recipe import TaoliteConfig
from taolite.tasks.ssd.spec.training import (
    AveragePrecisionMode,
    EarlyStopping,
    EvalConfig,
    NMSConfig,
    RegularizerType,
    TrainingConfig,
)

__all__ = [
    "DEPTHS",
    "DSSD_NOT_BUILT",
    "Arch",
    "AugmentationConfig",
    "AveragePrecisionMode",
    "Command",
    "DataSource",
    "DatasetConfig",
    "EarlyStopping",
    "EvalConfig",
    "JetsonConfig",
    "NMSConfig",
    "RegularizerType",
    "SSDConfig",
    "SsdSpec",
    "TaoliteConfig",
    "TrainingConfig",
    "check_needs",
]
