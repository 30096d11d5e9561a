"""The spec file of classification as frozen models: TAO's spelling, ranges and defaults
(reference/tao_classification_ssd.md 3).

`ClassificationSpec` is the spec of every command. The attribute `model_config_` is TAO's `model_config`. No torch.
"""

from taolite.tasks.classification.spec.experiment import ClassificationSpec, EvalConfig
from taolite.tasks.classification.spec.jetson import JetsonConfig
from taolite.tasks.classification.spec.network import (
    DEPTHS,
    LAST_BLOCK,
    Activation,
    Arch,
    BatchNormConfig,
    InterpolationMethod,
    ModelConfig,
)
from taolite.tasks.classification.spec.recipe import ClassTeacherConfig, TaoliteConfig
from taolite.tasks.classification.spec.training import (
    SGD,
    Adam,
    Cosine,
    LearningRate,
    Optimizer,
    PreprocessMode,
    Regularizer,
    RMSprop,
    SoftAnneal,
    Stairs,
    Step,
    TrainConfig,
    VisualizerConfig,
)

__all__ = [
    "DEPTHS",
    "LAST_BLOCK",
    "SGD",
    "Activation",
    "Adam",
    "Arch",
    "BatchNormConfig",
    "ClassTeacherConfig",
    "ClassificationSpec",
    "Cosine",
    "EvalConfig",
    "InterpolationMethod",
    "JetsonConfig",
    "LearningRate",
    "ModelConfig",
    "Optimizer",
    "PreprocessMode",
    "RMSprop",
    "Regularizer",
    "SoftAnneal",
    "Stairs",
    "Step",
    "TaoliteConfig",
    "TrainConfig",
    "VisualizerConfig",
]
