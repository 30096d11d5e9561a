"""taolite's own block of a classification spec, `taolite { ... }`. TAO's files never need it."""

from __future__ import annotations

from taolite.spec import Float, SpecModel, field
from taolite.tasks.fitting import Fitting
from taolite.tasks.teaching import TeacherConfig

__all__ = ["ClassTeacherConfig", "TaoliteConfig"]


class ClassTeacherConfig(TeacherConfig):
    """A trained classifier that teaches this one: its logits are learned beside the labels."""

    temperature: Float = field(2.0, gt=0, doc="Divides the logits of both networks; above 1 small scores count more.")


class TaoliteConfig(SpecModel):
    """What taolite adds to TAO's training."""

    fitting: Fitting | None = field(None, doc="Optimisation; the optimizer of train_config is not used.")
    teacher: ClassTeacherConfig | None = field(None, doc="A trained model to learn from beside the labels.")
