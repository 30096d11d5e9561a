"""taolite's own block of an SSD spec, `taolite { ... }`. TAO's files never need it."""

from __future__ import annotations

from taolite.spec import SpecModel, field
from taolite.tasks.fitting import AnnealedFitting
from taolite.tasks.teaching import TeacherConfig

__all__ = ["TaoliteConfig"]


class TaoliteConfig(SpecModel):
    """What taolite adds to TAO's training."""

    fitting: AnnealedFitting | None = field(None, doc="Optimisation.")
    teacher: TeacherConfig | None = field(None, doc="A trained model to learn from beside the labels.")
